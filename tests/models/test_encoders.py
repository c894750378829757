import math

import pytest
import torch

from asr_attn.models.encoders import ENCODERS, Listener, ListenerConfig

LENGTHS = [23, 22, 13, 4, 1]
CONFIGS = [
    ListenerConfig(hidden_size=8, heads=2, feedforward_size=12),
    ListenerConfig(
        hidden_size=8, heads=2, feedforward_size=12, kernel_size=3, stride=3, halvings=2
    ),
    ListenerConfig(
        hidden_size=8, heads=4, recurrent_layers=1, halvings=0, attention_layers=0, stride=1
    ),
    ListenerConfig(hidden_size=8, heads=2, feedforward_size=12, channels=3, stride=3),
]


def make(config: ListenerConfig) -> Listener:
    torch.manual_seed(0)
    listener = Listener(5, config).eval()
    for norm in [*listener.norms, listener.norm]:
        torch.nn.init.normal_(norm.bias)
    return listener


def batch() -> torch.Tensor:
    torch.manual_seed(1)
    features = torch.full((len(LENGTHS), max(LENGTHS), 5), 50.0)
    for row, length in zip(features, LENGTHS, strict=True):
        row[:length] = torch.randn(length, 5)
    return features


@pytest.mark.parametrize("config", CONFIGS)
def test_padding_changes_nothing(config):
    listener = make(config)
    features = batch()
    memory, lengths = listener(features, torch.tensor(LENGTHS))
    assert memory.shape == (len(LENGTHS), int(lengths.max()), listener.output_size)
    for i, length in enumerate(LENGTHS):
        alone, alone_lengths = listener(features[i : i + 1, :length], torch.tensor([length]))
        steps = int(lengths[i])
        assert alone_lengths.tolist() == [steps] == [alone.size(1)]
        torch.testing.assert_close(memory[i, :steps], alone[0], atol=2e-5, rtol=1e-4)
        assert not memory[i, steps:].any()


@pytest.mark.parametrize("config", CONFIGS)
def test_reduction_and_lengths(config):
    listener = make(config)
    _, lengths = listener(batch(), torch.tensor(LENGTHS))
    assert listener.reduction == config.reduction == config.stride * 2**config.halvings
    assert lengths.tolist() == [math.ceil(length / listener.reduction) for length in LENGTHS]


@pytest.mark.parametrize("config", CONFIGS)
def test_gradients_are_those_of_the_utterances_alone(config):
    features = batch()
    together, apart = make(config), make(config)
    memory, _ = together(features.requires_grad_(), torch.tensor(LENGTHS))
    memory.square().sum().backward()
    for i, length in enumerate(LENGTHS):
        alone, _ = apart(features[i : i + 1, :length].detach(), torch.tensor([length]))
        alone.square().sum().backward()
    for one, other in zip(together.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=2e-3, rtol=1e-3)
    assert features.grad is not None
    for row, length in zip(features.grad, LENGTHS, strict=True):
        assert not row[length:].any()


def test_self_attention_sees_the_whole_utterance():
    listener = make(CONFIGS[0])
    features = batch()[:1].requires_grad_()
    memory, _ = listener(features, torch.tensor(LENGTHS[:1]))
    memory[0, 0, 0].backward()
    assert features.grad is not None
    assert features.grad[0].any(dim=-1).all()


def test_dropout_only_in_training():
    listener = make(CONFIGS[0])
    args = (batch(), torch.tensor(LENGTHS))
    assert torch.equal(listener(*args)[0], listener(*args)[0])
    listener.train()
    assert not torch.equal(listener(*args)[0], listener(*args)[0])


def test_bf16_autocast_is_close():
    listener = make(CONFIGS[0])
    features, lengths = batch(), torch.tensor(LENGTHS)
    exact, _ = listener(features, lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, _ = listener(features, lengths)
    assert (rough.float() - exact).abs().max().item() < 0.2
    rough.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in listener.parameters())


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_size": 7, "heads": 1},
        {"hidden_size": 10, "heads": 4},
        {"recurrent_layers": 0, "halvings": 0},
        {"halvings": 3},
        {"halvings": -1},
        {"kernel_size": 4},
        {"channels": -1},
        {"stride": 0},
        {"dropout": 1.0},
    ],
)
def test_refuses_settings_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match=r"encoder|halvings"):
        ListenerConfig(**wrong)


def test_table_names_its_own_config():
    for name, (build, config) in ENCODERS.items():
        assert config.name == name
        assert callable(build)
