"""The automaton that hotwords are found with (Aho and Corasick 1975, "Efficient string matching").

It is one over letters (those of `Tokenizer.spell`) whose arcs are tokens, so that a phrase is found
however it is cut into tokens. A state is a text that a phrase, with a space before it, begins with:
the longest of those that a sentence ends with. The failure link of a state leads to the next
shorter one. Since spaces stand at the start of tokens only, words begin and end where tokens do.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from asr_attn.text.tokenizer import EOS, UNK

ROOT = 0
"""The state of no text: nothing is being spelled."""
DENSE_CELLS = 1 << 22
"""States times tokens up to which all answers are worked out in advance (12 bytes each)."""


@dataclass(frozen=True)
class Automaton:
    """States Q, and arcs E from state to state.

    Arcs are kept for tokens that make a longer text of the state's. For others the arc of the
    failure link counts, and in the end that of the root. So 10,000 phrases of 15 characters take
    about 130,000 states of 24 bytes and, over characters, as many arcs of 20 bytes: 6 MB. Where
    states times tokens are no more than ``DENSE_CELLS``, the answers for all of them are kept too,
    which makes a step several times as fast.

    Attributes:
        keys: (E,) state * V + token of the arcs, ascending.
        targets: (E,) states they lead to.
        gains: (E,) what has been ``paid`` there.
        first: (Q + 1,) first arc of each state.
        failure: (Q,) state of the next shorter text.
        paid: (Q,) boost that has been paid out in a state.
        earned: (Q,) boosts of the phrases that the state's text ends with, due at a boundary.
        root: (V,) states that tokens lead to from the root.
        opens: (V,) bool, True for tokens before which a word ends.
        silent: (V,) bool, True for tokens without text.
        start: the state at the start of a sentence.
        longest_chain: most states that failure links join, the root not counted.
        scores: (Q, V) what ``score`` gives for all states, or None.
        following: (Q, V) what ``advance`` gives for all states and tokens, or None.
    """

    keys: Tensor
    targets: Tensor
    gains: Tensor
    first: Tensor
    failure: Tensor
    paid: Tensor
    earned: Tensor
    root: Tensor
    opens: Tensor
    silent: Tensor
    start: int
    longest_chain: int
    scores: Tensor | None = None
    following: Tensor | None = None

    def tabulated(self) -> "Automaton":
        """The same with all answers worked out, if they are not too many."""
        states, tokens = len(self.failure), len(self.root)
        if states * tokens > DENSE_CELLS:
            return self
        every = torch.arange(states)
        following = self.advance(
            every.repeat_interleave(tokens), torch.arange(tokens).repeat(states)
        )
        return replace(self, scores=self.score(every), following=following.view(states, tokens))

    def to(self, device: torch.device | str) -> "Automaton":
        """The same on a device."""
        tensors: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if torch.is_tensor(value)
        }
        return replace(self, **tensors)

    def advance(self, states: Tensor, tokens: Tensor) -> Tensor:
        """States (N,) after ``tokens`` (N,)."""
        if self.following is not None:
            return self.following[states, tokens]
        after = self.root[tokens]
        for state in self._chain(states):
            key = state * len(self.root) + tokens
            arc = torch.searchsorted(self.keys, key).clamp_(max=len(self.keys) - 1)
            after = torch.where(self.keys[arc] == key, self.targets[arc], after)
        return torch.where(self.silent[tokens], states, after)

    def score(self, states: Tensor) -> Tensor:
        """What each next token (N, V) is paid in ``states`` (N,), less what it has to give back."""
        if self.scores is not None:
            return self.scores[states]
        scores = self.paid[self.root].repeat(len(states), 1)
        for state in self._chain(states):
            first = self.first[state]
            count = self.first[state + 1] - first
            rows = torch.arange(len(state), device=state.device).repeat_interleave(count)
            # the arcs of all rows one after the other, each row's from its first on
            skipped = (count.cumsum(0) - count - first)[rows]
            arcs = torch.arange(len(rows), device=state.device) - skipped
            scores[rows, self.keys[arcs] % len(self.root)] = self.gains[arcs]
        scores -= self.paid[states, None]
        scores += self.earned[states, None] * self.opens
        return scores.masked_fill_(self.silent, 0.0)

    def _chain(self, states: Tensor) -> list[Tensor]:
        """States (N,) and what their failure links lead to, the shortest texts first."""
        chain = [states]
        for _ in range(self.longest_chain - 1):
            chain.append(self.failure[chain[-1]])
        return chain[::-1]


def build_automaton(boosts: Mapping[str, float], spellings: Sequence[str]) -> Automaton:
    """Make the automaton of some phrases.

    Args:
        boosts: by phrase in letters: words with one space between them.
        spellings: the letters that the V tokens add within a sentence, spaces at their starts only.
    """
    parts = _parts(boosts)
    states = {text: state for state, text in enumerate(sorted(parts, key=len))}
    failures = [_failure(text, states) for text in states]
    paid, earned, chain = [0.0], [0.0], [0]
    for text, failure in list(zip(states, failures))[1:]:  # shorter texts come before longer ones
        paid.append(parts[text] + paid[failure])
        earned.append(boosts.get(text[1:], 0.0) + earned[failure])
        chain.append(1 + chain[failure])
    root, arcs = _arcs(states, spellings)
    root[EOS] = states[" "]
    keys, targets = torch.tensor(sorted(arcs.items()), dtype=torch.long).unbind(1)
    gains = torch.tensor(paid)
    return Automaton(
        keys.contiguous(),
        targets.contiguous(),
        gains[targets],
        torch.searchsorted(keys.contiguous(), torch.arange(len(states) + 1) * len(spellings)),
        torch.tensor(failures),
        gains,
        torch.tensor(earned),
        torch.tensor(root),
        torch.tensor([token == EOS or text[:1] == " " for token, text in enumerate(spellings)]),
        torch.tensor([token != EOS and text == "" for token, text in enumerate(spellings)]),
        states[" "],
        max(chain),
    ).tabulated()


def _parts(boosts: Mapping[str, float]) -> dict[str, float]:
    """All that phrases begin with, and the largest part of a boost that is paid for each.

    The sum over what a sentence ends with is what has been paid: each may become a phrase.
    """
    parts = {"": 0.0}
    for phrase, boost in boosts.items():
        text, share = f" {phrase}", boost / len(phrase)
        for end in range(1, len(text) + 1):
            begun, part = text[:end], share * (end - 1)
            if parts.get(begun, part) <= part:
                parts[begun] = part
    return parts


def _failure(text: str, states: Mapping[str, int]) -> int:
    """State of the longest shorter text that ``text`` ends with: all of them start with a space."""
    at = text.find(" ", 1)
    while at > 0 and text[at:] not in states:
        at = text.find(" ", at + 1)
    return states[text[at:]] if at > 0 else ROOT


def _arcs(states: Mapping[str, int], spellings: Sequence[str]) -> tuple[list[int], dict[int, int]]:
    """Where tokens lead from the root (V,), and by state * V + token from others.

    A last arc from beyond all states is there so that there is one to look at.
    """
    spelt = defaultdict(list)
    for token, text in enumerate(spellings):
        if text and token != UNK:
            spelt[text].append(token)
    longest = max(map(len, spelt))
    root, arcs = [ROOT] * len(spellings), {len(states) * len(spellings): ROOT}
    for text, target in states.items():
        for length in range(1, min(longest, len(text)) + 1):
            for token in spelt.get(text[-length:], ()):
                source = states[text[:-length]]
                if source == ROOT:
                    root[token] = target
                else:
                    arcs[source * len(spellings) + token] = target
    return root, arcs
