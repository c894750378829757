"""What came of tuning the search: as a file of settings, as a table, as JSON."""

import argparse
import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from asr_attn.commands.searching import OF_LM, TUNED, search_lines

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from asr_attn.decoding.hypothesis import SearchConfig
    from asr_attn.evaluation.intervals import Interval


@dataclass(frozen=True)
class Measured:
    """A setting of the search and what it gave.

    Attributes:
        name: what it is called.
        config: the setting.
        errors: (B, 2) wrong words and wrong characters of each utterance.
    """

    name: str
    config: "SearchConfig"
    errors: "NDArray[np.int64]"

    @property
    def total(self) -> tuple[int, int]:
        """All wrong words and all wrong characters."""
        words, characters = self.errors.sum(axis=0).tolist()
        return words, characters


@dataclass(frozen=True)
class Change:
    """Another error rate than that of the untuned search.

    Attributes:
        rate: the new one.
        change: its difference to that of the untuned search.
        interval: of the change, by the paired bootstrap over utterances.
    """

    rate: float
    change: float
    interval: "Interval"

    def __str__(self) -> str:
        low, high = 100 * self.interval.low, 100 * self.interval.high
        return (
            f"{100 * self.rate:.2f} %, {100 * self.change:+.2f} points "
            f"({100 * self.interval.level:g} %: {low:+.2f} to {high:+.2f})"
        )


@dataclass(frozen=True)
class Report:
    """All that was measured.

    Attributes:
        args: of the command.
        sizes: (B, 2) words and characters of the references.
        untuned: the search without tuning.
        tried: with the weights whose searches made the fewest errors.
        held_out: (B, 2) wrong words and characters, each utterance searched with the weights that
            suit the half of the set best that it is not in.
        metric: the error rate that is tuned, "wer" or "cer".
    """

    args: argparse.Namespace
    sizes: "NDArray[np.int64]"
    untuned: Measured
    tried: Sequence[Measured]
    held_out: "NDArray[np.int64]"
    metric: str = "wer"

    @property
    def _column(self) -> int:
        """Of what is tuned, in counts of words and characters."""
        return int(self.metric == "cer")

    @property
    def _words(self) -> int:
        return int(self.sizes[:, 0].sum())

    @property
    def best(self) -> Measured:
        """The setting with the fewest errors; the untuned one where none has fewer."""
        own = self._column
        best = min([self.untuned, *self.tried], key=lambda m: (m.total[own], m.total[1 - own]))
        return best if best.total[own] < self.untuned.total[own] else self.untuned

    def _change(self, errors: "NDArray[np.int64]") -> Change:
        import numpy as np

        from asr_attn.evaluation.intervals import bootstrap_rates, percentile_interval

        errors, before = errors[:, self._column], self.untuned.errors[:, self._column]
        both = np.stack([before, errors], axis=1)
        rates = bootstrap_rates(both, self.sizes[:, self._column], seed=self.args.seed)
        interval = percentile_interval(rates[:, 1] - rates[:, 0])
        return Change(
            self._rate(int(errors.sum())), self._rate(int((errors - before).sum())), interval
        )

    @cached_property
    def tuned(self) -> Change:
        """By the best weights, on the recordings that they were tuned on."""
        return self._change(self.best.errors)

    @cached_property
    def unseen(self) -> Change:
        """By weights of the other half."""
        return self._change(self.held_out)

    def _rate(self, errors: int) -> float:
        return errors / int(self.sizes[:, self._column].sum())

    def _rate_of(self, measured: Measured) -> str:
        return f"{100 * self._rate(measured.total[self._column]):.2f} %"

    def _settings(self, config: "SearchConfig") -> dict[str, Any]:
        """What a search needs to be told to be this one."""
        found: dict[str, Any] = {"beam": config.beam}
        if config.lm is not None:
            found["lm"] = config.lm
        names = [name for name in TUNED if name not in OF_LM or config.lm is not None]
        return found | {name: getattr(config, name) for name in names}

    def to_config(self) -> str:
        """The file of settings, with where they come from."""
        args = self.args
        given = ["asr-attn", "tune", str(args.checkpoint), str(args.manifest)]
        for name in ("lm", "beam", "metric", "trials", "seed", "output"):
            if getattr(args, name) is not None:
                given += [f"--{name}", str(getattr(args, name))]
        comments = (
            shlex.join(given),
            f"{len(self.sizes)} recordings, {self._words} words",
            f"{self.metric.upper()} untuned {self._rate_of(self.untuned)}, tuned {self.tuned}",
            f"tuned on one half, measured on the other {self.unseen}",
            self._verdict(),
        )
        lines = "".join(f"# {_printable(comment)}\n" for comment in comments)
        return lines + search_lines(self._settings(self.best.config))

    def to_json(self) -> str:
        """All figures."""
        figures = {
            "model": str(self.args.checkpoint),
            "manifest": str(self.args.manifest),
            "metric": self.metric,
            "words": self._words,
            "trials": self.args.trials,
            "seed": self.args.seed,
            "search": self._settings(self.best.config),
            "untuned": self._figures(self.untuned),
            "tuned": [self._figures(measured) for measured in self.tried],
            "change": {"change": self.tuned.change, **asdict(self.tuned.interval)},
            "other_half": {
                self.metric: self.unseen.rate,
                "change": self.unseen.change,
                **asdict(self.unseen.interval),
            },
            "output": str(self.args.output),
        }
        return json.dumps(figures, indent=2) + "\n"

    def _figures(self, measured: Measured) -> dict[str, Any]:
        errors, characters = measured.total
        return {
            **self._settings(measured.config),
            "errors": errors,
            "wrong_characters": characters,
            "wer": errors / self._words,
            "cer": characters / int(self.sizes[:, 1].sum()),
        }

    def to_text(self) -> str:
        """A table and what it means."""
        shown = [name for name in self._settings(self.best.config) if name != "lm"]
        rows = [["", self.metric.upper(), *shown]]
        for measured in (self.untuned, *self.tried):
            values = [f"{getattr(measured.config, name):g}" for name in shown]
            rows.append([measured.name, self._rate_of(measured), *values])
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths)) for row in rows]
        lines += [
            "",
            f"tuned and measured on the same recordings: {self.tuned}",
            f"tuned on one half, measured on the other:  {self.unseen}",
            self._verdict(),
            f"written to {self.args.output}: {self.best.name}",
        ]
        return "\n".join(lines) + "\n"

    def _verdict(self) -> str:
        """Whether the gain is real: told by recordings that were not tuned on."""
        if self.best is self.untuned:
            return "no weights were found that are better than the untuned search here"
        if self.unseen.interval.high < 0:
            return "fewer errors on recordings of this kind, also on those that were not tuned on"
        return "the gain may be chance; more recordings would tell"


def _printable(text: str) -> str:
    """Text for a comment: one line, without what YAML does not allow."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
