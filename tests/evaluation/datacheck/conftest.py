"""Recordings of made-up voices, and manifests of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

RATE = 8000


def voice(seed: int, seconds: float = 1.3) -> NDArray[np.float32]:
    """Harmonics under two formants that wander, in three syllables between pauses."""
    random = np.random.default_rng(seed)
    count = round(RATE * seconds)
    time = np.arange(count) / RATE

    def wandering(low: float, high: float) -> NDArray[np.float64]:
        return np.interp(time, np.linspace(0, seconds, 7), random.uniform(low, high, 7))

    pitch = wandering(90, 190)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = wandering(250, 900), wandering(900, 2400)
    samples = np.zeros(count)
    for harmonic in range(1, 20):
        frequency = harmonic * pitch
        weight = sum(np.exp(-(((frequency - f) / 150) ** 2)) for f in formants)
        samples += weight * np.sin(harmonic * phase + random.uniform(0, 6))
    edges = np.array([0.0, 0.04, 0.3, 0.36, 0.4, 0.62, 0.66, 0.7, 0.96, 1.0]) * seconds
    samples *= np.interp(time, edges, [0, 1, 0.8, 0, 1, 0.7, 0, 1, 0.6, 0])
    samples = np.r_[np.zeros(800), samples, np.zeros(800)]
    samples = 0.4 * samples / np.abs(samples).max() + 1e-4 * random.standard_normal(samples.size)
    return samples.astype(np.float32)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a manifest and its recordings: id, samples or None for no file, and other keys."""

    def writer(name: str, items: list[tuple[str, Any, dict[str, Any]]]) -> Path:
        lines = []
        for identity, samples, keys in items:
            audio = f"{name}-{identity}.wav"
            length = 1.0
            if samples is not None:
                soundfile.write(tmp_path / audio, samples, RATE)
                length = len(samples) / RATE
            record = {"id": identity, "audio": audio, "text": "one two three", "duration": length}
            lines.append(json.dumps(record | keys))
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return writer
