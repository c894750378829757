import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.errors import ConfigError, InputError
from asr_attn.settings import RunConfig, TrainingConfig
from asr_attn.training.loss import intermediate_layers
from asr_attn.training.run import fit, set_up

MakeConfig = Callable[..., RunConfig]
OFF = AugmentationConfig(speed=(1.0,), gain_db=0.0, frequency_masks=0, time_masks=0)


def still(config: RunConfig) -> RunConfig:
    """One epoch of CTC alone in which nothing is random and the weights hardly change."""
    encoder = replace(config.model.encoder, dropout=0.0)
    return replace(
        config,
        augmentation=OFF,
        model=replace(config.model, encoder=encoder),
        optimizer={**config.optimizer, "lr": 1e-12, "weight_decay": 0.0},
        trainer=replace(config.trainer, max_epochs=2, check_val_every_n_epoch=2),
        callbacks=replace(config.callbacks, pictures=0),
    )


def test_loss_is_torchs_at_the_middle_layer(tone_config: MakeConfig) -> None:
    training = TrainingConfig(ctc_warmup=0.6, intermediate_ctc=0.25, intermediate_layer=1)
    config = still(tone_config(training=training))
    task, data = set_up(config)
    network = task.network.eval()
    batches = data.plan(0)
    sums = {"middle": 0.0, "last": 0.0}
    with torch.no_grad():
        for k in range(len(batches)):
            batch = batches[k]
            tokens = [task.model.tokenizer.encode(text) for text in batch.texts]
            features, frames = network.features(batch.waveforms, batch.lengths)
            # three layers: two of LSTMs, the second of which halves the steps, and self-attention
            outputs = network.encoder.outputs(features, frames, [1])
            assert len(outputs) == 2
            for name, (states, steps) in zip(("middle", "last"), outputs, strict=True):
                loss = torch.nn.functional.ctc_loss(
                    network.ctc(states).log_softmax(-1).transpose(0, 1),
                    torch.tensor([t for row in tokens for t in row]),
                    steps,
                    torch.tensor(list(map(len, tokens))),
                    reduction="sum",
                )
                per_token = float(loss) / sum(map(len, tokens))
                sums[name] += per_token * len(tokens) / 8
    fit(config)
    with (Path(config.run_dir) / "metrics.csv").open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert float(row["train/ctc_loss"]) == pytest.approx(sums["last"], rel=1e-4)
    assert float(row["train/intermediate_ctc_loss"]) == pytest.approx(sums["middle"], rel=1e-4)
    assert "ema" not in torch.load(Path(config.run_dir) / "last.ckpt", weights_only=True)
    joint = 0.75 * sums["last"] + 0.25 * sums["middle"]
    assert float(row["train/loss"]) == pytest.approx(joint, rel=1e-4)


def test_layers() -> None:
    on = TrainingConfig(intermediate_ctc=0.3)
    assert intermediate_layers(TrainingConfig(intermediate_layer=9), 4) == ()
    assert [intermediate_layers(on, depth) for depth in (2, 3, 4, 5)] == [(1,), (1,), (2,), (2,)]
    assert intermediate_layers(replace(on, intermediate_layer=3), 4) == (3,)
    for training, depth in ((on, 1), (replace(on, intermediate_layer=4), 4)):
        with pytest.raises(ConfigError, match="must be below the last"):
            intermediate_layers(training, depth)


def test_settings_that_do_not_go_together() -> None:
    with pytest.raises(
        ValueError, match=r"switches CTC off, but it is used by training\.intermediate_ctc"
    ):
        TrainingConfig(ctc_weight=0.0, ctc_warmup=0.0, intermediate_ctc=0.3)
    with pytest.raises(ValueError, match="intermediate_ctc is a share"):
        TrainingConfig(intermediate_ctc=1.5)
    with pytest.raises(ValueError, match="intermediate_layer starts at 0"):
        TrainingConfig(intermediate_layer=-1)


def test_noise_that_cannot_be_had_is_told_before_the_training(
    tone_config: MakeConfig, tmp_path: Path
) -> None:
    noise = replace(
        OFF, noise_probability=0.5, noise_kinds=("recorded",), noise_folder=str(tmp_path / "none")
    )
    with pytest.raises(InputError, match=r"augmentation\.noise_folder: .*none is not a folder"):
        set_up(tone_config(augmentation=noise))
