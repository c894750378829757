"""What goes into the page can be taken out of it again."""

import base64
import io
import zlib

import numpy as np
import pytest
import soundfile

from asr_attn.evaluation.report.packing import RATES, levels, outline, packed, sound_address


def test_packed_bytes_come_back():
    values = np.random.default_rng(0).integers(0, 256, (3, 5, 7)).astype(np.uint8)
    back = np.frombuffer(zlib.decompress(base64.b64decode(packed(values))), np.uint8)
    assert np.array_equal(back.reshape(values.shape), values)


def test_levels_are_linear_and_clipped():
    found = levels(np.array([-5.0, 1.0, 2.0, 3.0, 9.0]), 1.0, 3.0)
    assert found.tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("count", [1, 7, 50, 51, 1000])
def test_outline_holds_every_sample(count):
    samples = np.random.default_rng(count).normal(0, 0.1, count).astype(np.float32)
    ends = outline(samples, 50)
    assert len(ends) <= 50
    size = -(-count // 50)
    peak = float(np.abs(samples).max())
    for k, (low, high) in enumerate((ends.astype(float) - 128) / 127 * peak):
        own = samples[k * size : (k + 1) * size]
        assert low == pytest.approx(own.min(), abs=peak / 127)
        assert high == pytest.approx(own.max(), abs=peak / 127)


def test_outline_of_silence():
    assert np.all(outline(np.zeros(100, np.float32), 10) == 128)


@pytest.mark.parametrize("codec", ["opus", "mp3"])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
def test_sound_is_heard_as_it_was(codec, rate):
    time = np.arange(rate) / rate
    samples = (0.3 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    address = sound_address(samples, rate, codec)
    kind, data = address.split(";base64,")
    assert kind == {"opus": "data:audio/ogg", "mp3": "data:audio/mpeg"}[codec]
    raw = base64.b64decode(data)
    assert len(raw) < samples.nbytes / 4
    heard, played = soundfile.read(io.BytesIO(raw))
    assert played in (*RATES[codec], 48000)
    assert len(heard) / played == pytest.approx(1.0, abs=0.06)
    spectrum = np.abs(np.fft.rfft(heard[: played // 2] * np.hanning(played // 2)))
    assert np.argmax(spectrum) * 2 == pytest.approx(440, abs=4)
    middle = heard[played // 4 : played // 2]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.15)
