"""What was recognised, from files that ``asr-attn evaluate --hypotheses`` writes."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr_attn.errors import InputError
from asr_attn.evaluation.segments import Places, differences, error_places

_SHOWN = 3
_BATCH = 1000
"""Results that are aligned at a time."""


@dataclass(frozen=True, slots=True)
class Result:
    """One utterance.

    Attributes:
        line: of the file.
        id: of the utterance.
        reference: what was said.
        text: what was recognised.
        speaker: who spoke, if known.
        normalizer: form of the texts.
    """

    line: int
    id: str
    reference: str
    text: str
    speaker: str | None
    normalizer: str


@dataclass(frozen=True)
class PairedResults:
    """N utterances, as K files have them.

    Attributes:
        names: their ids, in the order of the first file.
        words: (N,) of the references.
        errors: (N, K) wrong words.
        speakers: who spoke, as the first file says.
        normalizer: form of the texts.
        segments: differences of the errors of two files, see ``segments``; empty for more files.
    """

    names: list[str]
    words: NDArray[np.int64]
    errors: NDArray[np.int64]
    speakers: list[str | None]
    normalizer: str
    segments: list[int]


def pair_results(paths: Sequence[Path]) -> PairedResults:
    """Count the errors in files of the same utterances, which need not be in the same order.

    Of the first file ids, references and places of errors are held, of the others only counts.

    Raises:
        InputError: a file cannot be read, or a line of it is no result; the files are not of the
            same utterances or not made in the same way; the references hold no words.
    """
    first = _First(paths[0])
    if not first.words.any():
        raise InputError(f"{paths[0]}: the references hold no words, so there is no error rate")
    columns, segments = [first.errors], list[int]()
    for path in paths[1:]:
        errors, found = first.counted(path)
        columns.append(errors)
        segments = found
    return PairedResults(
        list(first.rows),
        first.words,
        np.stack(columns, axis=1),
        first.speakers,
        first.normalizer,
        segments if len(paths) == 2 else [],
    )


class _First:
    """The file that others are compared with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, int] = {}
        self.references: list[str] = []
        self.speakers: list[str | None] = []
        self.places: list[Places] = []
        self.normalizer = ""
        for result, places in _with_places(path):
            if result.id in self.rows:
                raise _twice(path, result)
            self.normalizer = result.normalizer
            self.rows[result.id] = len(self.rows)
            self.references.append(result.reference)
            self.speakers.append(result.speaker)
            self.places.append(places)
        self.words = np.array([len(places) // 2 for places in self.places])
        self.errors = np.array([sum(places) for places in self.places])

    def counted(self, path: Path) -> tuple[NDArray[np.int64], list[int]]:
        """Errors (N,) of another file, and the differences in segments."""
        errors = np.full(len(self.rows), -1)
        segments: list[int] = []
        extra: list[str] = []
        changed = ""
        for result, places in _with_places(path):
            if result.normalizer != self.normalizer:
                raise InputError(
                    f"{self.path} was made under the normalizer {self.normalizer} and {path} under "
                    f"{result.normalizer}; evaluate both with the same --normalizer and by "
                    "one version of asr-attn"
                )
            row = self.rows.get(result.id)
            if row is None:
                extra.append(result.id)
                continue
            if errors[row] >= 0:
                raise _twice(path, result)
            errors[row] = sum(places)
            if result.reference != self.references[row]:
                changed = changed or (
                    f"{self.path} and {path} have different references of {result.id!r}: "
                    f"{self.references[row]!r} and {result.reference!r}; evaluate both on one "
                    "manifest"
                )
                continue
            segments += differences(self.places[row], places)
        self._refuse_other_ids(path, errors, extra)
        if changed:
            raise InputError(changed)
        return errors, segments

    def _refuse_other_ids(
        self, path: Path, errors: NDArray[np.int64], extra: Sequence[str]
    ) -> None:
        missing = [name for name, row in self.rows.items() if errors[row] < 0]
        if missing or extra:
            parts = [
                f"{len(names)} only in {where} ({_some(names)})"
                for names, where in ((missing, self.path), (extra, path))
                if names
            ]
            raise InputError(f"ids differ: {', '.join(parts)}; compare results on one test set")


def _with_places(path: Path) -> Iterator[tuple[Result, Places]]:
    """Yields results, and where their errors are."""
    results = read_results(path)
    while batch := list(islice(results, _BATCH)):
        yield from zip(batch, error_places([r.reference for r in batch], [r.text for r in batch]))


def read_results(path: Path) -> Iterator[Result]:
    """Read a file of results, line by line.

    Raises:
        InputError: it cannot be read, is empty or mixes normalizers, or a line of it is no result.
    """
    normalizer = None
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                result = _parse(line, path, number)
                normalizer = normalizer or result.normalizer
                if result.normalizer != normalizer:
                    raise InputError(
                        f"{path} mixes normalizers ({normalizer}, {result.normalizer} from line "
                        f"{number} on); evaluate anew with --hypotheses"
                    )
                yield result
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; name a file of results") from None
    except OSError as error:
        reason = "is a folder" if path.is_dir() else f"cannot be read: {error.strerror}"
        raise InputError(f"{path} {reason}; name a file of results") from None
    if normalizer is None:
        raise InputError(f"{path} holds no results; evaluate with --hypotheses {path.name}")


def _parse(line: str, path: Path, number: int) -> Result:
    """A line of a file of results."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{path}:{number}: is not JSON; write one object a line") from None
    keys = ("id", "reference", "text")
    if not isinstance(data, dict) or not all(isinstance(data.get(key), str) for key in keys):
        raise InputError(
            f'{path}:{number}: lacks "id", "reference" or "text"; name a file that asr-attn '
            "evaluate --hypotheses has written"
        )
    speaker, form = data.get("speaker"), data.get("normalizer")
    return Result(
        number,
        data["id"],
        data["reference"],
        data["text"],
        sys.intern(speaker) if isinstance(speaker, str) else None,
        form if isinstance(form, str) else "unknown",
    )


def _twice(path: Path, result: Result) -> InputError:
    return InputError(f"{path}:{result.line}: id {result.id!r} is given twice")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
