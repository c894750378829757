"""What the tests of the search compare with: every text there can be, as each scorer scores it.

Attention by a pass over the whole text, the internal language model by another over the mean of the
memory, CTC by torch's loss and by the sum over all paths, language models by back-off over a dict,
hotwords by finding phrases in the text, coverage by adding up the weights of the pass.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from asr_attn.models.asr import AsrModel
from asr_attn.text.tokenizer import EOS, UNK, CharTokenizer, Tokenizer
from tests.decoding.test_ctc_prefix import by_enumeration
from tests.decoding.test_hotword_automaton import occurrences
from tests.lm.brute_force import Gram, log10_prob
from tests.lm.test_word_scorer import LN_10, PENALTY, words_log_prob

LETTERS = CharTokenizer.train(["abc "])
WORDS = ("a", "ab", "abc", "b", "ca", "cb")
BOOSTS = {"a": 1.5, "a b": 2.0, "b": -1.0, "ab": 0.7, "c c": 3.0}
Table = dict[Gram, tuple[float, float]]


def random_table(seed: int, symbols: tuple[str, ...]) -> Table:
    """Log10 probabilities and back-offs of half of the n-grams there can be up to length 3."""
    random = np.random.default_rng(seed)

    def values() -> tuple[float, float]:
        return round(random.uniform(-2, 0), 4), round(random.uniform(-1, 0), 4)

    contexts: list[Gram] = [("<s>",), ("<unk>",), *((symbol,) for symbol in symbols)]
    table = {gram: values() for gram in [("</s>",), *contexts]}
    for _ in (2, 3):
        grams = [(*g, s) for g in contexts for s in (*symbols, "</s>") if random.random() < 0.5]
        table |= {gram: values() for gram in grams}
        contexts = [gram for gram in grams if gram[-1] != "</s>"]
    return table


def arpa_of(table: Table) -> str:
    lines = ["\\data\\", *(f"ngram {k}={sum(len(g) == k for g in table)}" for k in (1, 2, 3))]
    for k in (1, 2, 3):
        lines.append(f"\\{k}-grams:")
        for gram, (value, backoff) in table.items():
            if len(gram) == k:
                lines.append(f"{value}\t{' '.join(gram)}" + f"\t{backoff}" * (k < 3))
    return "\n".join([*lines, "\\end\\", ""])


@dataclass(frozen=True)
class Text:
    """An output of a search, without the end of the sentence if it has one.

    ``covered`` counts the memory steps that have been attended to; coverage is not in ``parts``.
    """

    tokens: tuple[int, ...]
    truncated: bool
    covered: int
    parts: dict[str, float]


@torch.inference_mode()
def every_text(
    network: AsrModel,
    ngrams: Table,
    words: Table,
    bonus: float,
    memory: Tensor,
    tokenizer: Tokenizer = LETTERS,
) -> list[Text]:
    """All outputs for one utterance (S, D): up to S tokens and an end, or one more and no end."""
    steps, size = len(memory), len(tokenizer)
    log_probs = network.ctc_log_probs(memory[None])[0].double()
    prefixes, _ = by_enumeration(log_probs)
    found = []
    for count in range(1, steps + 2):
        last = range(EOS, size) if count == steps + 1 else (EOS,)
        rows = list(itertools.product(*[range(UNK, size)] * (count - 1), last))
        read, covered = attention_of(network, memory, torch.tensor(rows))
        unheard, _ = attention_of(network, memory.mean(dim=0, keepdim=True), torch.tensor(rows))
        for row, attention, internal, steps_covered in zip(
            rows, read, unheard, covered, strict=True
        ):
            ended = row[-1] == EOS
            tokens = row[:-1] if ended else row
            text = tokenizer.decode(tokens)
            parts = {
                "attention": attention,
                "internal_lm": internal,
                "ctc": whole_ctc(log_probs, tokens) if ended else log(prefixes[tokens]),
                "length": bonus * len(tokens),
                "language model": ngram_of(ngrams, tokens, ended, tokenizer),
                "words": words_log_prob(words, text.split())
                if ended
                else words_so_far(words, text),
                "hotwords": hotwords_of(text) if ended else hotwords_so_far(text),
            }
            found.append(Text(tokens, not ended, steps_covered, parts))
    return found


def attention_of(network: AsrModel, memory: Tensor, rows: Tensor) -> tuple[list[float], list[int]]:
    """Log-probabilities of ``rows`` (N, U), and how many memory steps they have attended to."""
    inputs = torch.cat([torch.full((len(rows), 1), EOS), rows[:, :-1]], dim=1)
    lengths = torch.full((len(rows),), len(memory))
    out = network.speller(memory.expand(len(rows), -1, -1), lengths, inputs)
    values = out.logits.log_softmax(dim=-1).gather(2, rows[..., None]).sum(dim=(1, 2))
    return values.tolist(), (out.weights.sum(dim=(1, 2)) > 0.5).sum(dim=1).tolist()


def log(probability: float) -> float:
    return math.log(probability) if probability else -math.inf


def whole_ctc(log_probs: Tensor, tokens: tuple[int, ...]) -> float:
    sizes = (torch.tensor(len(log_probs)), torch.tensor(len(tokens)))
    targets = torch.tensor(tokens, dtype=torch.long)
    return -float(functional.ctc_loss(log_probs, targets, *sizes, reduction="sum"))


def ngram_of(table: Table, tokens: tuple[int, ...], ended: bool, tokenizer: Tokenizer) -> float:
    names = {" ": "<space>", "\u2047": "<unk>", " \u2047": "<unk>"}
    spelt = [tokenizer.spellings[token] for token in tokens]
    symbols = ["<s>", *(names.get(s, s.replace(" ", "\u2581")) for s in spelt), *["</s>"] * ended]
    ends = range(1, len(symbols))
    return LN_10 * sum(log10_prob(table, symbols[:i], symbols[i], 3) for i in ends)


def words_so_far(table: Table, text: str) -> float:
    """Whole words, and the likeliest that the last one may become."""
    *whole, part = text.split(" ")
    history, total = ["<s>"], 0.0
    for word in filter(None, whole):
        symbol = word if word in WORDS else "<unk>"
        total += log10_prob(table, history, symbol, 3) * LN_10
        total += 0.0 if symbol == word else PENALTY * len(word)
        history.append(symbol)
    if part:
        ahead = [table[(word,)][0] * LN_10 for word in WORDS if word.startswith(part)]
        total += max(ahead, default=table[("<unk>",)][0] * LN_10 + PENALTY * len(part))
    return total


def hotwords_of(text: str) -> float:
    return sum(boost * occurrences(phrase, text) for phrase, boost in BOOSTS.items())


def hotwords_so_far(text: str) -> float:
    """Boosts of phrases that have ended, and the best share of those begun at each word."""
    total = hotwords_of(text[: text.rfind(" ") + 1])
    for at in range(len(text)):
        begun = text[at:]
        if at == 0 or text[at - 1] == " ":
            shares = [b * len(begun) / len(p) for p, b in BOOSTS.items() if p.startswith(begun)]
            total += max(shares, default=0.0)
    return total
