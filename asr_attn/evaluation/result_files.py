"""What was recognised, from files that ``asr-attn evaluate --hypotheses`` writes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asr_attn.errors import InputError

_SHOWN = 3


@dataclass(frozen=True)
class Result:
    """One utterance.

    Attributes:
        id: of the utterance.
        reference: what was said.
        text: what was recognised.
        speaker: who spoke, if known.
    """

    id: str
    reference: str
    text: str
    speaker: str | None = None


@dataclass(frozen=True)
class ResultFile:
    """The utterances of a file, in its order, and the form of their texts."""

    path: Path
    normalizer: str
    results: dict[str, Result]


def read_results(path: Path) -> ResultFile:
    """Read a file of results.

    Raises:
        InputError: it cannot be read, or a line of it is no result.
    """
    results: dict[str, Result] = {}
    forms: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                result, form = _parse(line, f"{path}:{number}")
                if result.id in results:
                    raise InputError(f"{path}:{number}: id {result.id!r} is given twice")
                results[result.id] = result
                forms.setdefault(form, number)
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; name a file of results") from None
    except OSError as error:
        reason = "is a folder" if path.is_dir() else f"cannot be read: {error.strerror}"
        raise InputError(f"{path} {reason}; name a file of results") from None
    if not results:
        raise InputError(f"{path} holds no results; evaluate with --hypotheses {path.name}")
    if len(forms) > 1:
        raise InputError(
            f"{path} mixes normalizers ({', '.join(forms)}); evaluate anew with --hypotheses"
        )
    return ResultFile(path, next(iter(forms)), results)


def _parse(line: str, place: str) -> tuple[Result, str]:
    """A line of a file of results, and the normalizer it names."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{place}: is not JSON; write one object a line") from None
    keys = ("id", "reference", "text")
    if not isinstance(data, dict) or not all(isinstance(data.get(key), str) for key in keys):
        raise InputError(
            f'{place}: lacks "id", "reference" or "text"; name a file that asr-attn evaluate '
            "--hypotheses has written"
        )
    speaker = data.get("speaker")
    form = data.get("normalizer")
    return (
        Result(
            data["id"],
            data["reference"],
            data["text"],
            speaker if isinstance(speaker, str) else None,
        ),
        form if isinstance(form, str) else "unknown",
    )


def require_same(files: Sequence[ResultFile]) -> None:
    """Make sure that files are of the same utterances and made in the same way.

    Raises:
        InputError: they are not; says in what they differ.
    """
    first = files[0]
    for other in files[1:]:
        if other.normalizer != first.normalizer:
            raise InputError(
                f"{first.path} was made under the normalizer {first.normalizer} and {other.path} "
                f"under {other.normalizer}; evaluate both with the same --normalizer"
            )
        missing = [name for name in first.results if name not in other.results]
        extra = [name for name in other.results if name not in first.results]
        if missing or extra:
            parts = [
                f"{len(names)} only in {path} ({_some(names)})"
                for names, path in ((missing, first.path), (extra, other.path))
                if names
            ]
            raise InputError(f"ids differ: {', '.join(parts)}; compare results on one test set")
        for name, result in first.results.items():
            if other.results[name].reference != result.reference:
                raise InputError(
                    f"{first.path} and {other.path} have different references of {name!r}: "
                    f"{result.reference!r} and {other.results[name].reference!r}; evaluate both on "
                    "one manifest"
                )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
