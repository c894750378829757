"""A picture of how true confidence is."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asr_attn.evaluation.calibration import (
    BINS,
    ReliabilityBin,
    expected_calibration_error,
    reliability,
)
from asr_attn.evaluation.drawing import CTC, INK, WEIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (CTC, WEIGHT)
"""Of the curves."""
LARGEST = 70.0
"""Area of the point of the largest bin, in square points."""
COLUMNS = 20
"""Of the histogram."""


def draw_reliability(
    curves: Mapping[str, NDArray[np.float64]],
    correct: NDArray[np.bool_],
    bins: int = BINS,
    title: str = "",
    *,
    equal_width: bool = False,
) -> "Figure":
    """Draw which share of the words is right, by how sure they are.

    On the diagonal confidence is true; below it, it is too high. Each point is a bin of
    ``reliability``; its area is in proportion to the number of its words, and the pale line
    through it reaches from the least to the greatest confidence. Below is how many words have which
    confidence. The axes have the labels ``reliability`` and ``histogram``. ``save_figure`` writes
    it to a file.

    Args:
        curves: confidence (N,) of the same words by name, such as "before" and "after"; two or
            less.
        correct: (N,) whether each word is right.
        bins: how many, see ``reliability``.
        title: above the picture.
        equal_width: bins are equally wide, and have not equally many words.

    Raises:
        ValueError: there are more than two curves, or none.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if not 1 <= len(curves) <= len(COLOURS):
        raise ValueError(f"one or two curves can be drawn, not {len(curves)}")
    figure = Figure(figsize=(4.6, 5.8), layout=ConstrainedLayoutEngine(h_pad=0.03, hspace=0.02))
    grid = figure.add_gridspec(2, 1, height_ratios=[4.0, 1.2])
    above = figure.add_subplot(grid[0], label="reliability")
    below = figure.add_subplot(grid[1], label="histogram", sharex=above)
    above.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    for (name, confidence), colour in zip(curves.items(), COLOURS[-len(curves) :]):
        _draw_curve(
            above, name, reliability(confidence, correct, bins, equal_width=equal_width), colour
        )
        edges = np.linspace(0.0, 1.0, COLUMNS + 1)
        counts, _ = np.histogram(confidence, edges)
        below.stairs(counts, edges, color=colour, fill=True, alpha=0.25)
        below.stairs(counts, edges, color=colour, linewidth=1.0)
    above.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    above.set_ylabel("right", fontsize=9)
    legend = above.legend(loc="lower right", fontsize=8, frameon=False, labelcolor=INK)
    for text in legend.get_texts():
        text.set_parse_math(False)
    below.set_yscale("symlog", linthresh=1.0)  # most words are sure: the others are to be seen
    below.set_ylim(0.0, 3.0 * max(below.dataLim.y1, 1.0))
    below.set_xlabel("confidence", fontsize=9, color=INK)
    below.set_ylabel("words", fontsize=9)
    for axes in (above, below):
        _plain(axes, last=axes is below)
    if title:
        figure.suptitle(title, fontsize=10, color=INK, parse_math=False)
    return figure


def _draw_curve(axes: "Axes", name: str, found: Sequence[ReliabilityBin], colour: str) -> None:
    sure, right = [b.confidence for b in found], [b.accuracy for b in found]
    largest = max((b.count for b in found), default=1)
    error = 100 * expected_calibration_error(found)
    axes.hlines(right, [b.low for b in found], [b.high for b in found], color=colour, alpha=0.4)
    axes.plot(sure, right, color=colour, linewidth=1.2)
    axes.scatter(
        sure,
        right,
        s=[LARGEST * b.count / largest for b in found],
        color=colour,
        alpha=0.8,
        linewidth=0,
        label=f"{name}: off by {error:.1f} %",
        zorder=3,
    )


def _plain(axes: "Axes", last: bool) -> None:
    """Thin axes in one colour, with numbers below the last panel alone."""
    for spine in axes.spines.values():
        spine.set(color=INK, linewidth=0.6)
    axes.patch.set_alpha(0.0)
    axes.tick_params(color=INK, labelcolor=INK, length=2.5, width=0.6, labelsize=8)
    axes.tick_params(axis="x", labelbottom=last)
    axes.yaxis.label.set_color(INK)
