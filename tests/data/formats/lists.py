"""Reading and writing formats, and lists written by hand."""

import json
from pathlib import Path

from asr_attn.data.formats.options import Options
from asr_attn.data.formats.table import FORMATS
from asr_attn.data.manifest import Utterance
from asr_attn.data.progress import no_bars


def read(name: str, path: Path, **options: object) -> list[Utterance]:
    return list(FORMATS[name].read(path, Options(**options)))


def write(name: str, path: Path, utterances: list[Utterance]) -> Path:
    FORMATS[name].write(path, utterances, no_bars)
    return path


def save(path: Path, *lines: object) -> Path:
    """Writes lines; what is no text is written as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_bytes("".join(f"{text}\n" for text in texts).encode())
    return path
