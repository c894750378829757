"""What is seen of an encoder between its layers, and layers that are skipped in training."""

from dataclasses import replace
from itertools import product

import pytest
import torch

from asr_attn.models.encoders import ENCODERS, EncoderConfig
from asr_attn.models.encoders.self_attentive import perhaps_skip

LENGTHS = [61, 33, 9, 1]
BANDS = 6
DEEP = {
    "listener": {"heads": 2, "feedforward_size": 12, "recurrent_layers": 3, "attention_layers": 2},
    "pyramid": {"halvings": 2},
    "vgg_blstm": {"channels": 3, "layers": 3},
    "transformer": {"channels": 3, "layers": 3, "heads": 2, "feedforward_size": 12},
    "conformer": {"channels": 3, "layers": 3, "heads": 2, "feedforward_size": 12},
    "branchformer": {
        "channels": 3,
        "layers": 3,
        "heads": 2,
        "feedforward_size": 12,
        "gating_size": 10,
    },
}
SHALLOW = {
    "listener": {"recurrent_layers": 2, "attention_layers": 0},
    "pyramid": {"halvings": 1},
    **{name: {"layers": 2} for name in DEEP if name not in ("listener", "pyramid")},
}
"""What makes of a deep encoder its two lowest layers."""
SKIPPING = ("transformer", "conformer", "branchformer")


def config_of(name: str, **changes: float) -> EncoderConfig:
    return replace(ENCODERS[name][1], hidden_size=8, dropout=0.0, **{**DEEP[name], **changes})


def make(config: EncoderConfig) -> torch.nn.Module:
    torch.manual_seed(0)
    encoder = ENCODERS[config.name][0](BANDS, config).double().eval()
    for name, parameter in encoder.named_parameters():
        torch.nn.init.normal_(parameter, std=0.3, mean=float("norm" in name))
    return encoder


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    features = torch.zeros(len(LENGTHS), max(LENGTHS), BANDS, dtype=torch.float64)
    for row, length in zip(features, LENGTHS, strict=True):
        row[:length] = torch.randn(length, BANDS)
    return features, torch.tensor(LENGTHS)


def test_all_encoders_are_here():
    assert set(DEEP) == set(SHALLOW) == set(ENCODERS)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_middle_layer_gives_what_an_encoder_without_those_above_gives(name):
    deep = make(config_of(name))
    shallow = make(config_of(name, **SHALLOW[name]))
    weights = deep.state_dict()
    shallow.load_state_dict({key: weights[key] for key in shallow.state_dict()})
    middle, memory = deep.outputs(*batch(), [2])
    for found, expected in ((middle, shallow(*batch())), (memory, deep(*batch()))):
        torch.testing.assert_close(found, expected)
        assert found[0].size(2) == deep.output_size


@pytest.mark.parametrize("name", ENCODERS)
def test_every_layer_can_be_seen_and_padding_changes_none(name):
    encoder = make(config_of(name))
    assert encoder.depth == (5 if name == "listener" else 3)
    features, lengths = batch()
    layers = range(1, encoder.depth + 1)
    outputs = encoder.outputs(features, lengths, layers)
    assert len(outputs) == encoder.depth + 1
    torch.testing.assert_close(outputs[-1], outputs[-2])
    for i, length in enumerate(LENGTHS):
        alone = encoder.outputs(features[i : i + 1, :length], lengths[i : i + 1], layers)
        for (memory, steps), (memory_alone, steps_alone) in zip(outputs, alone, strict=True):
            assert int(steps[i]) == int(steps_alone) == memory_alone.size(1)
            torch.testing.assert_close(memory[i, : int(steps[i])], memory_alone[0])
            assert not memory[i, int(steps[i]) :].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.8])
def test_skipping_is_one_of_two_outcomes_whose_expectation_is_the_layer(probability, dtype):
    torch.manual_seed(0)
    before = torch.randn(2000, 1, 3)
    after = torch.randn(2000, 1, 3)
    out = perhaps_skip(before.to(dtype), after.to(dtype), probability).float()
    before, after = before.to(dtype).float(), after.to(dtype).float()
    skipped = (out - before).abs().amax(dim=(1, 2)) < 1e-6
    kept = before + (after - before) / (1 - probability)
    tolerance = (
        {"atol": 1e-5, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 0.2, "rtol": 0.05}
    )
    torch.testing.assert_close(out[~skipped], kept[~skipped], **tolerance)
    assert float(skipped.float().mean()) == pytest.approx(probability, abs=0.04)
    expectation = probability * before + (1 - probability) * kept
    torch.testing.assert_close(expectation, after, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SKIPPING)
def test_the_deeper_a_layer_the_more_often_it_is_skipped(name):
    encoder = make(config_of(name, layers=2, stochastic_depth=0.6))
    features, lengths = batch()
    count = 600
    many = features[:1].expand(count, -1, -1)
    plain = make(config_of(name, layers=2))
    torch.testing.assert_close(encoder(features, lengths), plain(features, lengths))
    x, steps, mask = encoder.frontend(features[:1], lengths[:1])

    def after(x: torch.Tensor, layer: torch.nn.Module) -> torch.Tensor:
        return layer(x, mask) if name == "transformer" else layer(x, steps, mask)

    def finished(x: torch.Tensor) -> torch.Tensor:
        return encoder.norm(x) if name == "transformer" else x

    encoder.train()
    torch.manual_seed(5)
    with torch.no_grad():
        found, _ = encoder(many, lengths[:1].expand(count))
        matched = torch.zeros(count, dtype=torch.bool)
        for first, second in product([True, False], repeat=2):
            # of two layers the lower is skipped with 0.3, the upper with 0.6
            y = x + first / 0.7 * (after(x, encoder.layers[0]) - x)
            y = y + second / 0.4 * (after(y, encoder.layers[1]) - y)
            same = (found - finished(y)).abs().amax(dim=(1, 2)) < 1e-9
            expected = (0.7 if first else 0.3) * (0.4 if second else 0.6)
            assert float(same.double().mean()) == pytest.approx(expected, abs=0.07)
            matched |= same
    assert matched.all()


@pytest.mark.parametrize("name", SKIPPING)
def test_skipped_layers_have_gradients_all_the_same(name):
    encoder = make(config_of(name, stochastic_depth=0.999)).train()
    torch.manual_seed(0)
    memory, _ = encoder(*batch())
    memory.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    assert not any(p.grad.any() for p in encoder.layers[-1].parameters())


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_refuses_a_share_that_makes_no_sense(share):
    with pytest.raises(ValueError, match="stochastic_depth must be at least 0 and below 1"):
        config_of("conformer", stochastic_depth=share)
