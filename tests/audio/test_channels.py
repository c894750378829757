import json

import numpy as np
import pytest
import soundfile

from asr_attn.audio.reading import CANCELLING, mixed, read_audio
from asr_attn.recognizer import load

RATE = 16000


def sound(seed: int = 0, seconds: float = 1.0) -> np.ndarray:
    """Bursts of a hoarse voice."""
    random = np.random.default_rng(seed)
    time = np.arange(round(RATE * seconds)) / RATE
    tones = sum(np.sin(2 * np.pi * (140 + 20 * seed) * k * time + k * k) / k for k in range(1, 20))
    noise = 0.05 * random.standard_normal(len(time))
    return (
        0.1 * (tones + noise) * np.repeat(random.uniform(0.2, 1, round(10 * seconds)), RATE // 10)
    )


def wave(path, *channels: np.ndarray, **settings):
    soundfile.write(path, np.stack(channels, axis=1), RATE, **settings)
    return path


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_of_opposite_channels_one_is_taken_and_told(tmp_path, ending):
    """Vorbis keeps so little of the phase that coding noise of a third of the level is left."""
    path = wave(tmp_path / f"a.{ending}", sound(), -sound())
    told: list[str] = []
    read = read_audio(path, RATE, tell=told.append)
    assert told == [CANCELLING]
    expected = soundfile.read(path)[0][:, 0]
    np.testing.assert_allclose(read, expected[: len(read)], atol=1e-6)
    assert np.corrcoef(read, sound()[: len(read)])[0, 1] > 0.97


def test_the_loudest_of_channels_that_cancel_is_taken(tmp_path):
    a, b = sound(1), sound(2)
    for channels, loudest in [((-0.9 * a, a), 1), ((a, -0.95 * a + 0.05 * b), 0)]:
        read = read_audio(wave(tmp_path / "a.wav", *channels, subtype="FLOAT"), RATE)
        np.testing.assert_allclose(read, channels[loudest], atol=1e-6)
    # with its channels told apart, resampled like any other sound
    one = wave(tmp_path / "one.wav", a, subtype="FLOAT")
    two = wave(tmp_path / "two.wav", a, -a, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(one, 8000), read_audio(two, 8000))


def test_other_channels_are_averaged(tmp_path):
    a, b, nothing = sound(1), sound(2), np.zeros(RATE)
    for channels in [
        (a, a),
        (a, b),
        (a, nothing),
        (nothing, nothing),
        (a, -0.3 * a),
        (a + 0.4, a - 0.4),  # opposite constants are no sound
        (a, *[nothing] * 7),
        (a, b, -a, sound(3)),
    ]:
        told: list[str] = []
        path = wave(tmp_path / "a.wav", *channels, subtype="FLOAT")
        read = read_audio(path, RATE, tell=told.append)
        np.testing.assert_allclose(read, np.mean(channels, axis=0), atol=1e-6)
        assert told == []


def test_a_faint_sound_beside_a_great_constant_is_not_lost_in_rounding():
    faint = (1e-4 * sound(1) + 0.5).astype(np.float32)
    other = (1e-4 * sound(2) + 0.5).astype(np.float32)
    assert not mixed(np.stack([faint, other], axis=1))[1]
    assert mixed(np.stack([faint, 1 - faint], axis=1))[1]


def test_a_part_is_a_part_of_the_whole(tmp_path):
    path = wave(tmp_path / "a.wav", sound(0, 4.0), -sound(0, 4.0))
    whole = read_audio(path, RATE)
    told: list[str] = []
    part = read_audio(path, RATE, 1.5, 0.5, told.append)
    np.testing.assert_array_equal(part, whole[24000:32000])
    assert told == [CANCELLING]


def test_the_commands_tell_it_once_for_each_recording(tmp_path, model_file, capsys):
    from asr_attn import cli

    path = wave(tmp_path / "a.wav", sound(), -sound())
    wave(tmp_path / "b.wav", sound(), sound())
    lines = [
        {"id": name, "audio": f"{name}.wav", "text": "a b", "duration": 1.0} for name in ("a", "b")
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    mono = wave(tmp_path / "mono.wav", sound())
    recognizer = load(model_file)
    assert recognizer.transcribe(path).notes == (CANCELLING,)
    assert recognizer.transcribe(path).text == recognizer.transcribe(mono).text
    for command, name in [
        (["transcribe", model_file, path], str(path)),
        (["transcribe", model_file, manifest], "a"),
        (["evaluate", model_file, manifest], "a"),
        (["attention", model_file, path], str(path)),
    ]:
        assert cli.main([str(argument) for argument in command]) == 0
        assert capsys.readouterr().err.count(f"asr-attn: {name} {CANCELLING}\n") == 1
    assert cli.main(["transcribe", str(model_file), str(path), "--format", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [CANCELLING]
    assert cli.main(["data", "check", str(manifest), "--format", "json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [(f["kind"], f["id"]) for f in findings if f["kind"] == "channels"] == [
        ("channels", "a")
    ]
