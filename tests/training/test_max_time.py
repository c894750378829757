"""Runs that ``trainer.max_time`` ends, and that go on when they are given more time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Timer

from asr_attn.checkpoint import load_model
from asr_attn.errors import ConfigError
from asr_attn.lm.neural_file import LM_FILE, load_lm
from asr_attn.lm_settings import LmCallbacksConfig, LmRunConfig, TextConfig
from asr_attn.settings import LoggerConfig, RunConfig, TrainerConfig
from asr_attn.training.lm_run import fit_lm
from asr_attn.training.run import fit


@pytest.fixture(autouse=True)
def second_per_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch takes a second by the clock of the timer."""

    def count(self: Timer, trainer: pl.Trainer, *_: Any) -> None:
        self.batches = getattr(self, "batches", 0) + 1  # type: ignore[attr-defined]
        self._check_time_remaining(trainer)

    def elapsed(self: Timer, stage: str = "train") -> float:
        return float(self._offset + getattr(self, "batches", 0))

    monkeypatch.setattr(Timer, "on_train_batch_end", count)
    monkeypatch.setattr(Timer, "time_elapsed", elapsed)


def seconds(number: int) -> str:
    return f"00:00:00:{number:02d}"


def final_state(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "last.ckpt", weights_only=True)
    return state


def assert_same_training(first: Path, second: Path) -> None:
    a, b = final_state(first), final_state(second)
    assert a["global_step"] == b["global_step"]
    for name, weight in a["state_dict"].items():
        assert torch.equal(weight, b["state_dict"][name]), name


@pytest.fixture
def warming_up(steady: RunConfig) -> RunConfig:
    """Five batches in each of four epochs, the first three of which learn by CTC alone."""
    return replace(
        steady,
        training=replace(steady.training, ctc_warmup=0.7),
        data=replace(steady.data, loading=replace(steady.data.loading, batch_seconds=2.0)),
        trainer=replace(steady.trainer, max_epochs=4, check_val_every_n_epoch=1),
    )


def limited(config: RunConfig, time: int | None, **changes: Any) -> RunConfig:
    max_time = None if time is None else seconds(time)
    return replace(config, trainer=replace(config.trainer, max_time=max_time), **changes)


@pytest.mark.parametrize(("batches", "accumulate"), [(3, 1), (3, 2), (7, 1), (10, 1)])
def test_a_run_that_time_ended_goes_on_where_it_was(
    warming_up: RunConfig, tmp_path: Path, batches: int, accumulate: int
) -> None:
    trainer = replace(warming_up.trainer, accumulate_grad_batches=accumulate)
    config = replace(warming_up, trainer=trainer)
    whole = fit(replace(config, run_dir=str(tmp_path / "whole")))
    stopped = fit(limited(config, batches))
    assert not stopped.stopped
    assert stopped.dev_wer is None
    assert stopped.model is not None
    again = limited(config, batches, resume=config.run_dir)
    with pytest.raises(ConfigError, match=rf"has used its trainer\.max_time={seconds(batches)}"):
        fit(again)
    # a little more, still within the warm-up, and then as much as it takes
    assert fit(limited(again, batches + 2), ["trainer.max_time"]).dev_wer is None
    result = fit(limited(again, None), ["trainer.max_time"])
    assert_same_training(tmp_path / "whole", Path(config.run_dir))
    assert result.dev_wer == whole.dev_wer


def test_another_run_starts_from_one_that_ended_within_its_warm_up(
    warming_up: RunConfig, tmp_path: Path
) -> None:
    stopped = fit(limited(warming_up, 3))
    weights = final_state(stopped.folder)["state_dict"]
    model = load_model(stopped.folder).network.state_dict()
    for name, value in model.items():
        assert torch.equal(value, weights[f"network.{name}"]), name
    start = replace(warming_up, run_dir=str(tmp_path / "next"), start_from=str(stopped.folder))
    assert fit(start).dev_wer is not None


def test_a_run_that_time_ended_after_a_validation_has_its_model(warming_up: RunConfig) -> None:
    stopped = fit(limited(warming_up, 18))  # within the last epoch
    assert stopped.dev_wer is not None
    assert "dev_wer_interval" in load_model(stopped.folder).info
    with pytest.raises(ConfigError, match="has used its"):
        fit(limited(warming_up, 18, resume=warming_up.run_dir))
    more = limited(warming_up, 60, resume=warming_up.run_dir)
    assert fit(more, ["trainer.max_time"]).dev_wer is not None
    with pytest.raises(ConfigError, match="has finished its 4 epochs"):
        fit(more)


def test_a_state_of_before_goes_on_with_more_time(warming_up: RunConfig, tmp_path: Path) -> None:
    """Earlier versions counted the epoch as over, and marked the run as ended for good."""
    fit(limited(warming_up, 5))  # just the first epoch
    path = Path(warming_up.run_dir) / "last.ckpt"
    state = final_state(path.parent)
    state["callbacks"]["RunCheckpoints"]["ended"] = True
    torch.save(state, path)
    path.with_name("model.safetensors").unlink()  # they kept none
    fit(limited(warming_up, None, resume=warming_up.run_dir), ["trainer.max_time"])
    fit(replace(warming_up, run_dir=str(tmp_path / "whole")))
    assert_same_training(tmp_path / "whole", path.parent)


@pytest.fixture
def lm_config(tmp_path: Path) -> Callable[..., LmRunConfig]:
    """Four batches in each of four epochs, the last of which is validated."""
    text = tmp_path / "text.txt"
    text.write_text("do re mi\nmi re\nre mi do\ndo do\n" * 4, encoding="utf-8")

    def make(**changes: Any) -> LmRunConfig:
        trainer = TrainerConfig(
            max_epochs=4, check_val_every_n_epoch=4, accelerator="cpu", precision="32-true"
        )
        return LmRunConfig(
            run_dir=str(tmp_path / "lm"),
            data=TextConfig(train=str(text), dev=str(text), batch_tokens=40),
            trainer=replace(trainer, **changes),
            callbacks=LmCallbacksConfig(patience=0),
            logger=LoggerConfig(tensorboard=False),
        )

    return make


def test_a_language_model_that_time_ended_goes_on_where_it_was(
    lm_config: Callable[..., LmRunConfig], tmp_path: Path
) -> None:
    whole = fit_lm(replace(lm_config(), run_dir=str(tmp_path / "whole")))
    stopped = fit_lm(lm_config(max_time=seconds(3)))
    assert stopped.perplexity is None
    assert load_lm(stopped.folder / LM_FILE) is not None
    resume = str(stopped.folder)
    with pytest.raises(ConfigError, match=r"has used its trainer\.max_time"):
        fit_lm(replace(lm_config(), resume=resume))
    result = fit_lm(replace(lm_config(), resume=resume), ["trainer.max_time"])
    assert_same_training(whole.folder, stopped.folder)
    assert result.perplexity == whole.perplexity


def test_a_language_model_that_patience_ended_has_finished(
    lm_config: Callable[..., LmRunConfig],
) -> None:
    config = replace(
        lm_config(check_val_every_n_epoch=1, max_epochs=30),
        callbacks=LmCallbacksConfig(patience=1),
        optimizer={"_target_": "torch.optim.SGD", "lr": 1.0, "maximize": True},
    )
    result = fit_lm(config)
    with pytest.raises(ConfigError, match=r"by callbacks\.patience=1"):
        fit_lm(replace(config, resume=str(result.folder)))


def test_the_time_is_up_in_the_middle_of_a_step_of_two_batches(
    warming_up: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gradients of the batches so far belong to a step that is taken first."""
    steps: list[int] = []
    original = pl.Trainer.save_checkpoint

    def save(self: pl.Trainer, *arguments: Any, **options: Any) -> None:
        steps.append(self.fit_loop.epoch_loop.batch_progress.current.processed)
        original(self, *arguments, **options)

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", save)
    trainer = replace(warming_up.trainer, accumulate_grad_batches=2)
    fit(limited(replace(warming_up, trainer=trainer), 3))
    assert steps == [4]
