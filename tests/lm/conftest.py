import numpy as np
import pytest

from asr_attn.lm.kneser_ney import KneserNeyConfig, train
from asr_attn.lm.ngrams import Ngrams
from asr_attn.lm.storage import Workspace


@pytest.fixture(scope="session")
def random_text():
    """Makes sentences whose symbols depend on the one before and are not equally frequent."""

    def make(seed: int, sentences: int, symbols: int) -> list[list[str]]:
        random = np.random.default_rng(seed)
        names = [f"w{i}" for i in range(symbols)]
        weights = 1 / np.arange(1, symbols + 1)
        rows = [random.permutation(weights) for _ in range(symbols)]
        text = []
        for _ in range(sentences):
            at, sentence = 0, []
            for _ in range(random.integers(0, 9)):
                at = int(random.choice(symbols, p=rows[at] / rows[at].sum()))
                sentence.append(names[at])
            text.append(sentence)
        return text

    return make


@pytest.fixture(scope="session")
def trained():
    """Trains a model in memory."""

    def make(text, order, prune=(), vocabulary=()) -> Ngrams:
        with Workspace(1 << 26) as workspace:
            return train(text, KneserNeyConfig(order, prune), workspace, vocabulary).ngrams

    return make
