"""Trains in as many processes as the settings say; each writes down what it trained on.

Started by test_distributed.py as ``python two_processes.py CONFIG.json OUTPUT``; Lightning starts
it once more for every further process.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch

from asr_attn.config import load_settings
from asr_attn.data.batches import Batch
from asr_attn.training.run import fit
from asr_attn.training.task import RecognizerTask

seen: list[tuple[int, list[str]]] = []
tasks: list[RecognizerTask] = []
original = RecognizerTask.training_step


def recording_step(self: RecognizerTask, batch: Batch, batch_idx: int) -> Any:
    seen.append((self.current_epoch, batch.ids))
    tasks[:] = [self]
    return original(self, batch, batch_idx)


RecognizerTask.training_step = recording_step  # type: ignore[method-assign]
result = fit(load_settings(Path(sys.argv[1])))
rank = int(os.environ.get("LOCAL_RANK", "0"))
torch.save(
    {"seen": seen, "weights": tasks[0].network.state_dict(), "wer": result.dev_wer},
    Path(sys.argv[2]) / f"rank{rank}.pt",
)
