"""Which method finds the frames that a word rests on, and how far attention agrees with it.

Takes utterances of a manifest whose words have times ("words": [[word, start, end], ...], in
seconds, as the strings of recipes/fsdd have, whose joints are known), explains their texts, and
measures for each method: the share of its mass in the word's known time and in that by CTC; how far
it agrees with attention; and how far the word's log-probability falls when the twentieth of the
frames that the method gives most is replaced by the mean features (ERASER's comprehensiveness,
DeYoung et al. 2020). All are means of words, in brackets 95 % intervals by resampling utterances.

Example:
  python benchmarks/explanations.py runs/fsdd_strings data/fsdd/strings/test.jsonl
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from asr_attn.audio.reading import read_audio
from asr_attn.checkpoint import TrainedModel, load_model
from asr_attn.data.batches import pad_waveforms
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.evaluation.explanation_agreement import mass_inside
from asr_attn.evaluation.explanation_methods import GRADIENTS, ExplanationConfig, GivenText
from asr_attn.evaluation.explanations import METHODS, Explanation, explain
from asr_attn.evaluation.intervals import percentile_interval

HIDDEN = 0.05
"""Share of the frames that are replaced."""
DRAWS = 1000
ROWS = (*METHODS, "chance")
COLUMNS = (
    "in its known time",
    "in its time by CTC",
    "rank correlation with attention",
    "overlap with attention",
    "fall",
)


def figures(
    model: TrainedModel, utterance: Utterance, config: ExplanationConfig
) -> Iterator[dict[tuple[str, str], float | None]]:
    """Figures of each word: row and column of the table."""
    samples = read_audio(utterance.audio, model.features.sample_rate)
    found = explain(model, samples, utterance.text, config)
    shares = {method: getattr(found, method) for method in METHODS}
    shape = found.attention.shape
    # of frames: all alike for the shares inside, in an order by chance for what is hidden
    shares["chance"] = np.full(shape, 1 / shape[1])
    order = {**shares, "chance": np.random.default_rng(0).random(shape)}
    falls = _falls(model, samples, found, order)
    for i, (_, start, end) in enumerate(utterance.extra["words"]):
        agreement = found.agreement[i]
        cells: dict[tuple[str, str], float | None] = {}
        for row in ROWS:
            inside = mass_inside(shares[row][i], start, end, found.frame_seconds)
            cells[row, COLUMNS[0]] = inside
            cells[row, COLUMNS[1]] = agreement.inside.get(row)
            cells[row, COLUMNS[2]] = agreement.correlation.get(row)
            cells[row, COLUMNS[3]] = agreement.overlap.get(row)
            cells[row, COLUMNS[4]] = falls[row][i]
        cells["gradients and occlusion", COLUMNS[2]] = agreement.correlation["both"]
        cells["gradients and occlusion", COLUMNS[3]] = agreement.overlap["both"]
        yield cells


@torch.inference_mode()
def _falls(
    model: TrainedModel,
    samples: NDArray[np.float32],
    found: Explanation,
    order: Mapping[str, NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """Fall (W,) of each word's log-probability without the frames that a row (W, T) has most of."""
    features, _ = model.network.features(*pad_waveforms([samples]))
    tokens = tuple(model.tokenizer.encode(found.text))
    given = GivenText(model.network, tokens, [word.tokens for word in found.words])
    whole = given.log_probs(features)[0]
    falls = {}
    for name, rows in order.items():
        most = torch.from_numpy(rows).topk(max(1, round(HIDDEN * rows.shape[1])), dim=1).indices
        hidden = features.repeat(len(rows), 1, 1)
        hidden[torch.arange(len(rows))[:, None], most] = 0.0
        falls[name] = (whole - given.log_probs(hidden).diagonal()).numpy()
    return falls


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="CHECKPOINT", type=Path)
    parser.add_argument("manifest", metavar="MANIFEST", type=Path)
    parser.add_argument("--utterances", type=int, default=50, help="the first so many")
    parser.add_argument("--gradients", choices=GRADIENTS, default=ExplanationConfig.gradients)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(options.model)
    utterances = read_manifest(options.manifest)[: options.utterances]
    config = ExplanationConfig(gradients=options.gradients)
    begin = time.process_time()
    done = [list(figures(model, utterance, config)) for utterance in utterances]
    cost = (time.process_time() - begin) / sum(u.duration for u in utterances)
    print("| | " + " | ".join(COLUMNS) + " |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for row in (*ROWS, "gradients and occlusion"):
        cells = [_cell([[w.get((row, c)) for w in words] for words in done]) for c in COLUMNS]
        print(f"| {row} | " + " | ".join(cells) + " |")
    words = sum(map(len, done))
    print(f"\n{words} words; {cost:.2f} s of processor time a second of speech")


def _cell(values: list[list[float | None]]) -> str:
    """Mean of words and its interval; the values of each utterance's words."""
    known = [[v for v in words if v is not None] for words in values]
    sums = np.array([(sum(words), len(words)) for words in known if words])
    if not len(sums):
        return ""
    draws = np.random.default_rng(0).integers(len(sums), size=(DRAWS, len(sums)))
    total, count = np.moveaxis(sums[draws].sum(axis=1), 1, 0)
    interval = percentile_interval(total / count)
    mean = sums[:, 0].sum() / sums[:, 1].sum()
    return f"{mean:.2f} ({interval.low:.2f}, {interval.high:.2f})"


if __name__ == "__main__":
    main()
