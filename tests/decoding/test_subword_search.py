"""A search over pieces of words: a beam that holds everything equals enumeration.

The texts are scored as texts: however they are cut into pieces, words and hotwords are the same.
"""

import math
from dataclasses import dataclass

import pytest
import torch

from asr_attn.audio.features import FeaturesConfig
from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.hotwords import Hotword, HotwordScorer
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.decoding.search import model_scorers
from asr_attn.lm.ngram import NgramModel
from asr_attn.lm.scorer import NgramScorer
from asr_attn.lm.word_scorer import WordScorer
from asr_attn.models.asr import AsrModel, ModelConfig
from asr_attn.models.decoders import LstmDecoderConfig
from asr_attn.models.encoders import ListenerConfig
from asr_attn.nn.attention import SoftAttentionConfig
from asr_attn.text.tokenizer import BpeTokenizer, Tokenizer, UnigramTokenizer, WordTokenizer
from tests.decoding.enumeration import BOOSTS, WORDS, arpa_of, every_text, random_table
from tests.lm.test_word_scorer import PENALTY

STEPS = (3, 2)
TOKENIZERS = {
    "bpe": BpeTokenizer((" a", "ab", " ", "a", "b", "c")),
    "unigram": UnigramTokenizer((" ", "a", "b", "c", " ca"), (-2.0, -1.0, -3.0, -1.5, -2.5)),
    "words": WordTokenizer(WORDS),
}
BONUS = 0.3
CTC, NGRAM, WORD = 0.3, 0.6, 0.35


@dataclass(frozen=True)
class Toy:
    tokenizer: Tokenizer
    network: AsrModel
    scorers: list
    tables: tuple


@pytest.fixture(scope="module", params=list(TOKENIZERS))
def toy(request, tmp_path_factory) -> Toy:
    tokenizer = TOKENIZERS[request.param]
    config = ModelConfig(
        ListenerConfig(hidden_size=8, heads=1, feedforward_size=4),
        SoftAttentionConfig(score="scaled_dot", size=6, dynamics="forward"),
        LstmDecoderConfig(hidden_size=6, embedding_size=4),
    )
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        features = FeaturesConfig(sample_rate=8000, n_mels=16)
        network = AsrModel(features, config, len(tokenizer)).eval()
        for parameter in (*network.decoder.parameters(), *network.ctc.parameters()):
            parameter.normal_()
    spelt = [s for s in tokenizer.spellings if s.strip("\u2047 ") or s == " "]
    symbols = tuple("<space>" if s == " " else s.replace(" ", "\u2581") for s in spelt)
    tables = random_table(0, symbols), random_table(1, WORDS)
    path = tmp_path_factory.mktemp("models") / "toy.arpa"
    models = []
    for table in tables:
        path.write_text(arpa_of(table), encoding="utf-8")
        models.append(NgramModel.load(path))
    words = WordScorer(models[1], tokenizer, PENALTY)
    words.name = "words"  # both language models are asked at once
    hotwords = HotwordScorer([Hotword(*pair) for pair in BOOSTS.items()], tokenizer)
    further = [(NgramScorer(models[0], tokenizer), NGRAM), (words, WORD), (hotwords, 1.0)]
    return Toy(tokenizer, network, further, tables)


def test_a_beam_that_holds_everything_equals_enumeration(toy):
    size = len(toy.tokenizer)
    everything = (size - 2) ** STEPS[0] * (size - 1)
    config = SearchConfig(
        everything, length_exponent=0.0, ctc_weight=CTC, length_bonus=BONUS, max_tokens_per_step=1.0
    )
    generator = torch.Generator().manual_seed(1)
    memory = torch.randn(2, STEPS[0], toy.network.ctc.in_features, generator=generator)
    scorers = [*model_scorers(toy.network, config), *toy.scorers]
    found = beam_search(scorers, memory, torch.tensor(STEPS), config, nbest=2 * everything)
    weights = {
        "attention": 1.0 - CTC,
        "ctc": CTC,
        "length": 1.0,
        "language model": NGRAM,
        "words": WORD,
        "hotwords": 1.0,
    }
    for row, steps in enumerate(STEPS):
        texts = every_text(toy.network, *toy.tables, BONUS, memory[row, :steps], toy.tokenizer)
        scores = {
            text.tokens: sum(weight * text.parts[name] for name, weight in weights.items())
            for text in texts
        }
        possible = {tokens: score for tokens, score in scores.items() if score > -math.inf}
        assert sorted(h.tokens for h in found[row]) == sorted(possible)
        for hypothesis in found[row]:
            expected = possible[hypothesis.tokens]
            assert hypothesis.log_prob == pytest.approx(expected, rel=1e-4, abs=1e-4)
        best = max((t for t in texts if not t.truncated), key=lambda t: scores[t.tokens])
        assert found[row][0].tokens == best.tokens
