"""How texts are brought to one form before errors are counted: a choice with a name and a version.

Error rates depend on it as much as on the recogniser, so every result says which one it was made
under, and results that were made under different ones are not compared.
"""

import importlib.metadata
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from asr_attn.errors import InputError
from asr_attn.text.normalizer import NormalizerConfig, normalize

MODEL = "model"
"""References as in the training of a model, and what it writes as it is."""
VERSION = "1"
"""Of ``text.normalizer``."""


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
    "multilingual": "Whisper's for other languages (needs asr-attn[whisper])",
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
    if name in ("english", "multilingual"):
        version, apply = _whisper(name)
    else:
        forms: dict[str, Callable[[str], str]] = {
            "none": str,
            "basic": _basic,
            "characters": _characters,
        }
        version, apply = VERSION, forms[name]
    return TextForm(name, version, MEANINGS[name], apply)


def _basic(text: str) -> str:
    return normalize(text, NormalizerConfig())


def _characters(text: str) -> str:
    """Each letter with its marks is a word; spaces tell nothing."""
    words: list[str] = []
    for sign in _basic(text).replace(" ", ""):
        if unicodedata.category(sign)[0] == "M" and words:
            words[-1] += sign
        else:
            words.append(sign)
    return " ".join(words)


def _whisper(name: str) -> tuple[str, Callable[[str], str]]:
    """Whisper's normalisers (Radford et al. 2023), from the package whisper-normalizer."""
    try:
        from whisper_normalizer.basic import BasicTextNormalizer
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError:
        raise InputError(
            f"--normalizer {name} needs the package whisper-normalizer; "
            'pip install "asr-attn[whisper]", or choose basic'
        ) from None
    version = f"whisper-normalizer-{importlib.metadata.version('whisper-normalizer')}"
    found = EnglishTextNormalizer() if name == "english" else BasicTextNormalizer()
    return version, partial(_spaced, found)


def _spaced(function: Callable[[str], str], text: str) -> str:
    return " ".join(function(text).split())
