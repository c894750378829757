"""A neural language model as a scorer of the beam search (shallow fusion)."""

import torch
from torch import Tensor, nn

from asr_attn.errors import InputError
from asr_attn.lm.neural import NeuralLmState, TrainedLm
from asr_attn.lm.vocabulary import token_symbols
from asr_attn.text.tokenizer import BLANK, EOS, SPECIALS, UNK, Tokenizer

_SHOWN = 5


class NeuralScorer(nn.Module):
    """Scores a recogniser's tokens by a neural language model (Gulcehre et al. 2015).

    A token of the recogniser is the language model's token of the same text. A language model may
    have more tokens than the recogniser. Their probability is then not shared out among the others:
    the scores of a sentence add up to its probability under the language model, and dividing that
    by the probability of all sentences that the recogniser can write would change all hypotheses
    alike. Renormalising each step instead would favour words after which the language model
    expects what the recogniser cannot write.

    Args:
        model: the language model.
        tokenizer: of the recogniser.
        called: what the language model is called in messages.

    Raises:
        InputError: the language model lacks some of the recogniser's tokens.
    """

    name = "language model"
    gain = 0.0

    def __init__(
        self, model: TrainedLm, tokenizer: Tokenizer, called: str = "language model"
    ) -> None:
        super().__init__()
        self.network = model.network
        self.columns: Tensor
        columns = torch.tensor(token_columns(model.tokenizer, tokenizer, called))
        self.register_buffer("columns", columns, persistent=False)

    def start(self, memory: Tensor, lengths: Tensor) -> NeuralLmState:
        """State before the first token, for as many utterances as ``lengths`` (B,) has."""
        state: NeuralLmState = self.network.start(len(lengths), self.columns.device)
        return state

    def score(self, tokens: Tensor, state: NeuralLmState) -> tuple[Tensor, NeuralLmState]:
        """Read the last tokens (N,): log-probabilities (N, V) of the next, and new state."""
        log_probs, state = self.network.step(self.columns[tokens], state)
        return log_probs[:, self.columns], state


def token_columns(theirs: Tokenizer, ours: Tokenizer, name: str) -> list[int]:
    """The token of a language model for every token of a recogniser.

    Args:
        theirs: tokenizer of the language model.
        ours: tokenizer of the recogniser.
        name: what the language model is called in the message.

    Raises:
        InputError: the language model lacks tokens; the sentence names the first few.
    """
    ids = {symbol: i for i, symbol in enumerate(token_symbols(theirs)) if i >= SPECIALS}
    symbols = token_symbols(ours)[SPECIALS:]
    missing = sorted({symbol for symbol in symbols if symbol not in ids})
    if missing:
        more = ", ..." if len(missing) > _SHOWN else ""
        raise InputError(
            f"{name}: this language model lacks {len(missing)} of the recogniser's "
            f"{len(symbols)} tokens ({', '.join(map(repr, missing[:_SHOWN]))}{more}); train it "
            "with python train.py task=lm tokenizer.of=CHECKPOINT"
        )
    special = {BLANK: BLANK, EOS: EOS, UNK: UNK}
    return [*(special[i] for i in range(SPECIALS)), *(ids[symbol] for symbol in symbols)]
