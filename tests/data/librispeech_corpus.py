"""A made-up corpus in LibriSpeech's layout."""

from pathlib import Path

import numpy as np
import soundfile


def make_chapter(folder: Path, utterances: int, first_samples: int = 1600) -> None:
    """Write SET/SPEAKER/CHAPTER with so many utterances, each ten milliseconds longer."""
    folder.mkdir(parents=True)
    stem = f"{folder.parent.name}-{folder.name}"
    lines = []
    for number in range(utterances):
        random = np.random.default_rng(number)
        samples = random.integers(-3000, 3000, first_samples + 160 * number).astype(np.int16)
        soundfile.write(folder / f"{stem}-{number:04d}.flac", samples, 16000)
        lines.append(f"{stem}-{number:04d} TEXT {stem} NUMBER {number}\n")
    (folder / f"{stem}.trans.txt").write_text("".join(lines), encoding="utf-8")


def make_corpus(root: Path, chapters: dict[str, int]) -> Path:
    """Write chapters, named SET/SPEAKER/CHAPTER, and files that publishers put beside them."""
    for name, utterances in chapters.items():
        make_chapter(root / name, utterances)
    (root / "README.TXT").write_text("about", encoding="utf-8")
    return root
