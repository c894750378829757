import itertools
import math

import numpy as np
import pytest
import torch

from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.errors import ConfigError, InputError
from asr_attn.lm.neural import (
    LstmLmConfig,
    TrainedLm,
    TransformerLmConfig,
    lm_config_from_dict,
    make_lm,
)
from asr_attn.lm.neural_perplexity import measure_tokens
from asr_attn.lm.neural_scorer import NeuralScorer
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.text.tokenizer import BLANK, EOS, SPECIALS, UNK, CharTokenizer
from tests.lm.numpy_models import log_probs as log_probs_by_numpy

CONFIGS = {
    "lstm": LstmLmConfig(hidden_size=6, embedding_size=5, layers=2, dropout=0.5),
    "transformer": TransformerLmConfig(
        hidden_size=8, layers=2, heads=2, feedforward_size=12, dropout=0.5
    ),
}


def model_of(name: str, characters: str, seed: int = 0) -> TrainedLm:
    """An untrained model whose distributions are far from even."""
    tokenizer = CharTokenizer.train([characters])
    torch.manual_seed(seed)
    network = make_lm(CONFIGS[name], len(tokenizer))
    with torch.no_grad():
        for parameter_name, parameter in network.named_parameters():
            if "norm" not in parameter_name:
                parameter.normal_(std=0.7)
    return TrainedLm(network.eval(), CONFIGS[name], tokenizer, NormalizerConfig())


def by_numpy(model: TrainedLm, sentence: list[int]) -> np.ndarray:
    """Log-probabilities (U + 1, V) of the tokens of a sentence and its end."""
    weights = {k: v.double().numpy() for k, v in model.network.state_dict().items()}
    without_blank = log_probs_by_numpy(weights, [EOS, *sentence], model.config)
    return np.pad(without_blank, ((0, 0), (1, 0)), constant_values=-np.inf)


@pytest.fixture(params=["lstm", "transformer"])
def model(request):
    return model_of(request.param, " abc")


@torch.no_grad()
def test_full_pass_is_that_of_numpy(model):
    tokens = [4, 3, UNK, 5, 6, 4]
    found = model.network(torch.tensor([[EOS, *tokens]])).log_softmax(-1)[0]
    assert found[:, BLANK].eq(-torch.inf).all()
    expected = by_numpy(model, tokens)
    np.testing.assert_allclose(found[:, 1:], expected[:, 1:], atol=2e-5)
    np.testing.assert_allclose(found.exp().sum(-1), 1.0, atol=1e-6)


@torch.no_grad()
def test_steps_are_the_full_pass(model):
    tokens = torch.randint(2, 7, (3, 9))
    tokens[:, 0] = EOS
    expected = model.network(tokens).log_softmax(-1)
    state = model.network.start(3, torch.device("cpu"))
    for u in range(9):
        found, state = model.network.step(tokens[:, u], state)
        assert found[:, BLANK].eq(-torch.inf).all()
        torch.testing.assert_close(found[:, 1:], expected[:, u, 1:], atol=1e-5, rtol=0)


@torch.no_grad()
def test_select_goes_on_from_the_chosen_sentences(model):
    tokens = torch.tensor([[EOS, 3, 4, 5], [EOS, 5, 5, 6], [EOS, 2, 6, 3]])
    index = torch.tensor([2, 0, 0, 1])
    following = torch.tensor([4, 3, 6, 5])
    state = model.network.start(3, torch.device("cpu"))
    for u in range(4):
        _, state = model.network.step(tokens[:, u], state)
    found, _ = model.network.step(following, state.select(index))
    whole = torch.cat([tokens[index], following[:, None]], dim=1)
    expected = model.network(whole).log_softmax(-1)[:, -1]
    torch.testing.assert_close(found[:, 1:], expected[:, 1:], atol=1e-5, rtol=0)


def test_what_comes_later_has_no_influence_and_every_weight_learns(model):
    tokens = torch.tensor([[EOS, 3, 4, 5, 6]])
    changed = torch.tensor([[EOS, 3, 4, 6, 2]])
    before, after = model.network(tokens), model.network(changed)
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:, 1:], after[:, 3:, 1:])
    torch.nn.functional.cross_entropy(before[0, :-1], tokens[0, 1:]).backward()
    for name, parameter in model.network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.ne(0).any(), name


def test_dropout_is_only_for_training(model):
    tokens = torch.tensor([[EOS, 3, 4]])
    assert torch.equal(model.network(tokens), model.network(tokens))
    model.network.train()
    assert not torch.equal(model.network(tokens), model.network(tokens))


def test_perplexity_is_that_of_numpy(model):
    sentences = [[4, 5], [3, UNK, 6, 6, 4], [], [5], [UNK, UNK, 4]]
    total = unknown_total = 0.0
    for sentence in sentences:
        row = by_numpy(model, sentence)
        picked = [row[u, token] for u, token in enumerate([*sentence, EOS])]
        total += sum(picked)
        unknown_total += sum(p for p, token in zip(picked, sentence) if token == UNK)
    found = measure_tokens(model.network, sentences)
    assert (found.sentences, found.tokens, found.unknown) == (5, 11, 3)
    assert found.perplexity == pytest.approx(math.exp(-total / 16), rel=1e-5)
    assert found.known_perplexity == pytest.approx(
        math.exp(-(total - unknown_total) / 13), rel=1e-5
    )


@pytest.mark.parametrize("characters", ["ab", "!Aab"])
def test_beam_search_is_enumeration(model, characters):
    model = model_of(model.config.name, characters, seed=3)
    recogniser = CharTokenizer.train(["ab"])
    scorer = NeuralScorer(model, recogniser)
    memory, lengths = torch.zeros(2, 3, 1), torch.tensor([3, 2])
    config = SearchConfig(beam=40, length_exponent=0.0, max_tokens_per_step=1.0)
    found = beam_search([(scorer, 1.0)], memory, lengths, config, nbest=3)
    to_theirs = {UNK: UNK} | {
        SPECIALS + i: SPECIALS + model.tokenizer.characters.index(c) for i, c in enumerate("ab")
    }
    for row, longest in zip(found, lengths.tolist()):
        scores = {}
        for length in range(longest + 1):
            for sentence in itertools.product(to_theirs, repeat=length):
                theirs = [to_theirs[token] for token in sentence]
                probabilities = by_numpy(model, theirs)
                scores[sentence] = sum(
                    probabilities[u, token] for u, token in enumerate([*theirs, EOS])
                )
        best = sorted(scores, key=lambda s: -scores[s])[:3]
        assert [h.tokens for h in row] == best
        assert [h.log_prob for h in row] == pytest.approx([scores[s] for s in best], abs=1e-4)


def test_more_tokens_than_the_recogniser_are_not_renormalised(model):
    scorer = NeuralScorer(model, CharTokenizer.train(["ca"]))
    assert scorer.name == "language model"
    assert scorer.gain == 0.0
    state = scorer.start(torch.zeros(1, 1, 1), torch.ones(1))
    log_probs, state = scorer.score(torch.tensor([EOS]), state)
    expected = by_numpy(model, [6])  # c
    columns = [BLANK, EOS, UNK, 4, 6]
    np.testing.assert_allclose(log_probs[0].detach(), expected[0, columns], atol=2e-5)
    log_probs, _ = scorer.score(torch.tensor([4]), state)
    np.testing.assert_allclose(log_probs[0].detach(), expected[1, columns], atol=2e-5)


def test_lacking_tokens_are_named(model):
    with pytest.raises(InputError) as caught:
        NeuralScorer(model, CharTokenizer.train(["abcxé '"]), "lm.safetensors")
    assert str(caught.value).startswith(
        "lm.safetensors: this language model lacks 3 of the recogniser's 7 tokens (\"'\", 'x', 'é')"
    )
    with pytest.raises(InputError, match=r"lacks 7 of .*'d', 'e', 'f', 'g', 'h', \.\.\.\)"):
        NeuralScorer(model, CharTokenizer.train(["abcdefghij"]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "lstn"}, "did you mean 'lstm'"),
        ({}, "not known; known: lstm, transformer"),
        ({"name": "lstm", "layers": 0}, "at least 1"),
        ({"name": "lstm", "dropout": 1.0}, "below 1"),
        ({"name": "transformer", "hidden_size": 10}, "multiple of model.heads=4"),
        ({"name": "transformer", "heads": 0}, "at least 1"),
        ({"name": "transformer", "dropout": -0.1}, "below 1"),
    ],
)
def test_wrong_settings_are_told(data, message):
    with pytest.raises((ConfigError, ValueError), match=message):
        lm_config_from_dict(data)
