"""What every encoder of the table promises."""

import math
from dataclasses import replace

import pytest
import torch

from asr_attn.models.encoders import ENCODERS, EncoderConfig

LENGTHS = [61, 60, 33, 9, 1]
BANDS = 6
SMALL = {
    "listener": {"heads": 2, "feedforward_size": 12},
    "pyramid": {},
    "vgg_blstm": {"channels": 3, "layers": 2},
    "transformer": {"channels": 3, "layers": 2, "heads": 2, "feedforward_size": 12},
    "conformer": {"channels": 3, "layers": 2, "heads": 2, "feedforward_size": 12},
    "branchformer": {
        "channels": 3,
        "layers": 2,
        "heads": 2,
        "feedforward_size": 12,
        "gating_size": 10,
    },
}
LIMITS = [
    {"positions": "none"},
    {"positions": "rotary", "causal": True, "window_back": 3},
    {"positions": "relative", "chunk": 4, "left_chunks": 1},
    {"positions": "sinusoidal", "window_back": 2, "window_ahead": 1},
]
CONFIGS = [replace(ENCODERS[name][1], hidden_size=8, **small) for name, small in SMALL.items()]
CONFIGS += [
    replace(config, **limit)
    for config in CONFIGS
    if config.name in ("transformer", "conformer", "branchformer")
    for limit in LIMITS
]
EVERY = pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda config: "-".join(map(str, vars(config).values()))
)


def make(config: EncoderConfig, dtype: torch.dtype = torch.float64) -> torch.nn.Module:
    torch.manual_seed(0)
    encoder = ENCODERS[config.name][0](BANDS, config).to(dtype).eval()
    for name, parameter in encoder.named_parameters():
        torch.nn.init.normal_(parameter, std=0.3, mean=float("norm" in name))
        if "convs" in name and name.endswith("bias"):
            parameter.data += 3  # a frame should not go unseen because ReLU happens to be off
    return encoder


def batch(garbage: float = math.nan, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    torch.manual_seed(1)
    features = torch.full((len(LENGTHS), max(LENGTHS), BANDS), garbage, dtype=dtype)
    for row, length in zip(features, LENGTHS, strict=True):
        row[:length] = torch.randn(length, BANDS)
    return features


def test_all_encoders_are_here():
    assert set(SMALL) == set(ENCODERS)


@EVERY
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_padding_changes_nothing(config, dtype, tolerance):
    encoder = make(config, dtype)
    features = batch(dtype=dtype)
    memory, lengths = encoder(features, torch.tensor(LENGTHS))
    assert memory.shape == (len(LENGTHS), int(lengths.max()), encoder.output_size)
    assert lengths.tolist() == [math.ceil(length / encoder.reduction) for length in LENGTHS]
    for i, length in enumerate(LENGTHS):
        alone, steps = encoder(features[i : i + 1, :length], torch.tensor([length]))
        assert steps.tolist() == [int(lengths[i])] == [alone.size(1)]
        torch.testing.assert_close(
            memory[i, : int(steps)], alone[0], atol=tolerance, rtol=10 * tolerance
        )
        assert not memory[i, int(steps) :].any()


@EVERY
def test_gradients_are_those_of_the_utterances_alone_and_reach_everything(config):
    features = batch(garbage=50.0)
    together, apart = make(config), make(config)
    memory, _ = together(features.requires_grad_(), torch.tensor(LENGTHS))
    torch.manual_seed(2)
    weights = torch.randn(memory.shape, dtype=memory.dtype)
    (weights * memory).sum().backward()
    for i, length in enumerate(LENGTHS):
        alone, steps = apart(features[i : i + 1, :length].detach(), torch.tensor([length]))
        (weights[i, : int(steps)] * alone).sum().backward()
    for (name, one), other in zip(together.named_parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-9, rtol=1e-9)
        assert one.grad.any(), name
    assert features.grad is not None
    for row, length in zip(features.grad, LENGTHS, strict=True):
        assert row[:length].any(dim=-1).all()
        assert not row[length:].any()


@EVERY
def test_runs_in_bf16_autocast_forth_and_back(config):
    encoder = make(config, torch.float32).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        memory, lengths = encoder(batch(dtype=torch.float32), torch.tensor(LENGTHS))
    memory.float().square().sum().backward()
    assert memory.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    for row, steps in zip(memory, lengths.tolist(), strict=True):
        assert not row[steps:].any()


@EVERY
def test_dropout_only_in_training(config):
    encoder = make(config)
    args = (batch(), torch.tensor(LENGTHS))
    assert torch.equal(encoder(*args)[0], encoder(*args)[0])
    encoder.train()
    assert not torch.equal(encoder(*args)[0], encoder(*args)[0])


@pytest.mark.parametrize("name", ENCODERS)
def test_default_is_of_moderate_size_and_hears_one_frame(name):
    build, config = ENCODERS[name]
    assert config.name == name
    encoder = build(80, config).eval()
    assert 500_000 < sum(p.numel() for p in encoder.parameters()) < 3_000_000
    memory, lengths = encoder(torch.randn(1, 1, 80), torch.tensor([1]))
    assert memory.shape == (1, 1, encoder.output_size)
    assert lengths.tolist() == [1]
    assert memory.isfinite().all()
