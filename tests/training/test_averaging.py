from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from asr_attn.checkpoint import load_model
from asr_attn.settings import RunConfig, TrainingConfig
from asr_attn.training.averaging import AveragedTask, WeightAverage
from asr_attn.training.callbacks import GracefulStop
from asr_attn.training.run import fit

MakeConfig = Callable[..., RunConfig]
NAME = "ctc.weight"


def recursion(start: np.ndarray, steps: list[np.ndarray], decay: float) -> list[np.ndarray]:
    """The average after each step, in double precision."""
    average, out = start.astype(np.float64), []
    for n, weights in enumerate(steps, start=1):
        d = min(decay, (1 + n) / (10 + n))
        average = d * average + (1 - d) * weights
        out.append(average)
    return out


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.9999])
def test_average_is_the_recursion(decay: float) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    start = layer.weight.detach().numpy().copy()
    average = WeightAverage(layer, decay)
    steps = []
    for _ in range(30):
        with torch.no_grad():
            layer.weight += torch.randn(2, 3)
        average.update()
        steps.append(layer.weight.detach().numpy().copy())
    expected = recursion(start, steps, decay)[-1]
    np.testing.assert_allclose(average.values[0].numpy(), expected, rtol=1e-5, atol=1e-6)
    average.swap()
    np.testing.assert_allclose(layer.weight.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    average.swap()
    np.testing.assert_array_equal(layer.weight.detach().numpy(), steps[-1])


@pytest.fixture
def averaged(tone_config: MakeConfig) -> RunConfig:
    """A run of two epochs, the second of which is validated with attention."""
    config = tone_config(training=TrainingConfig(ctc_warmup=0.3, ema=0.8))
    trainer = replace(config.trainer, max_epochs=2)
    return replace(config, trainer=trainer, callbacks=replace(config.callbacks, pictures=0))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Weights before the training, and after each optimizer step, as the optimizer leaves them."""
    found: list[np.ndarray] = []
    original = AveragedTask.on_fit_start

    def on_fit_start(task: AveragedTask) -> None:
        def note(*_: Any) -> None:
            found.append(task.network.get_parameter(NAME).detach().cpu().numpy().copy())

        note()
        task.trainer.optimizers[0].register_step_post_hook(note)
        original(task)

    monkeypatch.setattr(AveragedTask, "on_fit_start", on_fit_start)
    return found


def test_a_run_validates_keeps_and_resumes_the_average(
    averaged: RunConfig,
    steps: list[np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(replace(averaged, run_dir=str(whole)))
    start, *after = steps
    averages = recursion(start, after, 0.8)
    state = torch.load(whole / "last.ckpt", weights_only=True)
    per_epoch = len(after) // 2
    assert state["ema"]["steps"] == len(after) == 2 * per_epoch
    # trained are the weights, kept is the average
    np.testing.assert_array_equal(state["state_dict"][f"network.{NAME}"].numpy(), after[-1])
    for path in (whole / "best" / "epoch=0001.safetensors", whole / "model.safetensors"):
        kept = load_model(path).network.get_parameter(NAME).detach().numpy()
        np.testing.assert_allclose(kept, averages[-1], rtol=1e-4, atol=1e-6)
        assert np.abs(kept - after[-1]).max() > 1e-4

    stop_at = per_epoch + 1

    def interrupt(self: GracefulStop, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == stop_at:
            self.checkpoints.stop_requested = True

    with monkeypatch.context() as patch:
        patch.setattr(GracefulStop, "on_train_batch_end", interrupt)
        assert fit(replace(averaged, run_dir=str(parts))).stopped
    stopped = torch.load(parts / "last.ckpt", weights_only=True)
    assert stopped["ema"]["steps"] == stopped["global_step"] == stop_at
    fit(replace(averaged, resume=str(parts)))
    again = torch.load(parts / "last.ckpt", weights_only=True)
    for one, other in zip(state["ema"]["values"], again["ema"]["values"], strict=True):
        assert torch.equal(one, other)
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_refuses_a_decay_that_makes_no_sense(decay: float) -> None:
    with pytest.raises(ValueError, match=r"training\.ema is a decay from 0 to below 1"):
        TrainingConfig(ema=decay)
