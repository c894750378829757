"""Recordings, and lists of utterances of them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_attn.data.manifest import Utterance

RATE = 8000
SECONDS = {"a.wav": 1.0, "b.flac": 0.5, "with space.wav": 0.25, "stereo.wav": 0.75}


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """A folder of four recordings, one of two channels."""
    folder = tmp_path / "audio"
    folder.mkdir()
    random = np.random.default_rng(1)
    for name, seconds in SECONDS.items():
        shape = (round(RATE * seconds), 2 if name == "stereo.wav" else 1)
        soundfile.write(folder / name, 0.1 * random.standard_normal(shape), RATE)
    return folder


@pytest.fixture
def whole(audio: Path) -> list[Utterance]:
    """One utterance a file; some have no speaker, language or text."""
    rows = [("a.wav", "Grüße, 世界"), ("b.flac", ""), ("with space.wav", 'he said "no", twice')]
    return [
        Utterance(f"u-{i}", audio / name, text, SECONDS[name], 0.0, ["ann", None, "bob"][i], "de")
        for i, (name, text) in enumerate(rows)
    ]


@pytest.fixture
def parts(audio: Path, whole: list[Utterance]) -> list[Utterance]:
    """Also parts of files, whose times are no short binary fractions."""
    return [
        *whole,
        Utterance("u-3", audio / "stereo.wav", "l'été", 0.2333333333333333, 0.1, "ann", None),
        Utterance("u-4", audio / "stereo.wav", "naïve x", 0.3, 0.3333333333333333, "bob", "fr"),
    ]
