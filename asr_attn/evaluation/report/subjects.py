"""What a report tells of each recogniser: figures of all utterances together, and of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
from numpy.typing import NDArray

from asr_attn.data.manifest import Utterance
from asr_attn.evaluation.breakdown import with_breakdown
from asr_attn.evaluation.normalization import TextForm
from asr_attn.evaluation.recognition import evaluate, normalized_references, references_of
from asr_attn.evaluation.results import Evaluation
from asr_attn.evaluation.runs import read_metrics
from asr_attn.evaluation.word_confidence import judge_words
from asr_attn.recognizer import Recognizer
from asr_attn.transcript import Transcript

LEAST = 1e-4
"""Probability below which nothing is more surprising."""
_KINDS = {"equal": "=", "substitute": "s", "delete": "d", "insert": "i"}

Pair = tuple[str, str, str]
"""A word said and the word that it was taken for: "=", "s", "d" or "i", and both, "" for none."""


@dataclass(frozen=True)
class Subject:
    """A recogniser that is reported on, and how it did on N utterances.

    Attributes:
        name: short, as it is called on the page.
        path: of its model.
        recognizer: itself.
        evaluation: its figures.
        utterances: N that could be read.
        transcripts: N.
        pairs: N alignments of words, in the form that is compared.
        own_pairs: N alignments of the words as the model writes them.
        surprise: (N,) bits; see ``surprise_of``.
        curves: an object for each epoch of its training; empty where no figures are beside it.
    """

    name: str
    path: Path
    recognizer: Recognizer
    evaluation: Evaluation
    utterances: Sequence[Utterance]
    transcripts: Sequence[Transcript]
    pairs: Sequence[list[Pair]]
    own_pairs: Sequence[list[Pair]]
    surprise: NDArray[np.float64]
    curves: list[dict[str, float]]


def examine(
    name: str,
    path: Path,
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    *,
    form: TextForm | None = None,
    fields: Sequence[str] = (),
    known: Sequence[str] | None = None,
    batch_seconds: float,
    on_result: Callable[[int, Any], None] | None = None,
) -> Subject:
    """Recognise utterances, and measure how well.

    Args:
        name: short name of the recogniser.
        path: of its model, or the folder of its run.
        recognizer: itself.
        utterances: what was said.
        form: of the texts; None as in the training.
        fields: what utterances are grouped by.
        known: texts of the training, to count words that they lack.
        batch_seconds: audio that is recognised at once.
        on_result: is told each result.

    Raises:
        InputError: an utterance lacks a field.
        AudioError: none of the recordings could be read.
    """
    result = evaluate(
        recognizer, utterances, form=form, batch_seconds=batch_seconds, on_result=on_result
    )
    result = with_breakdown(recognizer, utterances, result, form, fields, known)
    done = [u for u in utterances if u.id in result.transcripts]
    # the texts of the result are in the form that is compared, its words are not
    found = [result.transcripts[u.id] for u in done]
    own = normalized_references(recognizer, done)
    return Subject(
        name,
        path,
        recognizer,
        result,
        done,
        found,
        word_pairs(references_of(recognizer, done, form), [t.text for t in found]),
        word_pairs(own, [" ".join(w.text for w in t.words) for t in found]),
        surprise_of(found, own),
        _curves(path),
    )


def word_pairs(references: Sequence[str], hypotheses: Sequence[str]) -> list[list[Pair]]:
    """Align words said with words recognised, as the word error rate does."""
    said = [text.split() for text in references]
    written = [text.split() for text in hypotheses]
    output = jiwer.process_words([" ".join(w) for w in said], [" ".join(w) for w in written])
    found = []
    for ours, theirs, chunks in zip(said, written, output.alignments, strict=True):
        pairs: list[Pair] = []
        for chunk in chunks:
            left = ours[chunk.ref_start_idx : chunk.ref_end_idx]
            right = theirs[chunk.hyp_start_idx : chunk.hyp_end_idx]
            for k in range(max(len(left), len(right))):
                one = left[k] if k < len(left) else ""
                other = right[k] if k < len(right) else ""
                pairs.append((_KINDS[chunk.type], one, other))
        found.append(pairs)
    return found


def surprise_of(
    transcripts: Sequence[Transcript], references: Sequence[str]
) -> NDArray[np.float64]:
    """How far each utterance is from what the confidence of its words foretold, in bits.

    That of a word is -log2 of the probability that its confidence gave to what turned out (right
    or wrong); the utterance has that of its most surprising word. Where nothing was recognised,
    confidence is of that.

    Args:
        transcripts: N.
        references: N, as the model writes them.
    """
    words = judge_words(transcripts, references)
    chance = np.where(words.correct, words.confidence, 1.0 - words.confidence)
    bits = -np.log2(np.clip(chance, LEAST, 1.0))
    found = np.zeros(len(transcripts))
    np.maximum.at(found, words.utterance, bits)
    for i, (transcript, reference) in enumerate(zip(transcripts, references)):
        if not transcript.words and not transcript.silent and transcript.confidence is not None:
            right = transcript.confidence if not reference else 1.0 - transcript.confidence
            found[i] = -np.log2(np.clip(right, LEAST, 1.0))
    return found


def _curves(path: Path) -> list[dict[str, float]]:
    """Figures of the epochs of a run; those that are no numbers are left out."""
    folder = path if path.is_dir() else path.parent
    found = []
    for row in read_metrics(folder):
        numbers = {}
        for key, text in row.items():
            try:
                numbers[key] = float(text)
            except (TypeError, ValueError):
                continue
        found.append({k: v for k, v in numbers.items() if np.isfinite(v)})
    return found
