import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from asr_attn.data.batches import Batch
from asr_attn.models.asr import AsrModel
from asr_attn.nn.attention import SoftAttentionConfig
from asr_attn.settings import RunConfig, TrainingConfig
from asr_attn.training import callbacks
from asr_attn.training import task as task_module
from asr_attn.training.callbacks import EpochFigures
from asr_attn.training.loss import GUIDED_SECONDS
from asr_attn.training.run import fit, set_up

MakeConfig = Callable[..., RunConfig]


def loss_of(config: RunConfig, folder: Path) -> float:
    """Training loss of one epoch in which the weights hardly change."""
    optimizer = {**config.optimizer, "lr": 1e-12, "weight_decay": 0.0}
    trainer = replace(config.trainer, max_epochs=1)
    fit(replace(config, optimizer=optimizer, trainer=trainer, run_dir=str(folder)))
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return float(next(csv.DictReader(file))["train/loss"])


def quarter(*_: torch.Tensor) -> torch.Tensor:
    return torch.tensor(0.25)


@pytest.mark.parametrize(
    ("name", "function", "draw"),
    [
        ("monotonicity", "monotonicity_loss", "none"),
        ("score_function", "score_function_loss", "score_function"),
    ],
)
def test_weights_of_further_losses(
    name: str,
    function: str,
    draw: str,
    tone_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_module, function, quarter)
    attention = SoftAttentionConfig(size=16, channels=4, kernel_size=7, draw=draw)
    config = tone_config()
    config = replace(config, model=replace(config.model, attention=attention))

    def loss(weight: float) -> float:
        training = replace(TrainingConfig(ctc_warmup=0.0), **{name: weight})
        return loss_of(replace(config, training=training), tmp_path / str(weight))

    assert loss(8.0) - loss(0.0) == pytest.approx(2.0, abs=1e-4)


def test_attention_is_guided_by_what_ctc_hears(
    tone_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guidance fades evenly over the epoch, from its full weight to none."""
    given: list[tuple[torch.Tensor, ...]] = []

    def elsewhere(weights: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        given.append((weights.detach(), *others))
        return quarter()

    monkeypatch.setattr(task_module, "attention_elsewhere_loss", elsewhere)
    # the places themselves: as if the first token were heard at step 0, the next at 1 and so on
    monkeypatch.setattr(
        task_module,
        "heard_steps",
        lambda log_probs, lengths, tokens: torch.arange(1 + max(map(len, tokens))).repeat(
            len(tokens), 1
        ),
    )

    def loss(weight: float) -> float:
        training = TrainingConfig(
            ctc_warmup=0.0, guided_by="ctc", guided_attention=weight, guided_until=1.0
        )
        return loss_of(replace(tone_config(), training=training), tmp_path / str(weight))

    plain = loss(0.0)
    assert not given
    guided = loss(8.0)
    shares = [1.0 - k / len(given) for k in range(len(given))]
    assert guided - plain == pytest.approx(0.25 * 8.0 * sum(shares) / len(shares), rel=1e-3)
    for weights, places, counts, width in given:
        assert weights.shape[:2] == places.shape
        assert len(counts) == len(weights)
        assert counts.max() == places.size(1)
        assert width == pytest.approx(GUIDED_SECONDS / 0.04)
    with (tmp_path / "8.0" / "metrics.csv").open(newline="", encoding="utf-8") as file:
        assert float(next(csv.DictReader(file))["train/guided_attention_loss"]) == 0.25


def test_attention_that_draws_nothing_has_no_policy_gradient(
    tone_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: torch.Tensor) -> torch.Tensor:
        raise AssertionError("nothing was drawn")

    monkeypatch.setattr(task_module, "score_function_loss", refuse)
    loss_of(tone_config(training=TrainingConfig(ctc_warmup=0.0)), tmp_path / "run")


def test_speed_is_the_audio_of_all_processes_over_the_time_without_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
    optimizer = SimpleNamespace(param_groups=[{"lr": 1.0}])
    trainer: Any = SimpleNamespace(
        world_size=2,
        is_global_zero=True,
        callback_metrics={},
        current_epoch=0,
        global_step=2,
        optimizers=[optimizer],
        max_epochs=1,
        check_val_every_n_epoch=1,
        num_training_batches=2,
    )
    speech = SimpleNamespace(sample_rate=100, epoch_seconds=lambda located: [8.0])
    trainer.datamodule = speech
    task: Any = SimpleNamespace(
        speech=speech,
        epochs=1,
        trains_attention=lambda epoch: True,
        locates_words_after=lambda epoch: False,
    )
    trainer.lightning_module = task
    batch = Batch(torch.zeros(2, 300), torch.tensor([100, 300]), ["a", "b"], ["1", "2"])
    figures = EpochFigures(tmp_path / "metrics.csv", lines=False)
    figures.on_train_start(trainer, task)
    figures.on_train_epoch_start(trainer, task)
    for seconds in (1.0, 4.0):
        now[0] = seconds
        figures.on_train_batch_end(trainer, task, None, batch, 0)
    now[0] = 10.0  # after validation
    figures.on_train_epoch_end(trainer, task)
    with (tmp_path / "metrics.csv").open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert float(row["speed"]) == 2 * 2 * 4.0 / 4.0
    assert float(row["seconds"]) == 10.0


def test_the_shortcut_begins_when_attention_does(
    tone_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tone_config(training=TrainingConfig(ctc_warmup=0.5, ema=0.999))
    decoder = replace(config.model.decoder, shortcut=True)
    config = replace(
        config,
        model=replace(config.model, decoder=decoder),
        trainer=replace(config.trainer, max_epochs=2),
        optimizer={**config.optimizer, "lr": 1e-12, "weight_decay": 0.0},
    )
    task, _ = set_up(config)
    assert not task.network.decoder.shortcut.weight.any()
    begun_in = []
    begin = AsrModel.begin_attention

    def watched(network: AsrModel) -> list[torch.nn.Parameter]:
        before = bool(network.decoder.shortcut.weight.any())
        begun = begin(network)
        begun_in.append((before, bool(network.decoder.shortcut.weight.any())))
        return begun

    monkeypatch.setattr(AsrModel, "begin_attention", watched)
    fit(config)
    assert begun_in == [(False, True)]  # in the second of two epochs alone
    saved = torch.load(Path(config.run_dir) / "last.ckpt", weights_only=True)
    state = saved["state_dict"]
    # its moving average begins there too, and not on the way from nothing
    averages = dict(zip(dict(task.network.named_parameters()), saved["ema"]["values"], strict=True))
    average = averages["decoder.shortcut.weight"]
    torch.testing.assert_close(average, state["network.decoder.shortcut.weight"])
    begun, ctc = state["network.decoder.shortcut.weight"], state["network.ctc.weight"]
    torch.testing.assert_close(begun[2:], ctc[2:])
    assert ctc.any()
