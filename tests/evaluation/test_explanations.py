import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asr_attn.checkpoint import TrainedModel
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.errors import AudioError, InputError
from asr_attn.evaluation.attention import teacher_forced_attention
from asr_attn.evaluation.explanation_agreement import mass_inside
from asr_attn.evaluation.explanations import METHODS, explain
from asr_attn.recognizer import Recognizer
from asr_attn.text.tokenizer import BLANK

RATE = 8000


def noise(seconds: float = 0.6, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal(round(RATE * seconds))).astype(np.float32)


class OneStretch(nn.Module):
    """An encoder that hears nothing outside of some frames."""

    def __init__(self, encoder: nn.Module, start: int, end: int) -> None:
        super().__init__()
        self.encoder, self.start, self.end = encoder, start, end
        self.reduction, self.output_size = encoder.reduction, encoder.output_size

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        heard = torch.zeros_like(features)
        heard[:, self.start : self.end] = features[:, self.start : self.end]
        return self.encoder(heard, lengths)


def altered(model: TrainedModel) -> TrainedModel:
    return replace(model, network=copy.deepcopy(model.network))


def test_the_only_stretch_that_is_heard_is_found(tiny_model: TrainedModel):
    model = altered(tiny_model)
    model.network.encoder = OneStretch(model.network.encoder, 20, 35)
    found = explain(model, noise())
    assert found.words
    for gradients, occlusion in zip(found.gradients, found.occlusion):
        assert gradients[20:35].sum() == pytest.approx(1)
        # a stretch of 10 frames that holds one of these reaches up to 9 beyond
        assert occlusion[11:44].sum() == pytest.approx(1)
        assert occlusion[20:35].sum() > 0.5
    # where the decoder looks is another matter
    for row in found.attention:
        assert row[20:35].sum() < 0.5


def test_attention_is_the_mean_of_a_words_tokens(tiny_model: TrainedModel):
    text, samples = "ab cde", noise()
    found = explain(tiny_model, samples, text)
    ids = tiny_model.tokenizer.encode(text)
    weights = teacher_forced_attention(tiny_model, [samples], [ids])[0].weights.mean(axis=1)
    reduction = tiny_model.network.reduction
    frames = len(samples) // tiny_model.features.hop_length + 1
    assert found.frame_seconds == 0.01
    assert found.attention.shape == found.gradients.shape == found.occlusion.shape == (2, frames)
    starts = np.arange(0, frames, reduction)
    for row, tokens in zip(found.attention, (slice(0, 2), slice(3, 6))):
        expected = weights[tokens].mean(axis=0)
        np.testing.assert_allclose(np.add.reduceat(row, starts), expected, rtol=1e-5)


def test_the_search_finds_the_text_and_its_words(tiny_model: TrainedModel):
    recognizer, samples = Recognizer(tiny_model, SearchConfig(beam=2)), noise(0.9, 3)
    transcript = recognizer.transcribe_samples([samples])[0]
    assert transcript.words
    found = explain(recognizer, samples)
    assert found.text == transcript.text
    for word, other in zip(found.words, transcript.words, strict=True):
        assert (word.text, word.start, word.end) == (other.text, other.start, other.end)
        assert word.confidence == pytest.approx(other.confidence, rel=1e-4)
    given = explain(tiny_model, samples, f" {transcript.text.upper()}! ")  # as it is normalised
    for method in METHODS:
        np.testing.assert_array_equal(getattr(given, method), getattr(found, method))


def test_rows_sum_to_one_and_agreement_is_theirs(tiny_model: TrainedModel):
    model = altered(tiny_model)
    with torch.no_grad():  # CTC that hears blanks, and letters now and then
        model.network.ctc.weight.zero_()
        model.network.ctc.bias.zero_()
        model.network.ctc.bias[BLANK] = 4.0
    found = explain(model, noise(1.5), "ab cde")
    for i, word in enumerate(found.words):
        assert word.source == "ctc"
        for method in METHODS:
            row = getattr(found, method)[i]
            assert (row >= 0).all()
            assert row.sum() == pytest.approx(1)
            first, last = round(word.start / 0.01), round(word.end / 0.01)
            assert found.agreement[i].inside[method] == pytest.approx(row[first:last].sum())
            assert mass_inside(row, word.start, word.end, 0.01) == pytest.approx(
                row[first:last].sum()
            )
    for figures in ("correlation", "overlap", "inside"):
        for key, mean in getattr(found.overall, figures).items():
            values = [getattr(word, figures)[key] for word in found.agreement]
            assert mean == pytest.approx(np.mean(values))


def test_an_untrained_ctc_tells_no_time(tiny_model: TrainedModel):
    found = explain(tiny_model, noise(), "ab")
    assert found.words[0].source == "attention"
    assert set(found.overall.inside.values()) == {None}


def test_who_asks_without_gradients_gets_the_same(tiny_model: TrainedModel):
    usual = explain(tiny_model, noise(), "ab cde")
    with torch.inference_mode():
        found = explain(tiny_model, noise(), "ab cde")
    np.testing.assert_array_equal(found.gradients, usual.gradients)
    np.testing.assert_array_equal(found.greatest_fall, usual.greatest_fall)


def test_nothing_recognised_is_no_words(tiny_model: TrainedModel):
    found = explain(tiny_model, np.zeros(4000, dtype=np.float32))
    assert (found.text, found.words, found.agreement) == ("", (), ())
    assert found.gradients.shape == found.occlusion.shape == found.attention.shape == (0, 51)
    assert found.overall.overlap == {}


@pytest.mark.parametrize("size", [1, 79, 81])
def test_the_shortest_recordings_are_explained(tiny_model: TrainedModel, size: int):
    found = explain(tiny_model, noise()[:size], "ab")
    assert found.occlusion.shape == (1, size // 80 + 1)
    assert np.isfinite(found.gradients).all()


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(0, np.float32), "shape"),
        (np.zeros((2, 800), np.float32), "one channel"),
        (np.zeros(800, np.int16), "int16"),
        (np.full(800, np.nan, np.float32), "NaN"),
    ],
)
def test_bad_samples_are_refused(tiny_model: TrainedModel, samples: np.ndarray, reason: str):
    for text in (None, "ab"):
        with pytest.raises(AudioError, match=reason):
            explain(tiny_model, samples, text)


def test_texts_that_cannot_be_read_are_refused(tiny_model: TrainedModel):
    with pytest.raises(InputError, match="holds no words"):
        explain(tiny_model, noise(), " ?! ")
    with pytest.raises(InputError, match=r"does not know \('x', 'ß'\)"):
        explain(tiny_model, noise(), "ab xß")
