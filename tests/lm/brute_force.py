"""What the tests compare with: formulas with dicts and loops, nothing shared with the code."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

Gram = tuple[str, ...]


def counts_of(sentences: Sequence[Sequence[str]], order: int) -> tuple[list[Counter[Gram]], ...]:
    """Raw and adjusted counts of the n-grams of each length (the symbol <s> alone left out)."""
    raw: list[Counter[Gram]] = [Counter() for _ in range(order)]
    for sentence in sentences:
        symbols = ("<s>", *sentence, "</s>")
        for k in range(order):
            for i in range(len(symbols) - k):
                if symbols[i : i + k + 1] != ("<s>",):
                    raw[k][symbols[i : i + k + 1]] += 1
    adjusted = [Counter(raw[-1]) if k + 1 == order else Counter() for k in range(order)]
    for k in range(order - 1):
        for gram in raw[k + 1]:
            if gram[1:] != ("<s>",):
                adjusted[k][gram[1:]] += 1
        for gram in raw[k]:
            if gram[0] == "<s>":
                adjusted[k][gram] = raw[k][gram]
    return raw, adjusted


def discounts_of(counts: Counter[Gram]) -> tuple[float, float, float]:
    n = Counter(counts.values())
    if not (n[1] and n[2] and n[3]):
        return 0.5, 1.0, 1.5
    y = n[1] / (n[1] + 2 * n[2])
    found = tuple(j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3))
    return found if min(found) > 0 else (0.5, 1.0, 1.5)


class BruteForce:
    """Interpolated modified Kneser-Ney, recursively from the formulas."""

    def __init__(self, sentences, order, vocabulary=(), prune=()):
        self.order = order
        self.raw, self.adjusted = counts_of(sentences, order)
        words = {symbol for sentence in sentences for symbol in sentence}
        self.symbols = words | {"<unk>", "</s>"} | set(vocabulary)
        self.discounts = [discounts_of(counts) for counts in self.adjusted]
        self.thresholds = [prune[min(k, len(prune) - 1)] if prune else 0 for k in range(order)]
        self.followers: defaultdict[Gram, list[Gram]] = defaultdict(list)
        for counts in self.adjusted:
            for gram in counts:
                self.followers[gram[:-1]].append(gram)

    def kept(self, gram: Gram) -> bool:
        return self.raw[len(gram) - 1][gram] > self.thresholds[len(gram) - 1]

    def discounted(self, gram: Gram) -> float:
        count = self.adjusted[len(gram) - 1][gram]
        return count - self.discounts[len(gram) - 1][min(count, 3) - 1]

    def backoff(self, context: Gram) -> float:
        grams = self.followers[context]
        if not grams:
            return 1.0
        total = sum(self.adjusted[len(context)][gram] for gram in grams)
        return 1 - sum(self.discounted(gram) for gram in grams if self.kept(gram)) / total

    def prob(self, gram: Gram) -> float:
        """Of a kept n-gram or a unigram, its last symbol after the others."""
        if not gram:
            return 1 / len(self.symbols)
        context = gram[:-1]
        total = sum(self.adjusted[len(context)][other] for other in self.followers[context])
        own = self.discounted(gram) / total if self.adjusted[len(gram) - 1][gram] else 0.0
        return own + self.backoff(context) * self.prob(gram[1:])

    def table(self) -> dict[Gram, tuple[float, float]]:
        """Log10 probability and back-off of every n-gram that a file lists."""
        grams = [(symbol,) for symbol in sorted(self.symbols)]
        grams += [gram for counts in self.adjusted[1:] for gram in counts if self.kept(gram)]
        table = {}
        for gram in grams:
            backoff = self.backoff(gram) if len(gram) < self.order else 1.0
            table[gram] = (math.log10(self.prob(gram)), math.log10(backoff))
        start = self.backoff(("<s>",)) if self.order > 1 else 1.0
        return {**table, ("<s>",): (0.0, math.log10(start))}


def table_of(ngrams) -> dict[Gram, tuple[float, float]]:
    """The same of a model."""
    return {
        tuple(ngrams.symbols[i] for i in words): (float(log_prob), float(backoff))
        for order in ngrams.orders
        for words, log_prob, backoff in zip(order.words, order.log_probs, order.backoffs)
    }


def log10_prob(table, history: Sequence[str], symbol: str, order: int) -> float:
    """Back-off by its definition: a dict, and contexts that get shorter."""
    context = tuple(history)[max(0, len(history) - order + 1) :]
    weight = 0.0
    while True:
        if (*context, symbol) in table:
            return weight + table[(*context, symbol)][0]
        weight += table.get(context, (0.0, 0.0))[1]
        context = context[1:]
