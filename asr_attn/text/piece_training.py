"""Learning pieces of words from texts, by SentencePiece (Kudo and Richardson 2018)."""

import io
from collections.abc import Iterable
from typing import Final, NamedTuple

from asr_attn.errors import InputError
from asr_attn.text.interface import SPECIALS

_SPACE: Final = "\u2581"
"""What SentencePiece writes for a space."""
_RESERVED: Final = str.maketrans({_SPACE: " ", "\u2585": " "})
"""Block characters that have a meaning in SentencePiece; it would leave out texts with them."""
_THREADS: Final = 4
"""The result depends on the number of threads, so that it must be the same on all machines."""
_LONGEST_TEXT: Final = 1 << 24
"""Bytes; SentencePiece would leave out longer texts."""


class Piece(NamedTuple):
    """A piece, with the space before it if it begins a word, and its log-probability or rank."""

    text: str
    score: float


def train_pieces(kind: str, texts: Iterable[str], count: int) -> list[Piece]:
    """Learn pieces; the same texts in the same order give the same pieces.

    Args:
        kind: "bpe" or "unigram".
        texts: with one space between words.
        count: number of pieces. Each character of the texts is one of them, and the space is.

    Raises:
        InputError: the texts cannot be cut into so many pieces, or so few; or there are none.
    """
    texts = [text for text in (" ".join(t.translate(_RESERVED).split()) for t in texts) if text]
    characters = sorted(set().union(*texts) - {" "})
    if not characters:
        raise InputError(
            "A tokenizer cannot be made from no text: every transcript is empty; "
            "give a training manifest with words in it."
        )
    if count < len(characters) + 1:
        raise InputError(
            f"tokenizer.size={count + SPECIALS}: is too small for the {len(characters)} different "
            "characters of the training texts, each of which has a token; set it to at least "
            f"{len(characters) + 1 + SPECIALS}"
        )
    pieces = _train(kind, texts, characters, count)
    if len(pieces) == count:
        return pieces
    while len(possible := _train(kind, texts, characters, len(pieces))) < len(pieces):
        pieces = possible
    raise InputError(
        f"tokenizer.size={count + SPECIALS}: the training texts are too few for so many pieces; "
        f"set it to at most {len(pieces) + SPECIALS}"
    )


def _train(kind: str, texts: list[str], characters: list[str], count: int) -> list[Piece]:
    """Learn so many pieces, or as many as there can be."""
    import sentencepiece  # only training needs it

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=written,
        model_type=kind,
        vocab_size=count + 1,  # its unknown
        hard_vocab_limit=False,
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        # rare characters count as others do; it rounds the share of them that is to be kept
        character_coverage=1.0,
        required_chars="".join(characters),
        normalization_rule_name="identity",
        split_by_unicode_script=False,  # keeps "it's" together
        max_sentence_length=_LONGEST_TEXT,
        num_threads=_THREADS,
        minloglevel=3,
    )
    model = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    return [
        Piece(model.id_to_piece(i).replace(_SPACE, " "), float(model.get_score(i)))
        for i in range(1, model.get_piece_size())
    ]
