"""Word and character error rates, pooled over a test set, by jiwer."""

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer


@dataclass(frozen=True)
class ErrorCounts:
    """Edit operations that turn references into hypotheses (Levenshtein alignment).

    Attributes:
        substitutions: words (or characters) recognised as others.
        deletions: missing ones.
        insertions: ones too many.
        total: number of them in the references.
        wrong_sentences: references not recognised to the letter.
        sentences: number of references.
    """

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    total: int = 0
    wrong_sentences: int = 0
    sentences: int = 0

    @property
    def errors(self) -> int:
        """All edit operations."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference word; pooled, so long utterances count for more.

        Without any reference word it is 0 if there is no error, else infinite.
        """
        if self.total:
            return self.errors / self.total
        return float("inf") if self.errors else 0.0

    @property
    def known_rate(self) -> float | None:
        """The rate; None without any reference word."""
        return self.rate if self.total else None

    @property
    def sentence_rate(self) -> float:
        """Share of the references that are not recognised to the letter."""
        return self.wrong_sentences / self.sentences if self.sentences else 0.0

    @property
    def hits(self) -> int:
        """Words (or characters) that are right."""
        return self.total - self.substitutions - self.deletions

    @property
    def match_error_rate(self) -> float:
        """Share of errors among all errors and hits (MER; Morris et al. 2004): at most 1."""
        pairs = self.hits + self.errors
        return self.errors / pairs if pairs else 0.0

    @property
    def information_lost(self) -> float:
        """Word information lost (WIL; Morris et al. 2004): 0 if all is right, 1 if nothing is."""
        written = self.hits + self.substitutions + self.insertions
        if not self.total or not written:
            return 1.0 if self.total or written else 0.0
        return 1.0 - self.hits**2 / (self.total * written)

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.total + other.total,
            self.wrong_sentences + other.wrong_sentences,
            self.sentences + other.sentences,
        )


def count_errors(
    references: Sequence[str], hypotheses: Sequence[str], *, characters: bool = False
) -> ErrorCounts:
    """Count the errors of hypotheses against references of the same order.

    Args:
        references: what was said; may be empty strings (silence), whose hypotheses count as
            insertions.
        hypotheses: what was recognised.
        characters: compare characters (spaces included) instead of words.

    Returns:
        Counts over all pairs. Any run of white space counts as one space: jiwer alone takes two
        words with a tab between them for one.

    Raises:
        ValueError: the numbers of references and hypotheses differ.
    """
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references but {len(hypotheses)} hypotheses")
    if not references:
        return ErrorCounts()
    references = [" ".join(text.split()) for text in references]
    hypotheses = [" ".join(text.split()) for text in hypotheses]
    process = jiwer.process_characters if characters else jiwer.process_words
    output = process(references, hypotheses)
    return ErrorCounts(
        output.substitutions,
        output.deletions,
        output.insertions,
        output.hits + output.substitutions + output.deletions,
        sum(r != h for r, h in zip(references, hypotheses)),
        len(references),
    )
