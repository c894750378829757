"""Combining marks and invisible characters of Unicode: which are part of a word, and which not."""

import re
import unicodedata
from typing import Final

JOINERS: Final = "\u200c\u200d"
"""They decide the shape of letters in Persian and in Indian scripts."""
_LOOSE_JOINERS: Final = re.compile(rf"(?<!\S)[{JOINERS}]+|[{JOINERS}]+(?!\S)")
_SEPARATORS: Final = "\u200b"
"""The zero-width space is between words where no space is written, as in Khmer or Thai."""
# Of the marks and letters that Unicode has nothing drawn for (Default_Ignorable_Code_Point):
# grapheme joiner, Hangul fillers, inherent vowels of Khmer, variation selectors.
_INVISIBLE: Final = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
            *(0x180B, 0x180C, 0x180D, 0x180F),
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)


class _Visible(dict[int, str]):
    """Drops invisible characters but for joiners; filled when asked."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        unseen = unicodedata.category(character) in ("Cf", "Cc") or character in _INVISIBLE
        keep = not unseen or character in JOINERS or character.isspace()
        self[code] = " " if character in _SEPARATORS else character if keep else ""
        return self[code]


_VISIBLE: Final = _Visible()


def without_invisible(text: str) -> str:
    """The text without soft hyphens, controls, variation selectors and their like.

    The joiners stay, since they decide how letters look; a zero-width space becomes a space.
    """
    return text.translate(_VISIBLE)


def is_mark(character: str) -> bool:
    """Whether a character combines with the one before it: a vowel sign, an accent, a virama."""
    return unicodedata.category(character) in ("Mn", "Mc")


def without_lone_marks(text: str, inside: str = "") -> str:
    """The text without marks that no letter comes before, such as after a space.

    Args:
        text: what may hold them.
        inside: characters that are no letters, though they stand inside words.
    """
    if text.isascii():
        return text
    kept: list[str] = []
    carried = False
    for character in text:
        if is_mark(character):
            if not carried:
                continue
        elif character not in JOINERS:
            carried = not character.isspace() and character not in inside
        kept.append(character)
    return "".join(kept)


def without_loose_joiners(text: str) -> str:
    """The text without joiners at the ends of words, or by themselves."""
    return _LOOSE_JOINERS.sub("", text)


def is_vocalization(mark: str) -> bool:
    """Whether a mark is a vowel point or the like that ordinary writing leaves out.

    Those of Arabic (harakat, but not hamza and maddah), Hebrew (niqqud), Syriac and Samaritan.
    """
    name = unicodedata.name(mark, "")
    return name.startswith(("ARABIC ", "HEBREW ", "SYRIAC ", "SAMARITAN ")) and not any(
        part in name for part in ("HAMZA", "MADDAH")
    )


def carries_meaning(mark: str) -> bool:
    """Whether words differ by a mark, as by vowel signs: not by accents that stand on letters.

    Accents of Latin, Greek and Cyrillic are those that Unicode names COMBINING.
    """
    if not is_mark(mark) or is_vocalization(mark):
        return False
    return not unicodedata.name(mark, "COMBINING").startswith("COMBINING")
