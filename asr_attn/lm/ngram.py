"""N-gram models that score many contexts at once, by tensor operations alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from asr_attn.lm.arpa import read_arpa
from asr_attn.lm.automaton import Automaton
from asr_attn.lm.ngram_file import CompiledNgrams, compile_ngrams, is_compiled, read_compiled
from asr_attn.lm.ngrams import SPECIALS, Array, Ngrams

DENSE_CELLS = 1 << 24
"""Probabilities that are worked out in advance at most (64 MiB, and as much for next nodes)."""


class NgramModel(nn.Module):
    """A back-off model over ``V`` symbols whose states are numbers: nodes of an automaton.

    The probabilities of all symbols after the shorter contexts are worked out in advance, for as
    many lengths as there is room for. After a longer context, its own n-grams are put over them.
    The module remembers nothing between calls, and moves to a device with ``to``.

    Args:
        ngrams: the model, as it is listed or as an automaton.
        dense_cells: contexts × symbols that may be worked out in advance; the empty context is in
            any case.
    """

    def __init__(self, ngrams: Ngrams | CompiledNgrams, dense_cells: int = DENSE_CELLS) -> None:
        super().__init__()
        compiled = compile_ngrams(ngrams) if isinstance(ngrams, Ngrams) else ngrams
        automaton = compiled.automaton
        self.symbols = compiled.symbols
        self.order = len(automaton.lengths)
        self.unknown, self.beginning, self.end = (self.symbols.index(name) for name in SPECIALS)
        # files give it a probability, but it never follows anything
        automaton.log_probs[automaton.keys % automaton.symbols == self.beginning] = -np.inf
        self._first = automaton.start
        self._size = automaton.symbols
        nodes, self._sparse_lengths = 1, self.order - 1
        while self._sparse_lengths:
            more = automaton.lengths[self.order - self._sparse_lengths]
            if (nodes + more) * self._size > dense_cells:
                break
            nodes += more
            self._sparse_lengths -= 1
        self._dense = nodes
        rows, following = _dense_rows(automaton, nodes)
        begins = automaton.keys.searchsorted(np.arange(len(automaton.suffix) + 1) * self._size)
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols)}
        self.rows: Tensor
        self.next_rows: Tensor
        self.keys: Tensor
        self.tokens: Tensor
        self.log_probs: Tensor
        self.following: Tensor
        self.suffix: Tensor
        self.backoff: Tensor
        self.begins: Tensor
        for name, values in (
            ("rows", rows),
            ("next_rows", following),
            ("keys", automaton.keys),
            ("tokens", (automaton.keys % self._size).astype(np.int32)),
            ("log_probs", automaton.log_probs),
            ("following", automaton.following),
            ("suffix", automaton.suffix),
            ("backoff", automaton.backoff),
            ("begins", begins),
        ):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    @classmethod
    def load(cls, path: Path, dense_cells: int = DENSE_CELLS) -> "NgramModel":
        """Read an ARPA file, or a compiled one.

        Raises:
            InputError: it cannot be read, or is not sound.
        """
        return cls(read_compiled(path) if is_compiled(path) else read_arpa(path), dense_cells)

    def encode(self, symbols: Sequence[str]) -> list[int]:
        """Numbers of symbols, that of <unk> for those that are not known."""
        return [self._ids.get(symbol, self.unknown) for symbol in symbols]

    def start(self, n: int) -> Tensor:
        """States (n,) at the start of a sentence."""
        return torch.full((n,), self._first, dtype=torch.long, device=self.keys.device)

    def score(self, state: Tensor) -> Tensor:
        """Natural logarithms of the probabilities of all symbols after ``state`` (N,): (N, V).

        They sum to 1 if the model does; <s>, which never follows anything, has none.
        """
        chain = self._chain(state)
        rows = self.rows[chain[-1]]
        for nodes in reversed(chain[:-1]):
            sparse = nodes >= self._dense
            rows += torch.where(sparse, self.backoff[nodes], 0.0)[:, None]
            begins = self.begins[nodes]
            counts = torch.where(sparse, self.begins[nodes + 1] - begins, 0)
            line, place = spread(begins, counts)
            rows[line, self.tokens[place]] = self.log_probs[place]
        return rows

    def advance(self, state: Tensor, tokens: Tensor) -> Tensor:
        """States (N,) after ``state`` (N,) has read ``tokens`` (N,)."""
        return self.step(state, tokens)[1]

    def step(self, state: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of the probabilities of ``tokens`` (N,) after ``state`` (N,), and new states.

        The same as ``score`` and ``advance``, without asking for the other symbols.
        """
        if not self._sparse_lengths:  # all were worked out in advance
            return self.rows[state, tokens], self.next_rows[state, tokens].long()
        weight = torch.zeros(len(state), device=state.device)
        searching = torch.ones_like(state, dtype=torch.bool)
        log_probs, following = weight.clone(), torch.zeros_like(state)
        for _ in range(self._sparse_lengths):
            key = state * self._size + tokens
            place = torch.searchsorted(self.keys, key).clamp_(max=len(self.keys) - 1)
            # contexts that were worked out in advance are left to the end
            sparse = searching & (state >= self._dense)
            found = sparse & (self.keys[place] == key)
            log_probs = torch.where(found, weight + self.log_probs[place], log_probs)
            following = torch.where(found, self.following[place], following)
            searching = searching & ~found
            back = sparse & ~found
            weight = torch.where(back, weight + self.backoff[state], weight)
            state = torch.where(back, self.suffix[state], state)
        # those found may stand at a context without a row; their place in it does not matter
        row = torch.where(searching, state, 0)
        log_probs = torch.where(searching, weight + self.rows[row, tokens], log_probs)
        following = torch.where(searching, self.next_rows[row, tokens].long(), following)
        return log_probs, following

    def _chain(self, state: Tensor) -> list[Tensor]:
        """The state and what it backs off to, down to contexts that were worked out."""
        chain = [state]
        for _ in range(self._sparse_lengths):
            state = torch.where(state >= self._dense, self.suffix[state], state)
            chain.append(state)
        return chain


def spread(begins: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Write out stretches of places.

    Args:
        begins: (N,) first place of each stretch.
        counts: (N,) their lengths.

    Returns:
        For all places of all stretches, the stretch that each belongs to, and the place.
    """
    line = torch.repeat_interleave(counts)
    before = begins - counts.cumsum(0) + counts
    return line, torch.arange(len(line), device=line.device) + before[line]


def _dense_rows(automaton: Automaton, nodes: int) -> tuple[Array, Array]:
    """Logarithms of probabilities and next nodes of the first nodes, all symbols: (nodes, V)."""
    size = automaton.symbols
    rows = np.empty((nodes, size), dtype=np.float32)
    following = np.empty((nodes, size), dtype=np.int32)
    done = 0
    for count in automaton.lengths:
        here = slice(done, done + count)
        if done == nodes:
            break
        if done:
            suffix = automaton.suffix[here]
            rows[here] = rows[suffix] + automaton.backoff[here, None]
            following[here] = following[suffix]
        begin, end = automaton.keys.searchsorted([done * size, (done + count) * size])
        keys = automaton.keys[begin:end] - done * size
        rows[here].reshape(-1)[keys] = automaton.log_probs[begin:end]
        following[here].reshape(-1)[keys] = automaton.following[begin:end]
        done += count
    return rows, following
