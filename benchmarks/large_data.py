"""Audio, manifests and results of any number of utterances, made up; see large_manifests.py."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE, SECONDS = 8000, 30.0
SPEAKERS, VOCABULARY = 1000, 5000


def make_data(folder: Path, lines: int, files: int) -> None:
    """Audio, a manifest, and two files of results, A and B, of all its utterances."""
    random = np.random.default_rng(0)
    audio = folder / "audio"
    audio.mkdir(parents=True)
    encoded = io.BytesIO()
    soundfile.write(encoded, np.zeros(round(RATE * SECONDS)), RATE, format="FLAC")
    names = [f"speaker-{i % SPEAKERS}/recording-{i:07}.flac" for i in range(files)]
    for i in range(min(files, SPEAKERS)):
        (audio / f"speaker-{i}").mkdir()
    for name in names:
        (audio / name).write_bytes(encoded.getvalue())
    words = np.array([f"w{i:x}{'aeiou'[i % 5]}{'stnlr'[i % 7 % 5]}" for i in range(VOCABULARY)])
    durations = random.uniform(0.5, 15.0, lines).round(3)
    offsets = (random.random(lines) * (SECONDS - durations)).round(3)
    with (
        (folder / "manifest.jsonl").open("w") as manifest,
        (folder / "a.jsonl").open("w") as first,
        (folder / "b.jsonl").open("w") as second,
    ):
        for i in range(lines):
            text = words[random.integers(0, VOCABULARY, max(1, round(2 * durations[i])))]
            file = i % files
            speaker = f"speaker-{file % SPEAKERS}"
            line = {
                "id": f"utterance-{i:07}",
                "audio": f"audio/{names[file]}",
                "text": " ".join(text),
                "duration": durations[i],
                "offset": offsets[i] if files < lines else 0.0,
                "speaker": speaker,
            }
            manifest.write(json.dumps(line) + "\n")
            for stream in (first, second):
                wrong = random.random(len(text)) < 0.1
                result = {
                    "id": line["id"],
                    "audio": line["audio"],
                    "text": " ".join(np.where(wrong, "wrong", text)),
                    "duration": line["duration"],
                    "reference": line["text"],
                    "normalizer": "none/1",
                    "speaker": speaker,
                }
                stream.write(json.dumps(result) + "\n")


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
