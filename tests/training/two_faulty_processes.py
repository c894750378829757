"""Trains in two processes, of which the second has a fault.

Started by test_distributed.py as ``python two_faulty_processes.py CONFIG.json FAULT``; Lightning
starts it once more for the second process. It ends as ``train.py`` does.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch

from asr_attn.audio.features import LogMel
from asr_attn.config import load_settings
from asr_attn.data.batches import Batch
from asr_attn.data.datamodule import SpeechData
from asr_attn.errors import InputError
from asr_attn.training.run import fit
from asr_attn.training.task import RecognizerTask

config, fault = load_settings(Path(sys.argv[1])), sys.argv[2]
second = os.environ.get("LOCAL_RANK", "0") == "1"
features, losses, loader = LogMel.forward, RecognizerTask._losses, SpeechData.train_dataloader


def little_memory(self: LogMel, waveforms: torch.Tensor, lengths: torch.Tensor) -> Any:
    if torch.is_grad_enabled() and len(waveforms) > 1:
        raise torch.OutOfMemoryError("CUDA out of memory.")
    return features(self, waveforms, lengths)


def not_finite(self: RecognizerTask, batch: Batch, *args: Any) -> Any:
    found = losses(self, batch, *args)
    bad = "u3" in batch.ids and self.current_epoch == 1
    return {name: loss * float("nan") if bad else loss for name, loss in found.items()}


def losing_files(self: SpeechData) -> Any:
    if self.trainer is not None and self.trainer.current_epoch == 1:
        for number in (3, 5):
            Path(str(config.data.train)).with_name(f"{number}.wav").unlink(missing_ok=True)
    return loader(self)


if fault == "memory" and second:
    LogMel.forward = little_memory  # type: ignore[method-assign]
if fault == "not finite":
    RecognizerTask._losses = not_finite  # type: ignore[method-assign]
if fault == "unreadable":
    SpeechData.train_dataloader = losing_files  # type: ignore[method-assign]
try:
    fit(config)
except InputError as error:
    print(f"stopped: {error}", file=sys.stderr)
    sys.exit(2)
