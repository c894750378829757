"""What the words of an utterance rest on, for drawing."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_attn.evaluation.explanations import METHODS, Explanation
from asr_attn.evaluation.report.packing import levels, packed


def evidence_of(explanation: Explanation) -> dict[str, Any]:
    """An explanation as JSON values: rows of words, each drawn to its own greatest value."""
    rows = {name: getattr(explanation, name) for name in METHODS}
    return {
        "hop": explanation.frame_seconds,
        "frames": rows["attention"].shape[1],
        **{name: packed(levels(_to_greatest(row), 0.0, 1.0)) for name, row in rows.items()},
        "fall": [round(float(fall), 3) for fall in explanation.greatest_fall],
        "agreement": [asdict(agreement) for agreement in explanation.agreement],
    }


def _to_greatest(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows (W, T) over their greatest values."""
    greatest = rows.max(axis=1, initial=0.0, keepdims=True)
    return rows / np.where(greatest > 0, greatest, 1.0)
