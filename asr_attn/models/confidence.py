"""From what speaks for a word to the probability that it is right."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Calibration:
    """A logistic model of F features (Platt 1999), learnt by ``evaluation.calibration``.

    Attributes:
        names: F names of features.
        means: F means; features are taken relative to them,
        scales: and in F such units.
        weights: F weights, none below 0: what speaks for a word never makes it less sure.
        bias: log-odds of a word with mean features.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def __post_init__(self) -> None:
        lists = (self.means, self.scales, self.weights)
        if any(len(values) != len(self.names) for values in lists):
            raise ValueError(
                f"a calibration of {len(self.names)} features has other numbers of values"
            )
        if not np.isfinite([*self.means, *self.scales, *self.weights, self.bias]).all():
            raise ValueError("a calibration has values that are not finite")
        if min(self.weights, default=0.0) < 0 or min(self.scales, default=1.0) <= 0:
            raise ValueError("a calibration has a negative weight, or a scale that is not above 0")

    def confidence(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Probability (N,) that words with ``features`` (N, F) are right."""
        units = (np.asarray(features, dtype=np.float64) - self.means) / self.scales
        units = units.clip(-1e6, 1e6)  # a log-probability may be -inf, and 0 times that is NaN
        odds = units @ np.array(self.weights) + self.bias
        # the logistic function without an overflow
        sure: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -odds))
        return sure

    def to_dict(self) -> dict[str, Any]:
        """The calibration as builtins, for ``from_dict``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Calibration":
        """Make the calibration that ``to_dict`` wrote.

        Raises:
            TypeError: the data are of another kind.
            KeyError: a value is missing.
            ValueError: values do not fit each other.
        """
        lists = {name: tuple(map(float, data[name])) for name in ("means", "scales", "weights")}
        return cls(tuple(map(str, data["names"])), **lists, bias=float(data["bias"]))
