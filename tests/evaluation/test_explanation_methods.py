import numpy as np
import pytest
import torch
from torch import Tensor

from asr_attn.evaluation import explanation_methods
from asr_attn.evaluation.explanation_methods import (
    ExplanationConfig,
    GivenText,
    as_shares,
    gradient_times_input,
    occlusion,
    word_attention,
)
from asr_attn.models.encoders import ENCODERS
from asr_attn.nn.attention import ATTENTIONS
from asr_attn.text.tokenizer import EOS
from tests.models.small import small_network

TOKENS, GROUPS = (3, 5, 4, 6, 4), ((0, 2), (3, 5))
HOP = 0.01
FRAMES = 23


def make(encoder: str, attention: str, decoder: str) -> GivenText:
    network = small_network(encoder, attention, decoder)
    for name, parameter in network.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.5)
        if name.endswith("stop.offset"):  # monotonic attention that finds no stop reads nothing
            torch.nn.init.constant_(parameter, 2.0)
    return GivenText(network, TOKENS, GROUPS)


def exact() -> GivenText:
    """A model whose numbers are all of double precision."""
    given = make("listener", "scaled_dot", "transformer")
    given.network.double()
    return given


def noise(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(FRAMES, 10, generator=torch.Generator().manual_seed(1), dtype=dtype)


def log_probs(given: GivenText, features: Tensor) -> Tensor:
    """The same (W,) by steps of the decoder."""
    with torch.no_grad():
        memory, lengths = given.network.encoder(features[None], torch.tensor([len(features)]))
        state = given.network.speller.init_state(memory, lengths)
        tokens = []
        for before, token in zip([EOS, *TOKENS], TOKENS):
            found, _, state = given.network.speller.step(torch.tensor([before]), state)
            tokens.append(found[0, token])
    return torch.stack([sum(tokens[first:last]) for first, last in GROUPS])


@pytest.mark.parametrize("decoder", ["lstm", "transformer"])
def test_a_words_log_probability_is_that_of_the_decoder_step_by_step(decoder: str):
    given, features = make("listener", "scaled_dot", decoder), noise(torch.float32)
    with torch.no_grad():
        several = given.log_probs(torch.stack([features, features.flip(0)]))
    torch.testing.assert_close(several[0], log_probs(given, features))
    torch.testing.assert_close(several[1], log_probs(given, features.flip(0)))


def test_gradients_are_finite_differences():
    given, features = exact(), noise()
    found = gradient_times_input(given, features, HOP, ExplanationConfig(gradients="plain"))
    assert found.shape == (2, FRAMES, 10)
    small = 1e-5
    for t, d in [(0, 0), (4, 9), (11, 3), (12, 3), (FRAMES - 1, 5)]:
        moved = torch.zeros_like(features)
        moved[t, d] = small
        slope = log_probs(given, features + moved) - log_probs(given, features - moved)
        torch.testing.assert_close(
            found[:, t, d], features[t, d] * slope / (2 * small), rtol=1e-5, atol=1e-9
        )


def test_integrated_gradients_are_complete():
    given, features = exact(), noise()
    config = ExplanationConfig(gradients="integrated", points=200)
    found = gradient_times_input(given, features, HOP, config).sum(dim=(1, 2))
    gained = log_probs(given, features) - log_probs(given, torch.zeros_like(features))
    assert gained.abs().min() > 0.1
    torch.testing.assert_close(found, gained, rtol=1e-3, atol=0)


def test_gradients_of_noisy_copies_are_their_mean():
    given, features = exact(), noise()
    plain = ExplanationConfig(gradients="plain")
    still = ExplanationConfig(noise=0.0, points=3)
    torch.testing.assert_close(
        gradient_times_input(given, features, HOP, still),
        gradient_times_input(given, features, HOP, plain),
    )
    # around a point, the mean of many slopes is the slope of the mean: by finite differences of
    # the same copies, moved together
    config, small = ExplanationConfig(noise=0.3, points=4), 1e-5
    copies, _ = explanation_methods._points(features, config)
    assert 0.2 < float((copies - features).std()) < 0.4
    found = gradient_times_input(given, features, HOP, config)
    moved = torch.zeros_like(features)
    moved[7, 2] = small
    slopes = [log_probs(given, c + moved) - log_probs(given, c - moved) for c in copies]
    mean = torch.stack(slopes).mean(dim=0) / (2 * small)
    torch.testing.assert_close(found[:, 7, 2], features[7, 2] * mean, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("stretch", "size", "shift"), [(0.05, 5, 3), (0.04, 4, 2), (9.0, 23, 12)])
def test_occlusion_is_a_pass_for_each_stretch(stretch: float, size: int, shift: int):
    given, features = exact(), noise()
    found, greatest = occlusion(given, features, HOP, stretch)
    whole = log_probs(given, features)
    falls: dict[int, Tensor] = {}
    for start in range(shift - size, FRAMES, shift):
        hidden = features.clone()
        hidden[max(start, 0) : start + size] = 0.0
        falls[start] = whole - log_probs(given, hidden)
    for t in range(FRAMES):
        over = [fall for start, fall in falls.items() if start <= t < start + size]
        assert over
        torch.testing.assert_close(found[:, t], torch.stack(over).mean(dim=0))
    torch.testing.assert_close(greatest, torch.stack(list(falls.values())).max(dim=0).values)


def test_how_many_go_through_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    given, features = exact(), noise()
    config = ExplanationConfig()
    together = (
        gradient_times_input(given, features, HOP, config),
        *occlusion(given, features, HOP, 0.05),
    )
    sizes = []

    def watched(self: GivenText, rows: Tensor) -> Tensor:
        sizes.append(len(rows))
        return original(self, rows)

    original = GivenText.log_probs
    monkeypatch.setattr(GivenText, "log_probs", watched)
    monkeypatch.setattr(explanation_methods, "BATCH_SECONDS", 3.5 * FRAMES * HOP)
    apart = (
        gradient_times_input(given, features, HOP, config),
        *occlusion(given, features, HOP, 0.05),
    )
    assert max(sizes) == 3
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("encoder", "attention", "decoder"),
    [("listener", name, "lstm") for name in ATTENTIONS]
    + [(name, "location", "lstm") for name in ENCODERS if name != "listener"]
    + [(name, "scaled_dot", "transformer") for name in ("conformer", "pyramid")],
)
def test_every_model_is_explained_without_chance(encoder: str, attention: str, decoder: str):
    given, features = make(encoder, attention, decoder), noise(torch.float32)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, again = (
        (
            gradient_times_input(given, features, HOP, ExplanationConfig(points=2)),
            *occlusion(given, features, HOP, 0.1),
        )
        for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(first, again, strict=True):
        assert a.isfinite().all()
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert first[1].abs().sum() > 0
    assert all(parameter.grad is None for parameter in given.network.parameters())


def test_attention_of_words_is_spread_over_their_steps():
    weights = np.zeros((4, 2, 3), dtype=np.float32)
    weights[0, 0] = [1, 0, 0]
    weights[0, 1] = [0, 1, 0]
    weights[1, :] = [0, 0.5, 0.5]
    weights[2, :] = [0, 0, 1]  # the space between the words
    weights[3, :] = [0, 0, 1]
    found = word_attention(weights, [(0, 2), (3, 4)], reduction=4, frames=10)
    first = [0.25 / 4] * 4 + [0.5 / 4] * 4 + [0.25 / 2] * 2
    np.testing.assert_allclose(found, [first, [0] * 8 + [0.5] * 2])


def test_shares_are_of_what_speaks_for_the_word():
    rows = np.array([[1.0, -5.0, 3.0], [-1.0, -2.0, 0.0]])
    np.testing.assert_allclose(as_shares(rows), [[0.25, 0, 0.75], [0, 0, 0]])


@pytest.mark.parametrize(
    "wrong",
    [
        {"gradients": "guided"},
        {"points": 0},
        {"noise": -1.0},
        {"noise": float("nan")},
        {"stretch": 0.0},
        {"stretch": float("inf")},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, object]):
    with pytest.raises(ValueError, match="|".join(wrong)):
        ExplanationConfig(**wrong)
