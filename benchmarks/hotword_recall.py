"""What hotwords do to the words that are listed, and to the others.

Every word of a manifest's texts is made a hotword in turn, alone, and the manifest is recognised
with it. Pooled over the words: how many of a hotword's occurrences are recognised, how often it is
written where it was not said, and the word error rate of all other words, without and with the
boost. The interval is a 95 % bootstrap over utterances of the difference in the error rate of the
others.

Examples:
  python benchmarks/hotword_recall.py runs/fsdd_strings data/fsdd/strings/test.jsonl
  python benchmarks/hotword_recall.py runs/digits data/fsdd/strings/test.jsonl --boosts 2 5 10
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import jiwer
import numpy as np
from numpy.typing import NDArray

from asr_attn.checkpoint import TrainedModel, load_model
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.decoding.hotwords import Hotword
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.recognizer import Recognizer
from asr_attn.transcript import Transcript


@dataclass(frozen=True)
class Counts:
    """What came of the U utterances with one word listed, each field (U,).

    Attributes:
        said: times that the listed word was said.
        found: of these, recognised.
        false: times that it was written where it was not said.
        others: other words said.
        errors: errors that have nothing to do with the listed word.
    """

    said: NDArray[np.int64]
    found: NDArray[np.int64]
    false: NDArray[np.int64]
    others: NDArray[np.int64]
    errors: NDArray[np.int64]


def count(references: list[str], hypotheses: list[str], listed: str) -> Counts:
    """Count by a minimal alignment."""
    rows = np.zeros((len(references), 5), dtype=np.int64)
    output = jiwer.process_words(references, hypotheses)
    aligned = zip(output.references, output.hypotheses, output.alignments, strict=True)
    for row, (said, written, chunks) in zip(rows, aligned):
        row[0], row[3] = said.count(listed), len(said) - said.count(listed)
        for chunk in chunks:
            ours = said[chunk.ref_start_idx : chunk.ref_end_idx]
            theirs = written[chunk.hyp_start_idx : chunk.hyp_end_idx]
            if chunk.type == "equal":
                row[1] += ours.count(listed)
            else:
                row[2] += theirs.count(listed)
                pairs = zip(ours or [""] * len(theirs), theirs or [""] * len(ours), strict=True)
                row[4] += sum(listed not in pair for pair in pairs)
    return Counts(*rows.T)


def recognise(
    model: TrainedModel, utterances: list[Utterance], hotwords: list[Hotword]
) -> list[str]:
    """Texts of the utterances, by a beam of 10 with CTC."""
    recognizer = Recognizer(model, SearchConfig(beam=10, ctc_weight=0.3), hotwords)
    texts = [""] * len(utterances)
    for i, found in recognizer.transcribe_utterances(utterances):
        assert isinstance(found, Transcript)
        texts[i] = found.text
    return texts


def pooled(counts: list[Counts]) -> tuple[float, int, float]:
    """Recall, false alarms, and error rate of the other words."""
    total = {name: sum(int(getattr(c, name).sum()) for c in counts) for name in vars(counts[0])}
    return total["found"] / total["said"], total["false"], total["errors"] / total["others"]


def interval(before: list[Counts], after: list[Counts], draws: int = 10000) -> tuple[float, float]:
    """95 % interval of the change of the other words' error rate: whole utterances are drawn."""
    change = np.sum([b.errors - a.errors for a, b in zip(before, after)], axis=0)
    others = np.sum([a.others for a in before], axis=0)
    chosen = np.random.default_rng(0).multinomial(
        len(change), np.full(len(change), 1 / len(change)), draws
    )
    low, high = np.percentile(chosen @ change / (chosen @ others), [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="CHECKPOINT", type=Path)
    parser.add_argument("manifest", metavar="MANIFEST", type=Path)
    parser.add_argument("--boosts", type=float, nargs="+", default=[1.0, 2.0, 5.0])
    options = parser.parse_args()
    model, utterances = load_model(options.model), read_manifest(options.manifest)
    references = [u.text for u in utterances]
    words = sorted({word for text in references for word in text.split()})
    plain = recognise(model, utterances, [])
    before = [count(references, plain, word) for word in words]
    print("| boost | recall of the listed | written, not said | WER of the others | change of it |")
    print("|---|---|---|---|---|")
    recall, false, rate = pooled(before)
    print(f"| none | {100 * recall:.2f} % | {false} | {100 * rate:.2f} % | |")
    for boost in options.boosts:
        after = [
            count(references, recognise(model, utterances, [Hotword(word, boost)]), word)
            for word in words
        ]
        recall, false, rate = pooled(after)
        low, high = interval(before, after)
        print(
            f"| {boost:g} | {100 * recall:.2f} % | {false} | {100 * rate:.2f} % | "
            f"{100 * low:+.2f} to {100 * high:+.2f} points |",
            flush=True,
        )


if __name__ == "__main__":
    main()
