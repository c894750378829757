"""References and hypotheses from text files: line by line, or matched by id."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from asr_attn.errors import InputError

_SHOWN_IDS = 5


def read_pairs(reference: Path, hypothesis: Path) -> tuple[list[str], list[str]]:
    """Read references and the hypotheses that belong to them.

    Args:
        reference: a text file with one sentence a line, or JSON Lines with the keys id and text.
        hypothesis: the same kind of file.

    Returns:
        References and hypotheses of the same order; that of the reference file.

    Raises:
        InputError: a file cannot be read, or they do not go together.
    """
    by_id = [path.suffix.lower() == ".jsonl" for path in (reference, hypothesis)]
    if by_id[0] != by_id[1]:
        raise InputError(
            f"{reference} and {hypothesis} must be of one kind: both .jsonl with ids, or both text "
            "with one sentence a line"
        )
    if not by_id[0]:
        return _same_lines(reference, hypothesis)
    references, hypotheses = _texts_by_id(reference), _texts_by_id(hypothesis)
    missing = [name for name in references if name not in hypotheses]
    extra = [name for name in hypotheses if name not in references]
    if missing or extra:
        parts = [
            f"{len(names)} only in {path} ({_some(names)})"
            for names, path in ((missing, reference), (extra, hypothesis))
            if names
        ]
        raise InputError(f"ids differ: {', '.join(parts)}; give files of the same utterances")
    return list(references.values()), [hypotheses[name] for name in references]


def _same_lines(reference: Path, hypothesis: Path) -> tuple[list[str], list[str]]:
    references, hypotheses = list(_lines(reference)), list(_lines(hypothesis))
    if len(references) != len(hypotheses):
        raise InputError(
            f"{reference} has {len(references)} lines but {hypothesis} has {len(hypotheses)}; "
            "each line of one must be the same utterance in the other (an empty line for no words)"
        )
    return references, hypotheses


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for line in stream:
                yield line.removesuffix("\n")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        reason = "is a folder" if path.is_dir() else f"cannot be read: {error.strerror}"
        raise InputError(f"{path} {reason}; name a text file") from None


def _texts_by_id(path: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(f"{path}:{number}: is not JSON; write one object a line") from None
        name, text = (record.get("id"), record.get("text")) if isinstance(record, dict) else (0, 0)
        if not isinstance(name, str) or not isinstance(text, str):
            raise InputError(
                f'{path}:{number}: lacks an "id" or a "text" that is a string; write '
                '{"id": "a-1", "text": "two three"}'
            )
        if name in texts:
            raise InputError(f"{path}:{number}: id {name!r} is given twice; ids must be unique")
        texts[name] = text
    if not texts:
        raise InputError(f"{path} holds no texts; write one JSON object a line")
    return texts


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN_IDS} more" if len(names) > _SHOWN_IDS else ""
    return ", ".join(names[:_SHOWN_IDS]) + more
