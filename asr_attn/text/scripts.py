"""Writing systems that put no spaces between words."""

import unicodedata
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

_WITHOUT_SPACES: Final = (
    *("CJK UNIFIED", "CJK COMPATIBILITY", "HIRAGANA", "KATAKANA", "YI SYLLABLE"),
    *("THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN ", "JAVANESE ", "BALINESE "),
    *("TAI LE ", "NEW TAI LUE ", "TAI THAM ", "TAI VIET "),
)
_MOST_SPACES: Final = 0.15
"""Spaces per letter, between letters of these scripts, below which words are not parted: texts that
were cut into words have 0.2 and more, and others a few at the ends of phrases."""


def lacks_spaces(texts: Iterable[str]) -> bool:
    """Whether most letters of texts are of scripts without spaces, and words are not parted."""
    letters = without = spaces = 0
    for text in texts:
        words = text.split()
        spaces += sum(_spaceless(a[-1]) and _spaceless(b[0]) for a, b in pairwise(words))
        for sign in text:
            letters += unicodedata.category(sign)[0] == "L"
            without += _spaceless(sign)
    return 2 * without > letters and spaces < _MOST_SPACES * without


def _spaceless(sign: str) -> bool:
    """Whether a sign is a letter, or a mark on one, of a script without spaces."""
    return sign >= "\u0e00" and unicodedata.name(sign, "").startswith(_WITHOUT_SPACES)
