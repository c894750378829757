"""Utterance ids at the ends of lines of text, as Kaldi and sclite write them: told from words."""

import re
from collections.abc import Sequence
from typing import Final

ENDING_ID: Final = re.compile(r"\(([^\s()]+)\)\s*$")
"""An id at the end of a line, as NIST's sclite has it."""
_LETTER_AND_DIGIT: Final = re.compile(r"(?=[^\d]*\d)(?=.*[A-Za-z\-._:/])[\x21-\x7e]+")
_LONG_NUMBER: Final = re.compile(r"\d{4,}")
_JOINED: Final = re.compile(r"[\x21-\x7e]*[A-Za-z0-9][_/][A-Za-z0-9][\x21-\x7e]*")
_PRICE_OR_TIME: Final = re.compile(r"\d+([.:,]\d+)*[.:,]?|\d+(st|nd|rd|th|s|am|pm)\b\W*", re.I)


def looks_like_id(token: str) -> bool:
    """Whether a token is an id rather than a word: "1272-128104-0000", "utt_a", "s01".

    "2nd", "10:30" and "3.5" are words.
    """
    if _PRICE_OR_TIME.fullmatch(token) and not _LONG_NUMBER.fullmatch(token):
        return False
    return any(p.fullmatch(token) for p in (_LETTER_AND_DIGIT, _LONG_NUMBER, _JOINED))


def leading_tokens(lines: Sequence[str]) -> list[str] | None:
    """The first token of each line, if no two are alike and some lines hold more than that.

    Args:
        lines: none of them empty.

    Returns:
        None where first tokens cannot be ids.
    """
    tokens = [line.split(maxsplit=1)[0] for line in lines]
    several = any(len(line.split(maxsplit=1)) > 1 for line in lines)
    return tokens if several and len(set(tokens)) == len(tokens) else None


def all_have_ids(lines: Sequence[str]) -> bool:
    """Whether lines of text, none of them empty, all begin or all end with ids of utterances."""
    if len(lines) < 2:
        return False
    ends = [found[1] for line in lines if (found := ENDING_ID.search(line))]
    for tokens in (leading_tokens(lines), ends if len(ends) == len(lines) else None):
        if tokens is not None and all(map(looks_like_id, tokens)):
            return True
    return False
