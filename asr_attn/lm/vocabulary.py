"""Which symbol of a language model stands for which token of a recogniser."""

from collections.abc import Iterable, Sequence

from asr_attn.errors import InputError
from asr_attn.lm.ngrams import END, SPACE, SPECIALS, UNKNOWN
from asr_attn.text.tokenizer import EOS, Tokenizer
from asr_attn.text.tokenizer import SPECIALS as SPECIAL_TOKENS

SPACE_IN_PIECE = "\u2581"
"""Stands for a space within a longer token, as in SentencePiece."""
_SHOWN = 5


def symbol_of(text: str) -> str:
    """The symbol of a token that is spelt as ``text``."""
    return SPACE if text == " " else text.replace(" ", SPACE_IN_PIECE)


def token_symbols(tokenizer: Tokenizer) -> list[str]:
    """The symbol of every token; the blank, which is none, has that of an unknown one."""
    special = [END if token == EOS else UNKNOWN for token in range(SPECIAL_TOKENS)]
    own = map(symbol_of, tokenizer.spellings[SPECIAL_TOKENS:])
    return [*special, *own]


def check_tokens(symbols: Iterable[str], tokenizer: Tokenizer, name: str) -> None:
    """Make sure that a language model is of a recogniser's tokens.

    Args:
        symbols: those of the language model.
        tokenizer: of the recogniser.
        name: what the language model is called in the message.

    Raises:
        InputError: some tokens are only in one of them; the sentence names the first few.
    """
    ours = set(token_symbols(tokenizer)) - set(SPECIALS)
    theirs = set(symbols) - set(SPECIALS)
    parts = [
        f"{len(only)} of the {where} only ({_some(sorted(only))})"
        for only, where in ((ours - theirs, "recogniser"), (theirs - ours, "language model"))
        if only
    ]
    if parts:
        raise InputError(
            f"{name}: its tokens are not those of the recogniser: {' and '.join(parts)}; train it "
            "with asr-attn lm train --units tokens --model CHECKPOINT"
        )


def check_words(spelt: int, words: Sequence[str], tokenizer: Tokenizer, name: str) -> None:
    """Make sure that a recogniser can write most words of a language model.

    Args:
        spelt: how many of them it can write.
        words: of the language model.
        tokenizer: of the recogniser.
        name: what the language model is called in the message.

    Raises:
        InputError: it can write less than half of them; the sentence says what it lacks.
    """
    if 2 * spelt >= len(words) and spelt:
        return
    lacking = list(tokenizer.unknown(words))
    what = f"it does not know {_some(lacking)}" if lacking else "they are empty"
    raise InputError(
        f"{name}: the recogniser can write only {spelt} of its {len(words)} words: {what}; train "
        "it with asr-attn lm train --model CHECKPOINT, which writes words as the recogniser does"
    )


def _some(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
