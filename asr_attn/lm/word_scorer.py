"""An n-gram model of words as a scorer of a beam search over characters or pieces of words.

Words are spelt along a prefix tree. While a word is open, the hypothesis is charged for the
unigram probability of the likeliest word that it can still become (look-ahead of S. Ortmanns,
H. Ney and A. Eiden, "Language-model look-ahead for large vocabulary speech recognition", ICSLP
1996); when it ends, at a space or at the end of the sentence, its true probability takes the place
of that. The sum over a sentence is exactly the log-probability of its words.

Other words are charged as ``<unk>``, and for each of their characters.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from asr_attn.lm.lexicon import build_lexicon
from asr_attn.lm.ngram import NgramModel, spread
from asr_attn.lm.ngrams import SPECIALS
from asr_attn.lm.vocabulary import check_words
from asr_attn.text.tokenizer import BLANK, EOS, UNK, Tokenizer
from asr_attn.text.tokenizer import SPECIALS as SPECIAL_TOKENS


@dataclass(frozen=True)
class WordState:
    """Where hypotheses are in their last word.

    Attributes:
        nodes: (N,) of the tree: 0 between words, the number of nodes for a word that is not in it.
        letters: (N,) of the word so far.
        before: (N,) state of the language model before the word.
        after: (N,) the same if the word ends here.
    """

    nodes: Tensor
    letters: Tensor
    before: Tensor
    after: Tensor

    def select(self, index: Tensor) -> "WordState":
        """Take the rows named by ``index`` (N,)."""
        return WordState(
            self.nodes[index], self.letters[index], self.before[index], self.after[index]
        )


class WordScorer(nn.Module):
    """Scores the tokens of words by a model of words.

    A token that is a space ends a word; one that begins with a space (a piece that begins a word)
    ends it and opens the next. A word is known by its letters, however it is cut into tokens.

    Args:
        model: the language model.
        tokenizer: of the recogniser.
        unknown_character: log-probability of each letter of a word that the model does not know,
            over that of ``<unk>``. When not given, all the tokenizer's symbols are equally likely:
            minus the logarithm of their number.
        called: what the language model is called in messages.

    Raises:
        InputError: the recogniser cannot write most of the words.
    """

    name = "language model"
    gain = math.inf  # a word may turn out likelier than its look-ahead, by how much is not known

    def __init__(
        self,
        model: NgramModel,
        tokenizer: Tokenizer,
        unknown_character: float | None = None,
        called: str = "language model",
    ) -> None:
        super().__init__()
        self.model = model
        self._size = len(tokenizer)
        if unknown_character is None:
            unknown_character = -math.log(max(2, self._size - SPECIAL_TOKENS))
        self._unknown_character = unknown_character
        words = [(i, word) for i, word in enumerate(model.symbols) if word not in SPECIALS]
        spelt = [(i, tokenizer.spell(w)) for i, w in words if w and not tokenizer.unknown([w])]
        check_words(len(spelt), [word for _, word in words], tokenizer, called)
        unigrams = model.rows[0].cpu().numpy()
        self._unknown_value = float(unigrams[model.unknown])
        indices = [i for i, _ in spelt]
        spellings = list(tokenizer.spellings)
        lengths = torch.tensor([len(text.removeprefix(" ")) for text in spellings])
        spaces = torch.tensor([text[:1] == " " for text in spellings])
        spellings[UNK] = ""  # leads to no word
        lexicon = build_lexicon(
            [spelling for _, spelling in spelt], indices, unigrams[indices], spellings
        )
        self._outside = len(lexicon.words)
        self.keys: Tensor
        self.targets: Tensor
        self.child_tokens: Tensor
        self.child_best: Tensor
        self.begins: Tensor
        self.words: Tensor
        self.best: Tensor
        self.lengths: Tensor
        self.closing: Tensor
        self.separating: Tensor
        self.opened: Tensor
        places = np.arange(self._outside + 2) * self._size  # a word outside has no children
        best = np.append(lexicon.best, 0.0).astype(np.float32)
        for key, values in (
            ("keys", torch.from_numpy(lexicon.keys)),
            ("targets", torch.from_numpy(lexicon.targets)),
            ("child_tokens", torch.from_numpy(lexicon.keys % self._size)),
            ("child_best", torch.from_numpy(best[lexicon.targets])),
            ("begins", torch.from_numpy(lexicon.keys.searchsorted(places))),
            ("words", torch.from_numpy(np.append(lexicon.words, -1))),
            ("best", torch.from_numpy(best)),
            ("lengths", lengths),
            ("closing", spaces),
            ("separating", spaces & (lengths == 0)),
        ):
            self.register_buffer(key, values, persistent=False)
        root = torch.zeros(1, dtype=torch.long)
        ahead = self._put_children(self._outside_values(root), root)[0]
        opened = torch.where(self.separating, 0.0, ahead)
        self.register_buffer("opened", opened, persistent=False)

    def start(self, memory: Tensor, lengths: Tensor) -> WordState:
        """State before the first token, for as many utterances as ``lengths`` (B,) has."""
        before = self.model.start(len(lengths))
        nothing = torch.zeros_like(before)
        return WordState(nothing, nothing, before, before)

    def score(self, tokens: Tensor, state: WordState) -> tuple[Tensor, WordState]:
        """Read the last tokens (N,): changes of the log-probabilities (N, V), and new state.

        Where a word ends, the change is that from the look-ahead to the true probability, and may
        be above 0. The start of a sentence, which is the token `EOS`, leads to the state at its
        start.
        """
        nodes, letters, before = self._read(tokens, state)
        unknown = self.words[nodes] < 0
        word = torch.where(unknown, self.model.unknown, self.words[nodes])
        word_value, after = self.model.step(before, word)
        spelling = self._unknown_character * letters
        word_value = word_value + torch.where(unknown, spelling, 0.0)
        between = nodes == 0
        after = torch.where(between, before, after)
        charged = torch.where(nodes == self._outside, self._unknown_value + spelling, 0.0)
        charged = torch.where(between, 0.0, self.best[nodes] + charged)
        closed = torch.where(between, 0.0, word_value - charged)
        # a token that leaves the tree is charged as one of an unknown word
        changes = self._put_children(self._outside_values(letters), nodes) - charged[:, None]
        changes = torch.where(self.closing, closed[:, None] + self.opened, changes)
        end = torch.full_like(after, self.model.end)
        changes[:, EOS] = closed + self.model.step(after, end)[0]
        changes[:, BLANK] = -torch.inf
        return changes, WordState(nodes, letters, before, after)

    def _read(self, tokens: Tensor, state: WordState) -> tuple[Tensor, Tensor, Tensor]:
        """Nodes, letters and states of the language model after one token more: (N,) each."""
        closing = self.closing[tokens]
        nodes = torch.where(closing, 0, state.nodes)
        letters = torch.where(closing, 0, state.letters) + self.lengths[tokens]
        key = nodes * self._size + tokens
        place = torch.searchsorted(self.keys, key).clamp_(max=len(self.keys) - 1)
        child = torch.where(self.keys[place] == key, self.targets[place], self._outside)
        start = tokens == EOS
        nodes = torch.where(self.separating[tokens] | start, 0, child)
        before = torch.where(closing, state.after, state.before)
        before = torch.where(start, self.model.start(len(tokens)), before)
        return nodes, torch.where(start, 0, letters), before

    def _put_children(self, values: Tensor, nodes: Tensor) -> Tensor:
        """Put the look-ahead of the children of ``nodes`` (N,) into ``values`` (N, V)."""
        begins = self.begins[nodes]
        line, place = spread(begins, self.begins[nodes + 1] - begins)
        values[line, self.child_tokens[place]] = self.child_best[place]
        return values

    def _outside_values(self, letters: Tensor) -> Tensor:
        """The look-ahead of unknown words of ``letters`` (N,) and each token: (N, V)."""
        return (letters[:, None] + self.lengths) * self._unknown_character + self._unknown_value
