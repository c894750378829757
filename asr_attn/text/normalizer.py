"""One spelling for texts that say the same, so that they can be learnt from and compared."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

# Typed for an apostrophe or a hyphen. U+02BC is left alone: in some languages it is a letter.
_SAME_AS_ASCII: Final = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201b": "'", "\u00b4": "'", "`": "'", "\uff07": "'"}
    | {"\u2010": "-", "\u2011": "-"}
)
# The joiners decide the shape of letters in Persian and in Indian scripts.
_JOINERS: Final = "\u200c\u200d"
# The middle dot is Catalan's ("col·lecció"); the hyphen comes last, as a character class needs it.
_INSIDE_WORDS: Final = "'\u00b7" + _JOINERS + "-"
_NOT_BETWEEN_LETTERS: Final = re.compile(
    rf"(?<![^\s{_INSIDE_WORDS}])[{_INSIDE_WORDS}]+"
    rf"|[{_INSIDE_WORDS}]+(?![^\s{_INSIDE_WORDS}])"
)


@dataclass(frozen=True)
class NormalizerConfig:
    """What normalisation does besides Unicode and white space.

    Attributes:
        lowercase: write all letters small (without regard to language: "I" becomes "i" in Turkish).
        keep_punctuation: keep punctuation and symbols.
    """

    lowercase: bool = True
    keep_punctuation: bool = False


def normalize(text: str, config: NormalizerConfig) -> str:
    """Returns the text in one spelling; doing it twice changes nothing more.

    Characters are brought to Unicode's NFKC, typographic apostrophes and hyphens to ' and -,
    invisible format characters are dropped, and runs of white space become one space. Punctuation
    and symbols become spaces unless kept ("well,then" is two words), but for an apostrophe, a
    hyphen or a middle dot between two letters or digits.
    """
    text = _compose(text.translate(_SAME_AS_ASCII).translate(_INVISIBLE_DROPPED))
    if config.lowercase:
        text = _compose(text.lower())  # lower-casing can leave a letter and its accent apart
    if not config.keep_punctuation:
        text = _NOT_BETWEEN_LETTERS.sub(" ", text.translate(_PUNCTUATION_TO_SPACE))
    return " ".join(text.split())


def _compose(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_SAME_AS_ASCII)


class _InvisibleDropped(dict[int, str]):
    """Drops invisible characters, such as soft hyphens and controls; filled when asked."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        invisible = unicodedata.category(character) in ("Cf", "Cc")
        keep = not invisible or character in _JOINERS or character.isspace()
        self[code] = character if keep else ""
        return self[code]


class _PunctuationToSpace(dict[int, str]):
    """Keeps letters, marks and digits and what may stand inside a word; filled when asked."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kept = unicodedata.category(character)[0] in "LMN" or character in _INSIDE_WORDS
        self[code] = character if kept else " "
        return self[code]


_INVISIBLE_DROPPED: Final = _InvisibleDropped()
_PUNCTUATION_TO_SPACE: Final = _PunctuationToSpace()
