"""One line of JSON Lines: strict, and with what is wrong in words."""

import json
from typing import Any, Final, NoReturn

from asr_attn.data.fields import kind_of

ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
"""Writes objects as they are read here."""


def parse_bytes(line: bytes) -> tuple[dict[str, Any] | None, list[str]]:
    """The object of a line of UTF-8, or None and what is wrong with the line."""
    try:
        return parse_object(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return None, [not_utf8(error)]


def parse_object(line: str) -> tuple[dict[str, Any] | None, list[str]]:
    """The object of a line, or None and what is wrong with the line."""
    try:
        record = _DECODER.decode(line)
    except json.JSONDecodeError as error:
        if error.pos == 0 and not line.lstrip().startswith(("{", "[")):
            return None, [
                "not a JSON object; asr-attn data import makes a manifest of a table or a list"
            ]
        return None, [f"not JSON: {error.msg} at column {error.colno}"]
    except (ValueError, RecursionError) as error:
        return None, [f"not JSON: {error}"]
    if not isinstance(record, dict):
        return None, [f"not a JSON object but {kind_of(record)}; write {{...}} with the keys"]
    if "\\u" in line and not _is_unicode(record):
        return None, ["a \\u escape is half of a surrogate pair; write the character itself"]
    return record, []


def not_utf8(error: UnicodeDecodeError) -> str:
    """Which byte is no UTF-8."""
    byte = error.object[error.start]
    return f"byte {error.start + 1} (0x{byte:02X}) is not UTF-8; save the file as UTF-8"


def _is_unicode(record: dict[str, Any]) -> bool:
    try:
        json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of its keys and values; json alone would drop all but the last of a key."""
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ValueError(f"the key {json.dumps(twice, ensure_ascii=False)} is given twice")
    return record


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
