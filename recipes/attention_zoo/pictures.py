"""Draws where each trained mechanism looks while it reads the same test string: docs/attention.png.

It takes the models that run.py left in its run folders.

Example:
  python recipes/attention_zoo/pictures.py --runs runs/attention_zoo
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

from asr_attn.audio.reading import read_audio
from asr_attn.checkpoint import load_model
from asr_attn.data.manifest import read_manifest
from asr_attn.evaluation.attention import UtteranceAttention, teacher_forced_attention
from asr_attn.evaluation.drawing import save_figure
from asr_attn.nn.attention import ATTENTIONS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]
TEST = ROOT / "data" / "fsdd" / "strings" / "test.jsonl"
COLUMNS = 4


def draw(attentions: dict[str, UtteranceAttention], text: str) -> "Figure":
    """One panel per mechanism: tokens downwards, seconds to the right."""
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    rows = -(-len(attentions) // COLUMNS)
    figure = Figure(figsize=(2.7 * COLUMNS, 2.1 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, (name, attention) in zip(panels.flat, attentions.items()):
        axes.set_axis_on()
        tokens = len(attention.labels)
        axes.imshow(
            attention.weights.mean(axis=1) ** 0.5,  # so that what is spread over steps is seen
            aspect="auto",
            interpolation="nearest",
            cmap="Blues",
            vmin=0.0,
            vmax=1.0,
            extent=(0.0, attention.seconds, tokens - 0.5, -0.5),
        )
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        gaps = [i for i, label in enumerate(attention.labels) if label in ("␣", "end")]
        starts = [0, *(gap + 1 for gap in gaps[:-1])]
        axes.set_yticks(starts, text.split(), fontsize=7)
    figure.supxlabel("seconds", fontsize=9)
    return figure


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/attention_zoo"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--utterance", type=int, default=0, help="number of the test string")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "attention.png")
    options = parser.parse_args()
    folders = {name: options.runs / f"{name}-{options.seed}" for name in ATTENTIONS}
    trained = {n: folder for n, folder in folders.items() if (folder / "finished").exists()}
    if not trained:
        print(
            f"{options.runs} has no finished run of seed {options.seed}; "
            "run recipes/attention_zoo/run.py",
            file=sys.stderr,
        )
        return 2
    utterance = read_manifest(TEST)[options.utterance]
    attentions = {}
    for name, folder in trained.items():
        model = load_model(folder)
        samples = read_audio(utterance.audio, model.features.sample_rate)
        tokens = model.tokenizer.encode(utterance.text)
        attentions[name] = teacher_forced_attention(model, [samples], [tokens])[0]
    save_figure(draw(attentions, utterance.text), options.output, dpi=100)
    return 0


if __name__ == "__main__":
    sys.exit(main())
