"""One spelling for texts that say the same, so that they can be learnt from and compared."""

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Final

from asr_attn.text.marks import (
    JOINERS,
    without_invisible,
    without_lone_marks,
    without_loose_joiners,
)
from asr_attn.text.symbols import check_symbols, symbol_pattern

# Typed for an apostrophe or a hyphen. U+02BC is left alone: in some languages it is a letter.
_SAME_AS_ASCII: Final = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201b": "'", "\u00b4": "'", "`": "'", "\uff07": "'"}
    | {"\u2010": "-", "\u2011": "-"}
)
# The middle dot is Catalan's ("col·lecció"); the hyphen comes last, as a character class needs it.
_INSIDE_WORDS: Final = "'\u00b7" + JOINERS + "-"
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
        symbols: words that stand for no speech, such as "[noise]" or "<unk>"; with ``lowercase``
            whatever their letter case.
        keep_symbols: keep them as words, each of which is one token; else they are dropped.
    """

    lowercase: bool = True
    keep_punctuation: bool = False
    symbols: tuple[str, ...] = ()
    keep_symbols: bool = False

    def __post_init__(self) -> None:
        check_symbols(self.symbols, "tokenizer.normalizer.symbols")

    @property
    def kept_symbols(self) -> tuple[str, ...]:
        """The symbols that normalised texts may hold."""
        return self.symbols if self.keep_symbols else ()


def normalize(text: str, config: NormalizerConfig) -> str:
    """Returns the text in one spelling; doing it twice changes nothing more.

    Characters are brought to Unicode's NFKC, typographic apostrophes and hyphens to ' and -,
    invisible characters are dropped but for joiners, and runs of white space become one space, as
    does a zero-width space. Punctuation and symbols become spaces unless kept ("well,then" is two
    words), but for an apostrophe, a hyphen or a middle dot between two letters or digits. Marks
    stay with their letters; those without a letter are dropped.
    """
    if config.symbols:
        return _normalize_around(text, config)
    text = _compose(without_invisible(text.translate(_SAME_AS_ASCII)))
    if config.lowercase:
        text = _compose(text.lower())  # lower-casing can leave a letter and its accent apart
    if config.keep_punctuation:
        text = without_loose_joiners(without_lone_marks(text))
    else:
        text = _words_only(text)
    return " ".join(text.split())


def _normalize_around(text: str, config: NormalizerConfig) -> str:
    """Normalizes what is between symbols, and writes symbols as the settings do."""
    spelt = {symbol.lower() if config.lowercase else symbol: symbol for symbol in config.symbols}
    parts = symbol_pattern(config.symbols, ignore_case=config.lowercase).split(text)
    others = replace(config, symbols=())
    found = [normalize(part, others) for part in parts]
    if config.keep_symbols:
        found[1::2] = [spelt[p.lower() if config.lowercase else p] for p in parts[1::2]]
    else:
        del found[1::2]
    return " ".join(part for part in found if part)


def _words_only(text: str) -> str:
    """Letters with their marks and digits, and what stands inside words; spaces for the others."""
    text = without_lone_marks(text.translate(_PUNCTUATION_TO_SPACE), _INSIDE_WORDS)
    return _NOT_BETWEEN_LETTERS.sub(" ", text)


def _compose(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(_SAME_AS_ASCII)


class _PunctuationToSpace(dict[int, str]):
    """Keeps letters, marks and digits and what may stand inside a word; filled when asked."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        # an enclosing mark (Me), as of a keycap, is a symbol
        kept = (category[0] in "LMN" and category != "Me") or character in _INSIDE_WORDS
        self[code] = character if kept else " "
        return self[code]


_PUNCTUATION_TO_SPACE: Final = _PunctuationToSpace()
