"""Pictures of attention: what was heard above, where each token looked below, on one time axis."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asr_attn.evaluation.attention import UtteranceAttention
from asr_attn.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#22272e"
"""Text, axes and the waveform."""
WEIGHT = "#2f81f7"
"""Full attention weight; less of it is more transparent, so that any background will do."""
CTC = "#e8590c"
"""Marks of the alignment by CTC."""
ROW = 0.17
"""Inches per token, where there are few enough of them."""
TALLEST = 11.0
"""Inches of all alignment panels together, at most."""
ENVELOPE = 1500
"""Points of the waveform's outline."""


@dataclass(frozen=True)
class Sound:
    """What is drawn above the alignment.

    Attributes:
        samples: (samples,) of the utterance.
        sample_rate: in Hz.
        features: (T, D) log-mel features.
        hop_seconds: from one frame to the next.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    features: NDArray[np.float32]
    hop_seconds: float

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / self.sample_rate


def draw_alignment(
    attention: UtteranceAttention, sound: Sound | None = None, title: str = ""
) -> "Figure":
    """Draw which part of an utterance each token attended to.

    Waveform and log-mel features come first, if there are any, then a panel for each head, with
    thin marks where CTC heard the tokens. All panels share the time axis. The axes of the panels of
    attention have the labels ``attention 0``, ``attention 1``, ...

    Args:
        attention: over the utterance.
        sound: of the utterance.
        title: above the picture.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    tokens, heads, _ = attention.weights.shape
    seconds = max(attention.seconds, sound.seconds if sound else 0.0)
    panel = min(max(1.1, ROW * tokens), max(TALLEST / heads, 1.6))
    heights = [0.7, 1.3] * (sound is not None) + [panel] * heads
    width = min(max(8.0, 2.0 + 0.9 * seconds), 20.0)
    layout = ConstrainedLayoutEngine(h_pad=0.03, hspace=0.02)
    figure = Figure(figsize=(width, sum(heights) + 0.25 * len(heights) + 0.7), layout=layout)
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    panels: list[Axes] = []
    for i in range(len(heights)):
        panels.append(figure.add_subplot(grid[i], sharex=panels[0] if panels else None))
    if sound is not None:
        _draw_waveform(panels[0], sound)
        _draw_features(panels[1], sound)
    for head, axes in enumerate(panels[-heads:]):
        axes.set_label(f"attention {head}")
        image = _draw_weights(axes, attention, head, panel)
        name = "attention" if heads == 1 else f"head {head + 1}"
        axes.set_ylabel(name, fontsize=9, color=INK)
    for axes in panels:
        _plain(axes, last=axes is panels[-1])
    panels[0].set_xlim(0.0, seconds)
    panels[-1].set_xlabel("seconds", fontsize=9, color=INK)
    if title:
        figure.suptitle(
            _shortened(title, int(width * 13)), fontsize=10, color=INK, parse_math=False
        )
    _add_scale(figure, image, panels)
    return figure


def save_figure(figure: "Figure", path: Path, dpi: int = 150) -> None:
    """Write a figure to a .png or .svg file, which appears whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    metadata = {"Date": None} if kind == "svg" else None
    with atomic_path(path) as scratch, drawing_settings():
        figure.savefig(scratch, format=kind, dpi=dpi, facecolor="white", metadata=metadata)


@contextmanager
def drawing_settings() -> Iterator[None]:
    """Text in SVG stays text, files repeat, and missing letters are no warning."""
    import matplotlib

    with (
        warnings.catch_warnings(),
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "asr_attn"}),
    ):
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def _draw_waveform(axes: "Axes", sound: Sound) -> None:
    """The outline of the waveform: its least and greatest values in short stretches."""
    size = max(1, -(-len(sound.samples) // ENVELOPE))
    padded = np.pad(sound.samples, (0, -len(sound.samples) % size), mode="edge").reshape(-1, size)
    times = (np.arange(len(padded)) + 0.5) * size / sound.sample_rate
    axes.fill_between(times, padded.min(axis=1), padded.max(axis=1), color=INK, linewidth=0.4)
    peak = max(float(np.abs(sound.samples).max()), 1e-3)
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    axes.set_yticks([])
    axes.set_ylabel("wave", fontsize=9, color=INK)


def _draw_features(axes: "Axes", sound: Sound) -> None:
    frames, bands = sound.features.shape
    low, high = np.percentile(sound.features, (5, 99.8))
    axes.imshow(
        sound.features.T,
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        cmap="magma",
        vmin=float(low),
        vmax=float(high),
        # a frame's middle is where its time is
        extent=(-0.5 * sound.hop_seconds, (frames - 0.5) * sound.hop_seconds, 0, bands),
    )
    axes.set_yticks([])
    axes.set_ylabel("log-mel", fontsize=9)


def _draw_weights(axes: "Axes", attention: UtteranceAttention, head: int, height: float) -> Any:
    """Draw the weights of one head in a panel of ``height`` inches; returns the image."""
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgb

    colour = to_rgb(WEIGHT)
    tokens = len(attention.labels)
    image = axes.imshow(
        attention.weights[:, head],
        aspect="auto",
        interpolation="nearest",
        cmap=LinearSegmentedColormap.from_list("weight", [(*colour, 0.0), (*colour, 1.0)]),
        norm=PowerNorm(0.5, 0.0, 1.0),  # so that what is spread over many steps is seen
        extent=(0.0, attention.seconds, tokens - 0.5, -0.5),
    )
    axes.set_ylim(tokens - 0.5, -0.5)
    if attention.ctc:
        step = attention.seconds_per_step
        middles = [step * (span.start + span.end) / 2 for span in attention.ctc]
        rows = np.arange(len(middles))
        axes.vlines(middles, rows - 0.45, rows + 0.45, color=CTC, linewidth=1.4)
        if head == 0:
            axes.set_title("| CTC", loc="right", fontsize=8, color=CTC, pad=3)
    _label_rows(axes, attention.labels, height)
    return image


def _add_scale(figure: "Figure", image: Any, panels: "Sequence[Axes]") -> None:
    """Show beside all panels, so that they keep one width, how weights look."""
    bar = figure.colorbar(
        image, ax=list(panels), fraction=0.018, pad=0.015, aspect=28, ticks=[0, 0.04, 0.25, 1]
    )
    bar.ax.set_yticklabels(["0", "0.04", "0.25", "1"], fontsize=7, color=INK)
    bar.ax.patch.set_alpha(0.0)
    bar.set_label("weight", fontsize=8, color=INK)
    bar.ax.tick_params(color=INK)
    bar.outline.set_edgecolor(INK)


def _label_rows(axes: "Axes", labels: Sequence[str], height: float) -> None:
    """Name the rows of a panel of ``height`` inches, as many as can be read."""
    points = 72.0 * height / len(labels)
    size = min(max(0.8 * points, 5.0), 8.0)
    every = max(1, int(np.ceil(1.15 * size / points)))
    rows = range(0, len(labels), every)
    axes.set_yticks(rows, [labels[row] for row in rows], fontsize=size, parse_math=False)


def _plain(axes: "Axes", last: bool) -> None:
    """Thin axes in one colour, with times below the last panel alone."""
    for spine in axes.spines.values():
        spine.set(color=INK, linewidth=0.6)
    axes.patch.set_alpha(0.0)
    axes.tick_params(color=INK, labelcolor=INK, length=2.5, width=0.6)
    axes.tick_params(axis="x", labelbottom=last, labelsize=8)
    axes.yaxis.label.set_color(INK)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
