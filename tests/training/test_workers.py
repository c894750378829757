"""Runs whose recordings are read by worker processes."""

import multiprocessing
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_attn.config import load_settings
from asr_attn.data.batches import Batch
from asr_attn.errors import InputError
from asr_attn.settings import RunConfig
from asr_attn.training.run import fit
from asr_attn.training.task import RecognizerTask


def with_workers(config: RunConfig, workers: int) -> RunConfig:
    loading = replace(config.data.loading, workers=workers)
    return replace(config, data=replace(config.data, loading=loading))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_run_whose_worker_was_killed_goes_on_without_workers(
    steady: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = replace(steady, callbacks=replace(steady.callbacks, save_minutes=1e-4))
    original = RecognizerTask.training_step

    def step(self: RecognizerTask, batch: Batch, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == 1:
            for worker in multiprocessing.active_children():
                assert worker.pid is not None
                os.kill(worker.pid, signal.SIGKILL)
                worker.join()
        return original(self, batch, batch_idx)

    run = with_workers(steady, 1)
    run = replace(run, data=replace(run.data, loading=replace(run.data.loading, batch_seconds=0.1)))
    with monkeypatch.context() as patch:
        patch.setattr(RecognizerTask, "training_step", step)
        with pytest.raises(
            InputError,
            match=rf"\(data\.loading\.workers\) was killed.* resume={run.run_dir} data\.loading",
        ):
            fit(run)
    assert (Path(run.run_dir) / "last.ckpt").exists()
    fit(replace(with_workers(run, 0), resume=run.run_dir), ["data.loading.workers"])
    assert load_settings(Path(run.run_dir) / "config.json").data.loading.workers == 0
    whole = replace(with_workers(run, 0), run_dir=str(tmp_path / "whole"))
    fit(whole)
    model, other = (Path(c.run_dir) / "model.safetensors" for c in (run, whole))
    assert model.read_bytes() == other.read_bytes()
