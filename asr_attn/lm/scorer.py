"""An n-gram model of a recogniser's own tokens as a scorer of the beam search."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asr_attn.lm.ngram import NgramModel
from asr_attn.lm.vocabulary import check_tokens, token_symbols
from asr_attn.text.tokenizer import BLANK, EOS, Tokenizer


@dataclass(frozen=True)
class NgramState:
    """What a hypothesis has been read as.

    Attributes:
        nodes: (N,) states of the model.
    """

    nodes: Tensor

    def select(self, index: Tensor) -> "NgramState":
        """Take the rows named by ``index`` (N,)."""
        return NgramState(self.nodes[index])


class NgramScorer(nn.Module):
    """Scores tokens by a model over the same tokens; spaces are its symbol ``<space>``.

    Args:
        model: the language model.
        tokenizer: of the recogniser.
        called: what the language model is called in messages.

    Raises:
        InputError: the language model is of other tokens.
    """

    name = "language model"
    gain = 0.0

    def __init__(
        self, model: NgramModel, tokenizer: Tokenizer, called: str = "language model"
    ) -> None:
        super().__init__()
        check_tokens(model.symbols, tokenizer, called)
        self.model = model
        self.columns: Tensor
        columns = torch.tensor(model.encode(token_symbols(tokenizer)))
        self.register_buffer("columns", columns, persistent=False)

    def start(self, memory: Tensor, lengths: Tensor) -> NgramState:
        """State before the first token, for as many utterances as ``lengths`` (B,) has."""
        return NgramState(self.model.start(len(lengths)))

    def score(self, tokens: Tensor, state: NgramState) -> tuple[Tensor, NgramState]:
        """Read the last tokens (N,): log-probabilities (N, V) of the next, and new state.

        The start of a sentence, which is the token `EOS`, leads to the state at its start.
        """
        read = self.model.advance(state.nodes, self.columns[tokens])
        nodes = torch.where(tokens == EOS, self.model.start(len(tokens)), read)
        log_probs = self.model.score(nodes)[:, self.columns]
        log_probs[:, BLANK] = -torch.inf
        return log_probs, NgramState(nodes)
