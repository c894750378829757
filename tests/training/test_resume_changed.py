"""A run that goes on with other settings than before."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from asr_attn.data.datamodule import ResumableLoader, SpeechData, plan_digest
from asr_attn.data.planning import CurriculumStage
from asr_attn.errors import ConfigError
from asr_attn.settings import RunConfig
from asr_attn.training.callbacks import GracefulStop
from asr_attn.training.run import fit, set_up
from asr_attn.training.task import RecognizerTask
from tests.training.conftest import copied


def stop_within(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Ask training to stop after the first batch of an epoch."""

    def stop(self: GracefulStop, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch == epoch:
            self.checkpoints.stop_requested = True

    monkeypatch.setattr(GracefulStop, "on_train_batch_end", stop)


def resumed(config: RunConfig, **trainer: Any) -> RunConfig:
    return replace(config, resume=config.run_dir, trainer=replace(config.trainer, **trainer))


@pytest.fixture
def short_first(steady: RunConfig) -> RunConfig:
    """Four epochs, in the first half of which there are only the utterances of one word."""
    loading = replace(steady.data.loading, batch_seconds=0.1, curriculum=(CurriculumStage(0.5, 1),))
    return replace(
        steady,
        data=replace(steady.data, loading=loading),
        trainer=replace(steady.trainer, max_epochs=4, check_val_every_n_epoch=1),
    )


def test_an_epoch_goes_on_with_the_batches_it_began_with_or_not_at_all(
    short_first: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_within(patch, 2)
        assert fit(short_first).stopped
    # the third of eight epochs has three batches and not eight
    with pytest.raises(ConfigError, match=r"within an epoch.*trainer\.max_epochs.* as they were"):
        fit(resumed(short_first, max_epochs=8), ["trainer.max_epochs"])
    seen: list[int] = []
    original = RecognizerTask.training_step

    def step(self: RecognizerTask, batch: Any, batch_idx: int) -> Any:
        seen.append(self.current_epoch)
        return original(self, batch, batch_idx)

    monkeypatch.setattr(RecognizerTask, "training_step", step)
    # the third of three is as it was
    fit(resumed(short_first, max_epochs=3), ["trainer.max_epochs"])
    assert [seen.count(epoch) for epoch in range(3)] == [0, 0, 7]


def test_another_number_of_processes_is_another_plan() -> None:
    batches = [[1.0, 2.0], [3.0], [4.0, 5.0]]
    digests = {plan_digest(batches, n) for n in (1, 2)}
    # the same numbers in other batches, and in another order
    digests.add(plan_digest([[1.0], [2.0, 3.0], [4.0, 5.0]], 1))
    digests.add(plan_digest([[3.0], [1.0, 2.0], [4.0, 5.0]], 1))
    assert len(digests) == 4
    state = ResumableLoader([0, 1, 2], 3, 0, "a").state_dict()
    for plan in ("a", None):
        ResumableLoader([0, 1, 2], 3, 0, plan).load_state_dict(state)
    with pytest.raises(ConfigError, match="other batches"):
        ResumableLoader([0, 1, 2], 3, 0, "b").load_state_dict(state)
    old = ResumableLoader([0, 1, 2], 3, 0, "b")
    old.load_state_dict({"given": 2})
    assert len(list(old)) == 1


def test_fewer_epochs_end_a_run_where_it_is(
    short_first: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_within(patch, 2)
        fit(short_first)
    with pytest.raises(ConfigError, match=r"has done 2 epochs.*with trainer\.max_epochs=2 it ends"):
        fit(resumed(short_first, max_epochs=1), ["trainer.max_epochs"])
    result = fit(resumed(short_first, max_epochs=2), ["trainer.max_epochs"])
    assert result.dev_wer is not None


def test_a_length_that_is_never_validated_is_explained(
    short_first: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_second = replace(short_first.trainer, check_val_every_n_epoch=2)
    with monkeypatch.context() as patch:
        stop_within(patch, 0)
        fit(replace(short_first, trainer=every_second))
    # what the command line is checked by has a validation every epoch
    odd = resumed(short_first, max_epochs=5)
    with pytest.raises(ConfigError, match=r"resume=.*check_val_every_n_epoch"):
        fit(odd, ["trainer.max_epochs"])


def test_the_end_of_a_run_leaves_out_what_validation_left_out(
    tone_config: Callable[..., RunConfig], tones: Path, tmp_path: Path
) -> None:
    manifest = copied(tones, tmp_path / "data")
    config = tone_config()
    config = replace(config, data=replace(config.data, dev=str(manifest)))
    _, data = set_up(config)
    for number, kept in ((3, 0.5), (4, 1.0)):
        path = manifest.with_name(f"{number}.wav")
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
    data.unreadable["dev"] = [("u3", "damaged"), ("u4", "damaged, and mended since")]
    state = data.state_dict()
    again = SpeechData(
        data.train, data.dev, data.sample_rate, data.loading, data.augmentation, 1, 3
    )
    again.load_state_dict(state)
    assert [u.id for u in again.readable_dev] == [f"u{i}" for i in range(8) if i != 3]
    ((name, reason),) = again.unreadable["dev"]
    assert name == "u3"
    assert "3.wav lacks" in reason
    del state["lost_dev"]  # of an older run
    again.load_state_dict(state)
    assert again.unreadable["dev"] == []


def test_the_end_runs_on_the_device_of_the_training(
    steady: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning moves what it has trained to the CPU when it is done."""
    original = pl.Trainer.fit
    devices: list[torch.device] = []

    def train(self: pl.Trainer, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        self.strategy._root_device = torch.device("meta")

    def average(folder: Path, checkpoints: Any, dev: Any, device: torch.device) -> dict[str, float]:
        devices.append(device)
        return {"wer": 0.5, "cer": 0.5}

    monkeypatch.setattr(pl.Trainer, "fit", train)
    monkeypatch.setattr("asr_attn.training.run.average_best", average)
    fit(steady)
    assert devices == [torch.device("meta")]
