import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.settings import RunConfig, TrainingConfig
from asr_attn.training.run import fit

MakeConfig = Callable[..., RunConfig]
OFF = AugmentationConfig(speed=(1.0,), gain_db=0.0, frequency_masks=0, time_masks=0)


def losses(config: RunConfig, weight: float, augmentation: AugmentationConfig) -> dict[str, float]:
    """Losses of each epoch: CTC alone, then attention too; the weights hardly change."""
    encoder = replace(config.model.encoder, dropout=0.0)
    decoder = replace(config.model.decoder, dropout=0.0)
    training = TrainingConfig(
        ctc_warmup=0.5, ctc_consistency=weight, scheduled_sampling=0.0, guided_attention=0.0
    )
    config = replace(
        config,
        augmentation=augmentation,
        training=training,
        model=replace(config.model, encoder=encoder, decoder=decoder),
        optimizer={**config.optimizer, "lr": 1e-12, "weight_decay": 0.0},
        trainer=replace(config.trainer, max_epochs=2, check_val_every_n_epoch=2),
        callbacks=replace(config.callbacks, pictures=0),
        run_dir=f"{config.run_dir}-{weight:g}",
    )
    fit(config)
    found = {}
    with (Path(config.run_dir) / "metrics.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name in ("loss", "ctc_loss", "ctc_consistency_loss", "attention_loss"):
                if value := row.get(f"train/{name}"):
                    found[f"{name} {row['epoch']}"] = float(value)
    return found


def test_views_that_are_the_same_change_nothing(tone_config: MakeConfig) -> None:
    alone = losses(tone_config(), 0.0, OFF)
    twice = losses(tone_config(), 0.5, OFF)
    assert alone.keys() == {"loss 0", "ctc_loss 0", "loss 1", "ctc_loss 1", "attention_loss 1"}
    for name, value in alone.items():
        assert twice[name] == pytest.approx(value, rel=1e-4)
    for epoch in (0, 1):
        assert twice[f"ctc_consistency_loss {epoch}"] == pytest.approx(0.0, abs=1e-4)


def test_views_that_differ_add_their_divergence(tone_config: MakeConfig) -> None:
    masks = replace(OFF, time_masks=2, frequency_masks=2)
    found = losses(tone_config(), 0.5, masks)
    first = found["ctc_consistency_loss 0"]
    assert first > 1e-3
    assert found["loss 0"] == pytest.approx(found["ctc_loss 0"] + 0.5 * first, rel=1e-4)
    weight = TrainingConfig().ctc_weight
    ctc = found["ctc_loss 1"] + 0.5 * found["ctc_consistency_loss 1"]
    joint = weight * ctc + (1 - weight) * found["attention_loss 1"]
    assert found["loss 1"] == pytest.approx(joint, rel=1e-4)


def test_settings_that_do_not_go_together() -> None:
    with pytest.raises(ValueError, match=r"used by training\.ctc_consistency"):
        TrainingConfig(ctc_weight=0.0, ctc_warmup=0.0, ctc_consistency=0.2)
    with pytest.raises(ValueError, match="ctc_consistency must not be negative"):
        TrainingConfig(ctc_consistency=-0.1)
