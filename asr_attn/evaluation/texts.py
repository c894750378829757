"""References and hypotheses from text files: line by line, or matched by id."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Final

from asr_attn.errors import InputError
from asr_attn.evaluation.text_formats import NamedText, TextFile, read_texts
from asr_attn.text.leading_ids import looks_like_id

REFERENCE_OPTION: Final = "--reference-format"
HYPOTHESIS_OPTION: Final = "--hypothesis-format"
_SHOWN_IDS: Final = 5
_NO_CHANCE: Final = 10
"""Lines from which on it is no chance that all begin with other words, the same on both sides."""


@dataclass(frozen=True)
class TextPairs:
    """References and hypotheses of N utterances.

    Attributes:
        names: N ids, or numbers of lines.
        references: N texts, in the order of their file.
        hypotheses: N texts.
        notes: how the files were read, a sentence each.
    """

    names: Sequence[str]
    references: Sequence[str]
    hypotheses: Sequence[str]
    notes: Sequence[str] = ()


def read_pairs(
    reference: Path,
    hypothesis: Path,
    reference_format: str | None = None,
    hypothesis_format: str | None = None,
) -> TextPairs:
    """Read references and the hypotheses that belong to them.

    Args:
        reference: a file in one of ``text_formats.TEXT_FORMATS``.
        hypothesis: another, which need not be in the same format.
        reference_format: of the reference; None recognizes it.
        hypothesis_format: of the hypothesis.

    Raises:
        InputError: a file cannot be read, its format is in doubt, or they do not go together.
    """
    said = read_texts(reference, REFERENCE_OPTION, reference_format)
    written = read_texts(hypothesis, HYPOTHESIS_OPTION, hypothesis_format)
    notes = [
        f"{file.path}: read as {file.format}, {len(file.texts)} utterances with ids"
        for file, chosen in ((said, reference_format), (written, hypothesis_format))
        if chosen is None and file.format in ("kaldi", "trn")
    ]
    if said.format == written.format == "plain":
        chosen = reference_format and hypothesis_format
        return _same_lines(said, written, [] if chosen else _doubts(said, written))
    for one, other, option in (
        (said, written, REFERENCE_OPTION),
        (written, said, HYPOTHESIS_OPTION),
    ):
        if one.format == "plain":
            raise InputError(
                f"{one.path} is read as plain sentences without ids, but {other.path} has ids "
                f"({other.format}); give both with ids, or say by {option} how the ids are written"
            )
    references, hypotheses, note = _matched(said, written)
    return TextPairs(
        [text.id for text in references],
        [text.text for text in references],
        [text.text for text in hypotheses],
        [*notes, *note],
    )


def _same_lines(said: TextFile, written: TextFile, notes: Sequence[str]) -> TextPairs:
    if len(said.texts) != len(written.texts):
        raise InputError(
            f"{said.path} has {len(said.texts)} lines but {written.path} has "
            f"{len(written.texts)}; each line of one must be the same utterance in the other (an "
            "empty line for no words)"
        )
    return TextPairs(
        [str(text.line) for text in said.texts],
        [text.text for text in said.texts],
        [text.text for text in written.texts],
        notes,
    )


def _doubts(said: TextFile, written: TextFile) -> list[str]:
    """Refuse plain files whose first words may be ids; a note where there are few of them.

    Raises:
        InputError: the first words of the lines are different ones, and the same in both files.
    """
    ours, theirs = said.leading, written.leading
    if ours is None or theirs is None or len(ours) < 2 or set(ours) != set(theirs):
        return []
    joined = all("-" in token or looks_like_id(token) for token in ours)
    options = f"{REFERENCE_OPTION} and {HYPOTHESIS_OPTION}"
    if joined or len(ours) >= _NO_CHANCE or list(ours) != list(theirs):
        raise InputError(
            f"{said.path} and {written.path} may begin each line with an id, since the first words "
            f"of all lines differ and are the same in both; say by {options} whether they do "
            "(kaldi) or not (plain)"
        )
    return [f"{said.path}: read as plain sentences; if each line begins with an id, say {options}"]


def _matched(
    said: TextFile, written: TextFile
) -> tuple[Sequence[NamedText], list[NamedText], list[str]]:
    """Texts of the same utterances, and a note where ids alone do not tell.

    Raises:
        InputError: some utterances are in one file only.
    """
    hypotheses: dict[int, NamedText] = {}
    left, right = dict(enumerate(said.texts)), dict(enumerate(written.texts))
    by_stem = 0
    for names_of in (_by_id, _by_audio, _by_stem):
        ours, theirs = _unique(said.texts, names_of), _unique(written.texts, names_of)
        for name, i in ours.items():
            j = theirs.get(name)
            if j is not None and i in left and j in right:
                hypotheses[i] = right.pop(j)
                del left[i]
                by_stem += names_of is not _by_id
    if left or right:
        parts = [
            f"{len(names)} only in {path} ({_some(names)})"
            for names, path in (
                ([text.id for text in left.values()], said.path),
                ([text.id for text in right.values()], written.path),
            )
            if names
        ]
        raise InputError(f"ids differ: {', '.join(parts)}; give files of the same utterances")
    note = [f"{by_stem} of {len(said.texts)} utterances are matched by the name of the recording"]
    return said.texts, [hypotheses[i] for i in range(len(said.texts))], note if by_stem else []


def _unique(
    texts: Sequence[NamedText], names_of: Callable[[NamedText], Collection[str]]
) -> dict[str, int]:
    """Index of the only text that has a name."""
    named = [(name, i) for i, text in enumerate(texts) for name in names_of(text)]
    counts = Counter(name for name, _ in named)
    return {name: i for name, i in named if counts[name] == 1}


def _by_id(text: NamedText) -> set[str]:
    return {text.id}


def _by_audio(text: NamedText) -> set[str]:
    return {text.id, text.audio} - {""}


def _by_stem(text: NamedText) -> set[str]:
    return {stem for stem in map(_stem, _by_audio(text)) if stem}


def _stem(name: str) -> str:
    """The name of a file without its folders and its ending."""
    file = PureWindowsPath(name)  # takes both kinds of slashes
    return file.stem if 2 <= len(file.suffix) <= 5 and file.suffix[1].isalpha() else file.name


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN_IDS} more" if len(names) > _SHOWN_IDS else ""
    return ", ".join(names[:_SHOWN_IDS]) + more
