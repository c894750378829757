"""What readers and writers of formats can be told beside the path."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asr_attn.data.progress import Bars, no_bars


def _say_nothing(message: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Options:
    """How a format is read.

    Attributes:
        audio_folder: where relative paths of audio start; None is what the format says.
        columns: of a table, the column of each key of a manifest; others are found by their names.
        store: folder to make for audio that is in no file yet.
        allow_pipes: whether commands of Kaldi's wav.scp may run.
        bars: show how far it is.
        say: tells what is no fault, such as what was left out.
    """

    audio_folder: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    store: Path | None = None
    allow_pipes: bool = False
    bars: Bars = no_bars
    say: Callable[[str], None] = _say_nothing
