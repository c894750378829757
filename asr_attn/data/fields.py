"""The keys of a manifest's lines: which are needed, which are known, and faults in them."""

import difflib
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

NEEDED_KEYS = ("id", "audio", "text", "duration")
KNOWN_KEYS = (*NEEDED_KEYS, "offset", "speaker", "language")
_WAYS_OUT = {
    "duration": " (seconds); asr-attn data import csv makes a manifest with durations of a table "
    "of files and texts"
}
"""How to come by a key that is missing."""


def record_faults(record: Mapping[str, Any]) -> list[str]:
    """Returns what is wrong with the keys and values of one object."""
    meant = {key: known for key in record if (known := _misspelt(key)) is not None}
    faults = [
        f"unknown key {json.dumps(key, ensure_ascii=False)}: did you mean {json.dumps(known)}?"
        for key, known in meant.items()
    ]
    for key in KNOWN_KEYS:
        if key not in record:
            if key in NEEDED_KEYS and key not in meant.values():
                faults.append(f'missing key "{key}"{_WAYS_OUT.get(key, "")}')
        elif (fault := _value_fault(key, record[key])) is not None:
            faults.append(fault)
    return faults


def _value_fault(key: str, value: object) -> str | None:
    if key in ("duration", "offset"):
        return _number_fault(key, value)
    if not isinstance(value, str):
        if value is None and key in ("speaker", "language"):
            return None
        return f'"{key}" must be a string, got {kind_of(value)}'
    if key in ("id", "audio") and not value.strip():
        return f'"{key}" is empty'
    if key == "text" and value and not value.strip():
        return '"text" is only white space; write "" for a recording without speech'
    return None


def _number_fault(key: str, value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f'"{key}" must be a number of seconds, got {kind_of(value)}'
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an int beyond the range of floats
        finite = False
    if not finite:
        return f'"{key}" must be finite'
    if key == "duration" and value <= 0:
        return f'"duration" must be above 0, got {value:g}'
    if value < 0:
        return f'"offset" must be 0 or more, got {value:g}'
    return None


def kind_of(value: object) -> str:
    """Names the kind of a JSON value, as in "got a string"."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        return "a number"
    names = {"str": "a string", "list": "a list", "dict": "an object"}
    return names.get(type(value).__name__, f"a {type(value).__name__}")


@lru_cache(maxsize=4096)
def _misspelt(key: str) -> str | None:
    """Returns the known key that a key is surely meant to be, else None."""
    if key in KNOWN_KEYS:
        return None
    lowered = key.strip().lower()
    if lowered in KNOWN_KEYS:
        return lowered
    # "speaker_id" and "audio2" are keys of their own
    if not lowered.isalpha() or len(lowered) < 3:
        return None
    near = [known for known in KNOWN_KEYS if known != "id" and abs(len(known) - len(lowered)) <= 2]
    return next(iter(difflib.get_close_matches(lowered, near, n=1, cutoff=0.8)), None)
