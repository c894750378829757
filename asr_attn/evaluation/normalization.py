"""How texts are brought to one form before errors are counted: a choice with a name and a version.

Error rates depend on it as much as on the recogniser, so every result says which one it was made
under, and results that were made under different ones are not compared.
"""

import importlib.metadata
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from asr_attn.errors import InputError
from asr_attn.text.marks import (
    JOINERS,
    is_mark,
    is_vocalization,
    without_invisible,
    without_lone_marks,
    without_loose_joiners,
)
from asr_attn.text.normalizer import NormalizerConfig, normalize

MODEL = "model"
"""References as in the training of a model, and what it writes as it is."""
VERSION = "2"
"""Of ``text.normalizer`` and of the forms made of it. Version 1 joined words at zero-width spaces,
and took marks without a letter, variation selectors and the like for words."""
_BRACKETS = (re.compile(r"[<\[][^>\]]*[>\]]"), re.compile(r"\(([^)]+?)\)"))
_TATWEEL = "\u0640"
_STRESS = "\u0300\u0301"


@dataclass(frozen=True)
class TextForm:
    """A way to bring texts to one form.

    Attributes:
        name: as it is chosen.
        version: changes with what it does.
        meaning: one line for the help.
        apply: the text in that form; words are what white space is between.
    """

    name: str
    version: str
    meaning: str
    apply: Callable[[str], str]

    @property
    def label(self) -> str:
        """Name and version, as results have them."""
        return f"{self.name}/{self.version}"


MEANINGS = {
    "none": "texts as they are",
    "basic": "Unicode NFKC, no letter case, no punctuation",
    "english": "Whisper's for English: numbers, spellings, contractions (needs asr-attn[whisper])",
    "multilingual": "no letter case, no punctuation, nothing in brackets; vowel signs and other "
    "marks stay, but for Arabic harakat, Hebrew niqqud and Cyrillic stress",
    "characters": "basic, and every character is a word, spaces ignored: for Chinese, Japanese and "
    "other scripts without spaces",
}
"""The forms and what they are."""


def text_form(name: str) -> TextForm:
    """Find a form by its name.

    Raises:
        InputError: it is not known, or needs a package that is not installed.
    """
    if name not in MEANINGS:
        raise InputError(f"--normalizer {name}: is not known; known: {', '.join(MEANINGS)}")
    if name == "english":
        version, apply = _whisper()
    else:
        forms: dict[str, Callable[[str], str]] = {
            "none": str,
            "basic": _basic,
            "multilingual": _multilingual,
            "characters": _characters,
        }
        version, apply = "1" if name == "none" else VERSION, forms[name]
    return TextForm(name, version, MEANINGS[name], apply)


def labelled(label: str, ignored: Sequence[str]) -> str:
    """The label of a form, with the words that were taken out before."""
    return f"{label} without {' '.join(sorted(ignored))}" if ignored else label


def _basic(text: str) -> str:
    return normalize(text, NormalizerConfig())


def _characters(text: str) -> str:
    """Each letter with its marks and joiners is a word; spaces tell nothing."""
    words: list[str] = []
    for sign in _basic(text).replace(" ", ""):
        if words and (is_mark(sign) or sign in JOINERS):
            words[-1] += sign
        else:
            words.append(sign)
    return " ".join(words)


def _multilingual(text: str) -> str:
    """Whisper's form for other languages (Radford et al. 2023), but with marks.

    Whisper makes a space of every mark, so that words in scripts with vowel signs fall apart and
    others become the same. What ordinary writing leaves out is taken out here: the vowel points of
    Arabic and Hebrew, the tatweel, stress on Cyrillic vowels.
    """
    text = without_invisible(text).lower()
    for brackets in _BRACKETS:
        text = brackets.sub("", text)
    kept: list[str] = []
    letter = ""
    for sign in unicodedata.normalize("NFKC", text):
        if not is_mark(sign):
            letter = sign
        elif is_vocalization(sign) or (sign in _STRESS and _is_cyrillic(letter)):
            continue
        if sign != _TATWEEL:
            category = unicodedata.category(sign)
            kept.append(" " if category[0] in "SP" or category == "Me" else sign)
    text = unicodedata.normalize("NFKC", without_lone_marks("".join(kept)).lower())
    return " ".join(without_loose_joiners(text).split())


def _is_cyrillic(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("CYRILLIC ") if letter else False


def _whisper() -> tuple[str, Callable[[str], str]]:
    """Whisper's normaliser for English (Radford et al. 2023), from whisper-normalizer."""
    try:
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError:
        raise InputError(
            "--normalizer english needs the package whisper-normalizer; "
            'pip install "asr-attn[whisper]", or choose basic'
        ) from None
    version = f"{VERSION}-whisper-normalizer-{importlib.metadata.version('whisper-normalizer')}"
    return version, partial(_spaced, EnglishTextNormalizer())


def _spaced(function: Callable[[str], str], text: str) -> str:
    return " ".join(without_loose_joiners(function(without_invisible(text))).split())
