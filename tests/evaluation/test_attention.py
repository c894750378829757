import numpy as np
import pytest
import torch

from asr_attn.checkpoint import TrainedModel
from asr_attn.evaluation.attention import teacher_forced_attention
from asr_attn.evaluation.attention_health import attention_health
from asr_attn.text.tokenizer import EOS

RATE = 8000


def noise(seconds: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal(round(RATE * seconds))).astype(np.float32)


def test_attention_is_that_of_the_decoder_step_by_step(tiny_model: TrainedModel):
    waveform, tokens = noise(0.9, 0), [3, 5, 4]
    found = teacher_forced_attention(tiny_model, [waveform], [tokens])[0]
    network = tiny_model.network
    with torch.inference_mode():
        memory, lengths = network.encode(
            torch.from_numpy(waveform)[None], torch.tensor([len(waveform)])
        )
        state = network.speller.init_state(memory, lengths)
        for u, token in enumerate([EOS, *tokens]):
            _, weights, state = network.speller.step(torch.tensor([token]), state)
            np.testing.assert_allclose(found.weights[u], weights[0].numpy(), atol=1e-6)
    assert found.weights.shape == (4, 1, int(lengths))
    assert found.labels == [*tiny_model.tokenizer.decode(tokens).replace(" ", "␣"), "end"]
    assert found.seconds == pytest.approx(int(lengths) * network.seconds_per_step)


def test_padding_changes_nothing(tiny_model: TrainedModel):
    waveforms = [noise(0.5, 1), noise(1.7, 2), noise(0.8, 3)]
    tokens = [[4, 6], [3, 4, 5, 6, 7, 8], []]
    batch = teacher_forced_attention(tiny_model, waveforms, tokens)
    for together, waveform, ids in zip(batch, waveforms, tokens):
        alone = teacher_forced_attention(tiny_model, [waveform], [ids])[0]
        assert together.weights.shape == alone.weights.shape
        assert together.labels == alone.labels
        assert (together.speech == alone.speech).all()
        for name in ("entropy", "diagonality", "monotonicity", "coverage", "jump_back", "edges"):
            figures = [
                getattr(attention_health(a.weights, a.seconds_per_step, a.speech), name)
                for a in (together, alone)
            ]
            assert figures[0] == pytest.approx(figures[1], abs=1e-4), name
