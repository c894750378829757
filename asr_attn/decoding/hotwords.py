"""Hotwords: phrases that a search is drawn to, or kept from, by a bonus for spelling them.

A phrase counts wherever it stands between boundaries: the start of the sentence or a space before
it, a space or the end of the sentence after it ("ten" is not in "often"). A finished sentence gets
the sum of the boosts of all occurrences, those included that overlap or lie within one another:
with "new" and "new york" listed, "new york" gets both boosts.

A search would have dropped most phrases before their last letter, so the boost is paid out in equal
parts, one a character, while a phrase is being spelled, and taken back when the match fails (as in
Zhao et al. 2019, "Shallow-fusion end-to-end contextual biasing", and He et al. 2019, "Streaming
end-to-end speech recognition for mobile devices"). Where several phrases begin alike, the one with
the largest part is paid for; where one may have begun at several words ("new new york"), the best
from each word. A sentence that is cut off keeps what it has been paid.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from asr_attn.decoding.hotword_automaton import build_automaton
from asr_attn.errors import InputError
from asr_attn.models.decoders import DecoderState
from asr_attn.text.normalizer import NormalizerConfig, normalize
from asr_attn.text.tokenizer import UNK, Tokenizer

DEFAULT_BOOST = 5.0
"""Boost of a phrase that is given without one."""
GREATEST_BOOST = 1000.0
"""Above it the sums of a search, float32, would lose what tells hypotheses apart."""
_SHOWN_FAULTS = 20


@dataclass(frozen=True)
class Hotword:
    """A phrase to favour.

    Attributes:
        phrase: one or more words.
        boost: what each occurrence adds to the log-probability of a sentence; below 0 it is made
            less likely.

    Raises:
        InputError: there is no phrase, or the boost is beyond ``GREATEST_BOOST``.
    """

    phrase: str
    boost: float = DEFAULT_BOOST

    def __post_init__(self) -> None:
        if not self.phrase.strip():
            raise InputError("a hotword has no phrase; write PHRASE or PHRASE:BOOST")
        if not abs(self.boost) <= GREATEST_BOOST:  # nor is NaN
            raise InputError(
                f"hotword {self.phrase!r} has the boost {self.boost:g}; give a number from "
                f"{-GREATEST_BOOST:g} to {GREATEST_BOOST:g}"
            )


def parse_hotword(text: str, default: float = DEFAULT_BOOST) -> Hotword:
    """Read ``PHRASE:BOOST``; without a number after the last colon, all is phrase.

    Args:
        text: what the user wrote.
        default: boost where none is given.

    Raises:
        InputError: there is no phrase, or the boost is beyond ``GREATEST_BOOST``.
    """
    phrase, colon, last = text.rpartition(":")
    try:
        boost = float(last) if colon else default
    except ValueError:
        phrase, boost = text, default
    return Hotword((phrase if colon else text).strip(), boost)


def fit_hotword(hotword: Hotword, normalizer: NormalizerConfig, tokenizer: Tokenizer) -> Hotword:
    """Write a phrase as a recogniser would.

    Args:
        hotword: as the user wrote it.
        normalizer: how the recogniser's texts are written.
        tokenizer: what it can write.

    Raises:
        InputError: nothing is left of the phrase, or the recogniser cannot write it.
    """
    phrase = normalize(hotword.phrase, normalizer)
    if not phrase:
        raise InputError(f"hotword {hotword.phrase!r} has no letters or digits; spell it out")
    if unknown := tokenizer.unknown([phrase]):
        raise InputError(
            f"hotword {hotword.phrase!r} has {tokenizer.unit} that the model cannot write "
            f"({' '.join(map(repr, unknown))}); spell it with those that it can"
        )
    return replace(hotword, phrase=phrase)


def read_hotwords(
    path: Path, normalizer: NormalizerConfig, tokenizer: Tokenizer, default: float = DEFAULT_BOOST
) -> tuple[Hotword, ...]:
    """Read a list of hotwords: ``PHRASE`` or ``PHRASE:BOOST`` a line, and lines of ``# comment``.

    Args:
        path: the file, UTF-8.
        normalizer: how the recogniser's texts are written.
        tokenizer: what it can write.
        default: boost where none is given.

    Returns:
        The hotwords as the recogniser writes them, each once.

    Raises:
        InputError: the file cannot be read or lists nothing, or lines of it have faults; one
            message names them all.
    """
    found: dict[str, Hotword] = {}
    faults = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            hotword = fit_hotword(parse_hotword(line, default), normalizer, tokenizer)
        except InputError as error:
            faults.append(f"{path}:{number}: {error}")
            continue
        before = found.setdefault(hotword.phrase, hotword)
        if before.boost != hotword.boost:
            faults.append(
                f"{path}:{number}: hotword {hotword.phrase!r} has been given the boost "
                f"{before.boost:g} before; keep one of the lines"
            )
    if faults:
        more = len(faults) - _SHOWN_FAULTS
        raise InputError("\n".join(faults[:_SHOWN_FAULTS] + [f"and {more} more"] * (more > 0)))
    if not found:
        raise InputError(f"{path} lists no hotwords; write one PHRASE or PHRASE:BOOST a line")
    return tuple(found.values())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        reason = "is a folder" if path.is_dir() else f"cannot be read: {error.strerror}"
        raise InputError(f"{path} {reason}; name a text file of hotwords") from None


@dataclass(frozen=True)
class HotwordState:
    """What hypotheses are spelling.

    Attributes:
        spelling: (N,) states of the automaton.
    """

    spelling: Tensor

    def select(self, index: Tensor) -> "HotwordState":
        """Take the rows named by ``index`` (N,)."""
        return HotwordState(self.spelling[index])


class HotwordScorer:
    """Adds the boosts of hotwords to the scores of a search.

    Its scores are not log-probabilities: they may be above 0, and a longer sentence may have more.

    Args:
        hotwords: from ``fit_hotword`` or ``read_hotwords``. Of a phrase given several times, the
            last boost counts.
        tokenizer: of the model.
        device: where the search runs.

    Raises:
        ValueError: there are no hotwords, or the tokenizer has spaces elsewhere than at the start
            of a token.
    """

    name = "hotwords"
    gain = math.inf  # a bound by token is that of the best phrase at every token: of no use

    def __init__(
        self,
        hotwords: Iterable[Hotword],
        tokenizer: Tokenizer,
        device: torch.device | str = "cpu",
    ) -> None:
        boosts = {tokenizer.spell(" ".join(h.phrase.split())): h.boost for h in hotwords}
        if not boosts:
            raise ValueError("a scorer of hotwords needs hotwords")
        spellings = tokenizer.spellings
        if any(" " in text[1:] for token, text in enumerate(spellings) if token != UNK):
            raise ValueError(
                "hotwords need a tokenizer that has spaces at the start of tokens only"
            )
        self.automaton = build_automaton(boosts, spellings).to(device)

    def start(self, memory: Tensor, lengths: Tensor) -> HotwordState:
        """At the start of a sentence, for a memory (B, S, D)."""
        return HotwordState(lengths.new_full((len(memory),), self.automaton.start))

    def score(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, HotwordState]:
        """Read the last tokens (N,): what each next token adds (N, V), and new state."""
        spelling = self.automaton.advance(cast(HotwordState, state).spelling, tokens)
        return self.automaton.score(spelling), HotwordState(spelling)
