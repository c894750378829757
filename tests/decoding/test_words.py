import numpy as np
import pytest
import torch

from asr_attn.checkpoint import TrainedModel
from asr_attn.decoding.alignment import TokenSpan
from asr_attn.decoding.reading import Reading, read_texts
from asr_attn.decoding.words import (
    FEATURES,
    attention_spans,
    token_times,
    word_confidence,
    words_of,
)
from asr_attn.models.confidence import Calibration
from asr_attn.text.tokenizer import (
    EOS,
    BpeTokenizer,
    ByteTokenizer,
    CharTokenizer,
    Tokenizer,
)

TOKENIZER = CharTokenizer.train(["ab "])
SPACE, A, B = TOKENIZER.encode(" ab")
SECONDS = 0.1


def weights_at(places: list[int], steps: int) -> np.ndarray:
    weights = np.zeros((len(places), 1, steps), np.float32)
    weights[range(len(places)), 0, places] = 1.0
    return weights


def reading(
    text: str,
    places: list[int],
    spans: list[tuple[int, int]],
    steps: int = 20,
    tokenizer: Tokenizer = TOKENIZER,
) -> Reading:
    """A reading whose attention looks at one step for each token, that of the end included."""
    tokens = tokenizer.encode(text)
    return Reading(
        tuple(tokens),
        weights_at(places, steps),
        -0.1 * np.arange(1, len(tokens) + 2, dtype=np.float32),
        tuple(TokenSpan(token, *span) for token, span in zip(tokens, spans)),
        -0.5 * np.arange(1, len(spans) + 1, dtype=np.float32),
    )


def test_words_have_the_times_of_ctc():
    spans = [(2, 4), (5, 6), (7, 8), (11, 12), (14, 16)]
    found = words_of(reading("ab ba", [3, 5, 8, 11, 15, 18], spans), TOKENIZER, SECONDS, 1.55)
    assert [(w.text, w.tokens, w.source) for w in found] == [
        ("ab", (0, 2), "ctc"),
        ("ba", (3, 5), "ctc"),
    ]
    assert [w.start for w in found] == pytest.approx([0.2, 1.1])
    assert [w.end for w in found] == pytest.approx([0.6, 1.55])  # not after the audio
    # each word, and the token after it
    assert [w.attention for w in found] == pytest.approx([-0.1 - 0.2 - 0.3, -0.4 - 0.5 - 0.6])
    assert [w.ctc for w in found] == pytest.approx([-0.75, -2.25])
    assert [w.agreement for w in found] == pytest.approx([1.0, 1.0])


def test_tokens_have_the_times_of_both():
    spans = [(2, 4), (5, 6), (7, 8), (11, 12), (14, 16)]
    given = reading("ab ba", [3, 5, 8, 11, 15, 18], spans)
    found = token_times(given, TOKENIZER, SECONDS, 1.55)
    assert [t.text for t in found] == list("ab ba")
    assert found[0].ctc == pytest.approx((0.2, 0.4))
    assert found[4].ctc == pytest.approx((1.4, 1.55))
    assert found[1].attention == pytest.approx((0.5, 0.6))
    assert found[4].attention == pytest.approx((1.5, 1.55))
    words = words_of(given, TOKENIZER, SECONDS, 1.55)
    assert words[0].heard == pytest.approx((0.3, 0.6))
    without = token_times(reading("ab", [3, 5, 8], []), TOKENIZER, SECONDS, 2.0)
    assert [t.ctc for t in without] == [None, None]


def test_a_word_of_pieces_does_not_pay_for_the_next_one():
    pieces = BpeTokenizer((" ab", "ab", " ", "a", "b", "é"))
    given = reading("ab é ab", [3, 5, 8, 11, 15], [(2, 4), (5, 6), (7, 9), (11, 14)], 20, pieces)
    assert [pieces.spellings[token] for token in given.tokens] == [" ab", " ", "é", " ab"]
    found = words_of(given, pieces, SECONDS, 2.0)
    assert [(w.text, w.tokens) for w in found] == [("ab", (0, 1)), ("é", (2, 3)), ("ab", (3, 4))]
    # a space and the end of the sentence tell that a word is over; the next word's piece does not
    assert [w.attention for w in found] == pytest.approx([-0.1 - 0.2, -0.3, -0.4 - 0.5])
    assert [w.start for w in found] == pytest.approx([0.2, 0.7, 1.1])
    assert [t.text for t in token_times(given, pieces, SECONDS, 2.0)] == ["ab", " ", "é", " ab"]


def test_characters_of_several_bytes_have_one_time():
    given = reading(
        "é a", [3, 5, 8, 11, 15], [(2, 4), (5, 6), (7, 9), (11, 14)], 20, ByteTokenizer()
    )
    found = words_of(given, ByteTokenizer(), SECONDS, 2.0)
    assert [(w.text, w.tokens) for w in found] == [("é", (0, 2)), ("a", (3, 4))]
    assert [w.end for w in found] == pytest.approx([0.6, 1.4])


def test_agreement_is_the_attention_in_the_stretch_of_the_word():
    spans = [(2, 4), (5, 6), (7, 8), (11, 12), (14, 16)]  # the words are cut at 8.5
    found = words_of(reading("ab ba", [3, 9, 8, 2, 3, 18], spans), TOKENIZER, SECONDS, 2.0)
    assert [w.agreement for w in found] == pytest.approx([0.5, 0.0])
    half = reading("ab ba", [3, 8, 8, 8, 12, 18], spans)
    found = words_of(half, TOKENIZER, SECONDS, 2.0)
    assert [w.agreement for w in found] == pytest.approx([0.75, 0.75])


def test_without_ctc_times_are_those_of_attention_and_never_go_back():
    found = words_of(reading("ab b a", [3, 6, 7, 2, 9, 12, 18], []), TOKENIZER, SECONDS, 2.0)
    assert [w.source for w in found] == ["attention"] * 3
    assert [w.start for w in found] == pytest.approx([0.3, 0.3, 1.2])
    assert [w.end for w in found] == pytest.approx([0.7, 0.3, 1.3])
    assert all(w.start <= w.end for w in found)
    assert found[0].ctc == pytest.approx(-np.log(len(TOKENIZER)))


def test_no_text_has_no_words():
    assert words_of(reading("", [5], []), TOKENIZER, SECONDS, 2.0) == []
    assert words_of(reading("  ", [5, 6, 7], []), TOKENIZER, SECONDS, 2.0) == []
    assert word_confidence([], None) == []


def test_confidence_is_the_decoders_until_it_is_calibrated():
    words = words_of(reading("ab b", [3, 6, 7, 9, 18], []), TOKENIZER, SECONDS, 2.0)
    expected = [np.exp(-0.6), np.exp(-0.9)]
    assert word_confidence(words, None) == pytest.approx(expected)
    features = np.array([word.features() for word in words])
    learnt = Calibration(FEATURES, (-1.0, 0.0, 0.5), (2.0, 1.0, 1.0), (3.0, 0.0, 0.0), 0.7)
    odds = 0.7 + 3.0 * (features[:, 0] + 1.0) / 2.0
    assert word_confidence(words, learnt) == pytest.approx(list(1 / (1 + np.exp(-odds))))


def test_a_reading_is_what_the_decoder_gives_step_by_step(tiny_model: TrainedModel):
    network = tiny_model.network
    random = np.random.default_rng(0)
    waveforms = torch.from_numpy(0.1 * random.standard_normal((3, 9000))).float()
    lengths = torch.tensor([9000, 4000, 7000])
    texts = [[3, 5, 4, 4], [], [6, 3]]
    with torch.inference_mode():
        waveforms[1, 4000:] = 0.0
        waveforms[2, 7000:] = 0.0
        memory, steps = network.encode(waveforms, lengths)
        together = read_texts(network, memory, steps, texts)
        for i, (found, tokens) in enumerate(zip(together, texts)):
            own, count = network.encode(waveforms[i : i + 1, : lengths[i]], lengths[i : i + 1])
            state = network.speller.init_state(own, count)
            for u, (last, following) in enumerate(zip([EOS, *tokens], [*tokens, EOS])):
                log_probs, weights, state = network.speller.step(torch.tensor([last]), state)
                assert found.log_probs[u] == pytest.approx(float(log_probs[0, following]), abs=1e-4)
                np.testing.assert_allclose(found.weights[u], weights[0].numpy(), atol=1e-5)
            assert found.tokens == tuple(tokens)
            assert len(found.log_probs) == len(found.weights) == len(tokens) + 1


def test_attention_spans_hold_the_middle_of_the_weight():
    weights = np.zeros((4, 2, 10), np.float32)
    weights[0, :, 3] = 1.0
    weights[1, 0, 2] = weights[1, 1, 7] = 1.0  # the mean of the heads: half and half
    weights[2] = 0.1  # uniform: 80 % are the steps 1 to 8, of 10
    spans = attention_spans(weights.astype(np.float64), 0.5)
    assert spans[0] == (1.5, 2.0)
    assert spans[1] == (1.0, 4.0)
    assert spans[2][0] in (0.0, 0.5)  # the boundary of a tenth is within rounding
    assert spans[2][1] in (4.5, 5.0)
    assert spans[3] == (0.0, 0.0)
