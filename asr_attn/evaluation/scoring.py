"""Errors of each utterance, what was taken for what, and groups of utterances."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TypeAlias

import jiwer
import numpy as np
from numpy.typing import NDArray

from asr_attn.evaluation.error_rates import ErrorCounts
from asr_attn.evaluation.intervals import Interval, rate_interval

QUANTILES = 4
"""Groups that a number is cut into."""
_BATCH = 1000
"""Texts that are aligned at a time."""


@dataclass(frozen=True)
class Scores:
    """Words, or characters, of N utterances.

    Attributes:
        words: (N,) in the references.
        errors: (N,) substitutions, deletions and insertions.
        inserted: (N,) of them, insertions.
        written: (N,) words in the hypotheses.
        substitutions: how often a word was taken for another.
        deletions: how often a word was left out.
        insertions: how often a word was put in.
    """

    words: NDArray[np.int64]
    errors: NDArray[np.int64]
    inserted: NDArray[np.int64]
    written: NDArray[np.int64]
    substitutions: Counter[tuple[str, str]]
    deletions: Counter[str]
    insertions: Counter[str]

    @property
    def hits(self) -> NDArray[np.int64]:
        """(N,) words that are right."""
        return self.words - self.errors + self.inserted

    def counts(self) -> ErrorCounts:
        """Errors of all utterances."""
        return ErrorCounts(
            self.substitutions.total(),
            self.deletions.total(),
            self.insertions.total(),
            int(self.words.sum()),
            int((self.errors > 0).sum()),
            len(self.errors),
        )


Aligned: TypeAlias = tuple[Sequence[str], Sequence[str], list[jiwer.AlignmentChunk]]
"""Words of a reference, those of a hypothesis, and what became of what."""


def aligned(
    references: Iterable[str], hypotheses: Iterable[str], *, characters: bool = False
) -> Iterator[Aligned]:
    """Align each hypothesis with its reference, word by word (Levenshtein); they come in order.

    Any run of white space parts words. Memory does not grow with the number of texts.

    Args:
        references: what was said.
        hypotheses: what was recognised.
        characters: align characters (a space between words is one) instead of words.

    Raises:
        ValueError: the numbers of references and hypotheses differ.
    """
    pairs = zip(references, hypotheses, strict=True)
    process = jiwer.process_characters if characters else jiwer.process_words
    # jiwer alone takes two words with a tab between them for one
    while batch := [(" ".join(r.split()), " ".join(h.split())) for r, h in islice(pairs, _BATCH)]:
        output = process([r for r, _ in batch], [h for _, h in batch])
        for (said, written), chunks in zip(batch, output.alignments):
            if characters:
                yield said, written, chunks
            else:
                yield said.split(), written.split(), chunks


def score_words(references: Sequence[str], hypotheses: Sequence[str]) -> Scores:
    """Align each hypothesis with its reference, word by word, and count."""
    return _score(len(references), aligned(references, hypotheses))


def score_characters(references: Sequence[str], hypotheses: Sequence[str]) -> Scores:
    """Align each hypothesis with its reference, character by character, and count."""
    return _score(len(references), aligned(references, hypotheses, characters=True))


def _score(count: int, alignments: Iterable[Aligned]) -> Scores:
    """Count what alignments of ``count`` utterances hold."""
    said, wrong, inserted, output = np.zeros((4, count), dtype=np.int64)
    scores = Scores(said, wrong, inserted, output, Counter(), Counter(), Counter())
    for i, (reference, hypothesis, chunks) in enumerate(alignments):
        scores.words[i], scores.written[i] = len(reference), len(hypothesis)
        for chunk in chunks:
            if chunk.type == "equal":
                continue
            ours = reference[chunk.ref_start_idx : chunk.ref_end_idx]
            theirs = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
            scores.errors[i] += max(len(ours), len(theirs))
            if chunk.type == "substitute":
                scores.substitutions.update(zip(ours, theirs, strict=True))
            elif chunk.type == "delete":
                scores.deletions.update(ours)
            else:
                scores.insertions.update(theirs)
                scores.inserted[i] += len(theirs)
    return scores


@dataclass(frozen=True)
class UnknownWords:
    """Words of references that are not among the words of the training.

    Attributes:
        count: how many of them are said.
        different: how many different ones.
        recognised: how many are recognised.
        words: in all references.
    """

    count: int
    different: int
    recognised: int
    words: int

    def __str__(self) -> str:
        share = f"{100 * self.count / self.words:.2f} %" if self.words else "none"
        return (
            f"{self.count} words ({share}, {self.different} different) are not in the training "
            f"texts; {self.recognised} of them were recognised"
        )


def count_unknown(
    references: Sequence[str], scores: Scores, known: Collection[str]
) -> UnknownWords:
    """Count the words that are not ``known``."""
    said = Counter(word for text in references for word in text.split() if word not in known)
    wrong = sum(n for (word, _), n in scores.substitutions.items() if word in said)
    wrong += sum(n for word, n in scores.deletions.items() if word in said)
    total = said.total()
    return UnknownWords(total, len(said), total - wrong, int(scores.words.sum()))


@dataclass(frozen=True)
class Group:
    """Utterances that have something in common.

    Attributes:
        name: what it is.
        utterances: how many.
        words: in the references.
        errors: wrong ones.
        interval: of the error rate; None without words.
    """

    name: str
    utterances: int
    words: int
    errors: int
    interval: Interval | None

    @property
    def rate(self) -> float | None:
        """Word error rate; None without words."""
        return self.errors / self.words if self.words else None


@dataclass(frozen=True)
class Labels:
    """What group each of N utterances is in.

    Attributes:
        each: N names.
        ranges: names in the order of the numbers that they stand for; empty for other groups.
    """

    each: list[str]
    ranges: tuple[str, ...] = ()


def grouped(scores: Scores, labels: Labels) -> list[Group]:
    """Figures of the utterances of each label: ranges in order, others from the most errors on."""
    members: dict[str, list[int]] = {name: [] for name in labels.ranges}
    for i, name in enumerate(labels.each):
        members.setdefault(name, []).append(i)
    found = []
    for name, own in members.items():
        words, errors = scores.words[own], scores.errors[own]
        interval = rate_interval(errors, words, draws=2000) if words.any() else None
        found.append(Group(name, len(own), int(words.sum()), int(errors.sum()), interval))
    return found if labels.ranges else sorted(found, key=lambda group: -(group.rate or 0.0))


def quantile_labels(values: NDArray[np.float64], unit: str) -> Labels:
    """Cut numbers (N,) into groups of about the same size; their labels are ranges."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, QUANTILES + 1)))
    if len(edges) < 2:
        name = f"{edges[0]:.3g} {unit}".strip()
        return Labels([name] * len(values), (name,))
    number = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    names = [f"{low:.3g} to {high:.3g} {unit}".strip() for low, high in pairwise(edges)]
    return Labels([names[k] for k in number], tuple(dict.fromkeys(names)))
