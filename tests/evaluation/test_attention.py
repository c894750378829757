import numpy as np
import pytest
import torch

from asr_attn.checkpoint import TrainedModel
from asr_attn.evaluation.attention import (
    ctc_spans,
    speech_steps,
    teacher_forced_attention,
    token_spans,
)
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


def test_speech_is_where_it_is_loud():
    quiet, loud = 0.001 * noise(1.0, 0), noise(0.5, 1)
    samples = np.concatenate([quiet, loud, quiet])  # from 1.0 s to 1.5 s of 2.5 s
    speech = speech_steps(samples, RATE, 50, 0.05)
    found = np.flatnonzero(speech)
    assert abs(found[0] - 20) <= 1
    assert abs(found[-1] - 29) <= 1
    assert len(found) == found[-1] - found[0] + 1
    assert speech_steps(samples[:100], RATE, 3, 0.05).all()
    assert speech_steps(np.zeros(RATE, np.float32), RATE, 20, 0.05).all()


def test_ctc_tells_only_what_it_has_learnt():
    random = np.random.default_rng(0)
    tokens, vocabulary = [5, 7, 5], 12
    places = {2: 5, 6: 7, 9: 5}  # step: token
    logits = 0.3 * random.standard_normal((12, vocabulary))
    untrained = torch.from_numpy(logits).log_softmax(-1)
    assert ctc_spans(untrained, tokens) == ()
    for step in range(12):
        logits[step, places.get(step, 0)] += 8.0
    trained = torch.from_numpy(logits).log_softmax(-1)
    spans = ctc_spans(trained, tokens)
    assert [(s.token, s.start, s.end) for s in spans] == [(5, 2, 3), (7, 6, 7), (5, 9, 10)]
    assert ctc_spans(trained, [4, 8, 4, 8]) == ()  # not what was heard
    assert ctc_spans(trained, [5] * 12) == ()  # too long
    assert ctc_spans(trained, []) == ()


def test_token_spans_hold_the_middle_of_the_weight():
    weights = np.zeros((4, 2, 10), np.float32)
    weights[0, :, 3] = 1.0
    weights[1, 0, 2] = weights[1, 1, 7] = 1.0  # the mean of the heads: half and half
    weights[2] = 0.1  # uniform: 80 % are the steps 1 to 8, of 10
    spans = token_spans(weights.astype(np.float64), 0.5)
    assert spans[0] == (1.5, 2.0)
    assert spans[1] == (1.0, 4.0)
    assert spans[2][0] in (0.0, 0.5)  # the boundary of a tenth is within rounding
    assert spans[2][1] in (4.5, 5.0)
    assert spans[3] == (0.0, 0.0)
