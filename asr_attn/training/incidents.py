"""What went wrong during a run without ending it: told on stderr, and written down."""

import json
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

INCIDENTS_FILE = "incidents.jsonl"
SHOWN = 10
"""Utterances that a message lists; more are counted."""


def report(trainer: pl.Trainer, kind: str, sentence: str, **facts: Any) -> None:
    """Tell of an incident, and add it to the file in the run folder.

    Args:
        trainer: of the run.
        kind: a word for programs that read the file.
        sentence: what happened and what was done about it.
        facts: figures and names, JSON values only.

    Raises:
        OSError: the file cannot be written.
    """
    print(f"note: {sentence}", file=sys.stderr, flush=True)
    row = {
        "kind": kind,
        "epoch": trainer.current_epoch,
        "step": trainer.global_step,
        "process": trainer.global_rank,
        **facts,
        "note": sentence,
    }
    folder = Path(getattr(trainer.checkpoint_callback, "folder", trainer.default_root_dir))
    folder.mkdir(parents=True, exist_ok=True)
    # names of files may be no UTF-8: they become escapes of JSON
    with (folder / INCIDENTS_FILE).open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def listed(names: list[str]) -> str:
    """The first few of many names."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
