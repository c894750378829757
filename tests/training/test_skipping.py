from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import soundfile
import torch

from asr_attn.checkpoint import load_model
from asr_attn.data.batches import Batch
from asr_attn.data.datamodule import SpeechData
from asr_attn.errors import InputError
from asr_attn.settings import RunConfig
from asr_attn.training.run import fit
from asr_attn.training.task import RecognizerTask
from asr_attn.training.unreadable import UnreadableAudio
from tests.training.conftest import RATE, copied, incidents


def weights_of(task: pl.LightningModule) -> list[torch.Tensor]:
    return [p.detach().clone() for p in task.parameters()]


def make_loud(path: Path) -> None:
    """Let the samples be finite, but their power not."""
    samples, _ = soundfile.read(path, dtype="float32")
    soundfile.write(path, samples / abs(samples).max() * 1e30, RATE, subtype="FLOAT")


@pytest.fixture(autouse=True)
def _anything_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading refuses what is far too loud; here it stands for whatever else has no finite loss."""
    monkeypatch.setattr("asr_attn.audio.reading.FAR_TOO_LOUD", float("inf"))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[torch.Tensor]]]:
    """For each batch its utterances and the weights after it."""
    rows: list[tuple[list[str], list[torch.Tensor]]] = []

    def look(self: Any, trainer: Any, task: Any, outputs: Any, batch: Batch, *_: Any) -> None:
        rows.append((batch.ids, weights_of(task)))

    monkeypatch.setattr(UnreadableAudio, "on_train_batch_end", look, raising=False)
    return rows


@pytest.mark.parametrize("accumulate", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_a_recording_too_loud_to_compute_with_is_named_and_its_steps_are_not_made(
    steady: RunConfig,
    tones: Path,
    tmp_path: Path,
    seen: list[tuple[list[str], list[torch.Tensor]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    accumulate: int,
) -> None:
    manifest = copied(tones, tmp_path / "data")
    original = SpeechData.train_dataloader

    def train_dataloader(self: SpeechData) -> Any:
        make_loud(manifest.with_name("3.wav"))
        return original(self)

    monkeypatch.setattr(SpeechData, "train_dataloader", train_dataloader)
    config = replace(
        steady,
        # tokens are drawn from logits that are not finite before there is a loss
        training=replace(steady.training, scheduled_sampling=1.0),
        data=replace(steady.data, train=str(manifest)),
        trainer=replace(steady.trainer, accumulate_grad_batches=accumulate),
        optimizer={"_target_": "torch.optim.AdamW", "lr": 1e-3},
    )
    fit(config)
    rows = incidents(Path(config.run_dir))
    assert [row["utterances"] for row in rows] == [["u3"]] * 2
    assert all(row["kind"] == "not finite" for row in rows)
    assert "was skipped, since its loss or gradient is not finite; it comes from u3" in (
        capsys.readouterr().err
    )
    assert all(torch.isfinite(w).all() for _, weights in seen for w in weights)
    per_epoch = len(seen) // 2
    steps = [
        range(e, e + per_epoch)[k : k + accumulate]
        for e in (0, per_epoch)
        for k in range(0, per_epoch, accumulate)
    ]
    for step in steps:
        faulty = any("u3" in seen[k][0] for k in step)
        if step[0] > 0:
            before, after = seen[step[0] - 1][1], seen[step[-1]][1]
            assert all(map(torch.equal, before, after)) == faulty


def break_steps(monkeypatch: pytest.MonkeyPatch, faulty: Callable[[int], bool]) -> None:
    original = RecognizerTask.training_step

    def broken(self: RecognizerTask, batch: Batch, batch_idx: int) -> torch.Tensor:
        loss = original(self, batch, batch_idx)
        return loss * float("nan") if faulty(self.global_step) else loss

    monkeypatch.setattr(RecognizerTask, "training_step", broken)


def test_too_many_in_a_row_stop_the_run_with_the_weights_of_before(
    steady: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
    seen: list[tuple[list[str], list[torch.Tensor]]],
) -> None:
    # steps 1 and 2 are broken, then all from 4 on: never three in a row before step 6
    break_steps(monkeypatch, lambda step: step in (1, 2) or step >= 4)
    config = replace(
        steady,
        trainer=replace(steady.trainer, max_epochs=6, check_val_every_n_epoch=6),
        callbacks=replace(steady.callbacks, skips_in_a_row=3, save_minutes=1e-6),
    )
    with pytest.raises(InputError, match=r"^3 steps in a row, up to step 6, .*lower optimizer\.lr"):
        fit(config)
    assert [row["step"] for row in incidents(Path(config.run_dir))] == [1, 2, 4, 5, 6]
    assert all(map(torch.equal, seen[0][1], seen[2][1]))
    assert not all(map(torch.equal, seen[2][1], seen[3][1]))
    assert all(map(torch.equal, seen[3][1], seen[-1][1]))


@pytest.mark.slow
def test_steps_that_are_skipped_are_counted_across_a_resumption(
    steady: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_steps(monkeypatch, lambda step: step >= 2)
    fit(replace(steady, trainer=replace(steady.trainer, max_epochs=1, check_val_every_n_epoch=1)))
    state = torch.load(Path(steady.run_dir) / "last.ckpt", weights_only=True)
    done = state["skipped"]["in_a_row"]
    assert done == state["global_step"] - 2 > 0
    with pytest.raises(InputError, match=f"^5 steps in a row, up to step {2 + 4}"):
        fit(
            replace(steady, resume=steady.run_dir, trainer=replace(steady.trainer, max_epochs=10)),
            ["resume", "trainer.max_epochs"],
        )
    assert np.isfinite(load_model(Path(steady.run_dir)).info["dev_wer"])


def test_a_recording_that_spoils_the_statistics_of_all_is_found_before_the_training(
    steady: RunConfig, tones: Path, tmp_path: Path
) -> None:
    manifest = copied(tones, tmp_path / "data")
    make_loud(manifest.with_name("3.wav"))
    with pytest.raises(InputError, match="far beyond full scale"):
        fit(replace(steady, data=replace(steady.data, train=str(manifest))))
