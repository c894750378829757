"""What makes error rates of normalised texts doubtful, said before they are counted."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from asr_attn.data.manifest import Utterance
from asr_attn.text.marks import carries_meaning

_SHOWN = 3
_ENGLISH = ("en", "eng", "english")


def emptied_warnings(
    names: Iterable[str], before: Iterable[str], after: Sequence[str]
) -> Iterator[str]:
    """Says of which references no letter or digit is left; "" is meant for silence.

    Says nothing if none has any word, for that is refused. (Whisper's form for English makes "."
    of "...", which counts as a word.)

    Args:
        names: of the utterances.
        before: what was said.
        after: the same in the form that is compared.
    """
    found = [
        f"{name} ({text.strip()!r})"
        for name, text, normal in zip(names, before, after)
        if text.strip() and not any(map(str.isalnum, normal))
    ]
    if found and any(map(str.strip, after)):
        some = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        count = "1 reference" if len(found) == 1 else f"{len(found)} references"
        yield (
            f"normalisation leaves no letter or digit of {count}, so that whatever is recognised "
            f'there counts as wrong: {some}; write what is said, or "" for silence'
        )


def mark_warnings(before: Iterable[str], after: Iterable[str], form: str) -> Iterator[str]:
    """Says if normalisation takes marks away by which words differ, such as vowel signs.

    Args:
        before: what was said.
        after: the same in the form that is compared.
        form: its name, see ``evaluation.normalization``.
    """
    lost = sum(_marks(text) > _marks(normal) for text, normal in zip(before, after))
    if lost:
        count = "1 reference" if lost == 1 else f"{lost} references"
        yield (
            f"--normalizer {form} takes vowel signs or other marks out of {count}, so that words "
            "count as right that are wrong; choose multilingual or basic"
        )


def _marks(text: str) -> int:
    """Marks that carry meaning."""
    if text.isascii():
        return 0
    return sum(map(carries_meaning, unicodedata.normalize("NFKC", text)))


def case_warnings(references: Sequence[str], hypotheses: Sequence[str]) -> Iterator[str]:
    """Says if one side has capitals only and the other none.

    Args:
        references: what was said, in the form that is compared.
        hypotheses: what was recognised.
    """
    sides = [("references", "".join(references)), ("hypotheses", "".join(hypotheses))]
    capital = [name for name, text in sides if text.isupper()]
    small = [name for name, text in sides if text.islower()]
    if len(capital) == len(small) == 1:
        yield (
            f"the {capital[0]} are in capitals and the {small[0]} in small letters, so that words "
            "count as wrong that are right; --normalizer basic takes no notice of case"
        )


def language_warnings(utterances: Sequence[Utterance], form: str) -> Iterator[str]:
    """Says if texts of other languages are brought to a form that is made for English.

    Args:
        utterances: with or without a language.
        form: its name, see ``evaluation.normalization``.
    """
    if form != "english":
        return
    others = Counter(u.language for u in utterances if u.language and not _is_english(u.language))
    if others:
        languages = ", ".join(name for name, _ in others.most_common(_SHOWN))
        more = ", ..." if len(others) > _SHOWN else ""
        yield (
            f"--normalizer english is made for English, but {others.total()} of {len(utterances)} "
            f"utterances are of other languages ({languages}{more}); choose multilingual or basic, "
            "or evaluate each language by itself"
        )


def _is_english(language: str) -> bool:
    return language.lower().replace("_", "-").split("-")[0] in _ENGLISH
