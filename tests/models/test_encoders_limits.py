"""What encoders made of self-attention may see, and settings that make no sense."""

import numpy as np
import pytest
import torch

from asr_attn.models.encoders import (
    ENCODERS,
    BranchformerConfig,
    ConformerConfig,
    PyramidConfig,
    TransformerConfig,
    VggBlstmConfig,
)
from asr_attn.models.encoders.self_attentive import Frontend

FRAMES, BANDS = 39, 4
STEPS = 10
SMALL = {"hidden_size": 8, "layers": 2, "heads": 2, "feedforward_size": 12, "channels": 3}
CONFIGS = [
    TransformerConfig(**SMALL),
    ConformerConfig(**SMALL, kernel_size=5),
    BranchformerConfig(**SMALL, gating_size=10, kernel_size=5),
]


def felt(config) -> torch.Tensor:
    """(STEPS, FRAMES) bool: whether a memory step depends on a frame."""
    torch.manual_seed(0)
    encoder = ENCODERS[config.name][0](BANDS, config).double().eval()
    for name, parameter in encoder.named_parameters():
        torch.nn.init.normal_(parameter, std=0.3, mean=float("norm" in name))
        if "convs" in name and name.endswith("bias"):
            parameter.data += 3  # a frame should not go unseen because ReLU happens to be off
    features = torch.randn(1, FRAMES, BANDS, dtype=torch.float64, requires_grad=True)
    memory, lengths = encoder(features, torch.tensor([FRAMES]))
    assert lengths.tolist() == [STEPS]
    weights = torch.randn(encoder.output_size, dtype=torch.float64)
    rows = []
    for step in range(STEPS):
        loss = weights @ memory[0, step]
        (gradient,) = torch.autograd.grad(loss, features, retain_graph=True)
        rows.append(gradient[0].any(dim=-1))
    return torch.stack(rows)


def settings_of(config, **changes):
    return type(config)(**{**vars(config), **changes})


@pytest.mark.parametrize("config", CONFIGS)
def test_sees_everything_by_default(config):
    assert felt(config).all()


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("positions", ["sinusoidal", "relative", "rotary"])
def test_causal_sees_the_frames_up_to_its_own(config, positions):
    for step, row in enumerate(felt(settings_of(config, causal=True, positions=positions))):
        assert row.nonzero().flatten().tolist() == list(range(min(4 * step + 4, FRAMES)))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("chunk", [1, 3, 4])
def test_chunked_sees_the_frames_up_to_the_end_of_its_chunk(config, chunk):
    for step, row in enumerate(felt(settings_of(config, chunk=chunk))):
        end = (step // chunk + 1) * chunk
        assert row.nonzero().flatten().tolist() == list(range(min(4 * end, FRAMES)))


def test_transformer_sees_left_chunks_once_per_layer():
    config = settings_of(CONFIGS[0], chunk=2, left_chunks=1)
    for step, row in enumerate(felt(config)):
        start, end = max(step // 2 - config.layers, 0) * 2, (step // 2 + 1) * 2
        frames = range(max(4 * start - 3, 0), min(4 * end, FRAMES))
        assert row.nonzero().flatten().tolist() == list(frames)


def test_transformer_sees_a_window_per_layer():
    config = settings_of(CONFIGS[0], window_back=1, window_ahead=2)
    for step, row in enumerate(felt(config)):
        start, last = max(step - config.layers, 0), step + 2 * config.layers
        frames = range(max(4 * start - 3, 0), min(4 * last + 4, FRAMES))
        assert row.nonzero().flatten().tolist() == list(frames)


def test_sinusoids_are_added_below_the_layers():
    plain = Frontend(BANDS, settings_of(CONFIGS[0], positions="none")).eval()
    added = Frontend(BANDS, settings_of(CONFIGS[0], positions="sinusoidal")).eval()
    added.load_state_dict(plain.state_dict())
    args = (torch.randn(2, FRAMES, BANDS), torch.tensor([FRAMES, 20]))
    difference = (added(*args)[0] - plain(*args)[0]).detach().numpy()
    angles = np.arange(STEPS)[:, None] / 10000 ** (np.arange(0, 8, 2) / 8)
    np.testing.assert_allclose(difference[..., 0::2], np.sin(angles)[None].repeat(2, 0), atol=1e-5)
    np.testing.assert_allclose(difference[..., 1::2], np.cos(angles)[None].repeat(2, 0), atol=1e-5)


def test_the_input_of_the_layers_has_dropout():
    frontend = Frontend(BANDS, settings_of(CONFIGS[0], dropout=0.5, positions="none")).train()
    x, _, _ = frontend(torch.randn(1, 400, BANDS), torch.tensor([400]))
    assert 0.4 < (x == 0).float().mean() < 0.6


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"causal": True, "chunk": 4}, "exclude each other"),
        ({"causal": True, "window_ahead": 2}, "sees nothing ahead"),
        ({"chunk": 4, "window_back": 3}, "leave window_back"),
        ({"left_chunks": 1}, "needs encoder.chunk"),
        ({"chunk": -1}, "at least 0"),
        ({"window_back": -2}, "at least -1"),
        ({"heads": 5}, "multiple of encoder.heads=5"),
        ({"hidden_size": 9, "heads": 3}, "must be even"),
        ({"hidden_size": 12, "heads": 4, "positions": "rotary"}, "even width per head"),
        ({"positions": "absolute"}, "not one of none, sinusoidal, relative, rotary"),
        ({"layers": 0}, "at least 1"),
        ({"channels": 0}, "at least 1"),
        ({"dropout": 1.0}, "below 1"),
    ],
)
@pytest.mark.parametrize("kind", [TransformerConfig, ConformerConfig, BranchformerConfig])
def test_self_attentive_encoders_refuse_what_makes_no_sense(kind, config, message):
    with pytest.raises(ValueError, match=message):
        kind(**config)


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        (ConformerConfig, {"kernel_size": 4}, "kernel_size must be odd"),
        (BranchformerConfig, {"kernel_size": 0}, "kernel_size must be odd"),
        (BranchformerConfig, {"merge_kernel_size": 2}, "merge_kernel_size must be odd"),
        (BranchformerConfig, {"gating_size": 7}, "gating_size must be even"),
        (PyramidConfig, {"hidden_size": 7}, "must be even"),
        (PyramidConfig, {"halvings": -1}, "must not be negative"),
        (PyramidConfig, {"dropout": -0.1}, "at least 0"),
        (VggBlstmConfig, {"channels": 0}, "at least 1"),
        (VggBlstmConfig, {"hidden_size": 7}, "must be even"),
        (VggBlstmConfig, {"dropout": 1.0}, "below 1"),
    ],
)
def test_encoders_refuse_what_makes_no_sense(kind, config, message):
    with pytest.raises(ValueError, match=message):
        kind(**config)
