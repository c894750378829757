"""A language of tones: three words, each one pitch, that a tiny model learns in seconds."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.features import FeaturesConfig
from asr_attn.data.manifest import Utterance, write_manifest
from asr_attn.data.planning import LoadingConfig
from asr_attn.models.asr import ModelConfig
from asr_attn.models.decoders import LstmDecoderConfig
from asr_attn.models.encoders import ListenerConfig
from asr_attn.nn.attention import SoftAttentionConfig
from asr_attn.settings import (
    CallbacksConfig,
    DataConfig,
    LoggerConfig,
    RunConfig,
    ScheduleConfig,
    TrainerConfig,
    TrainingConfig,
)

RATE = 8000
PITCHES = {"do": 400.0, "re": 900.0, "mi": 1800.0}


def tone_words(words: list[str], seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    parts = []
    for word in words:
        time = np.arange(int(RATE * random.uniform(0.25, 0.35))) / RATE
        parts.append(0.3 * np.sin(2 * np.pi * PITCHES[word] * time))
        parts.append(np.zeros(int(RATE * random.uniform(0.1, 0.15))))
    samples = np.concatenate(parts)
    return samples + 0.003 * random.standard_normal(len(samples))


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with train.jsonl: eight utterances of one to three words."""
    folder = tmp_path_factory.mktemp("tones")
    random = np.random.default_rng(0)
    utterances = []
    for i in range(8):
        words = [str(w) for w in random.choice(list(PITCHES), size=1 + i % 3)]
        samples = tone_words(words, i)
        path = folder / f"{i}.wav"
        soundfile.write(path, samples, RATE)
        utterances.append(
            Utterance(f"u{i}", path, " ".join(words), len(samples) / RATE, speaker="organ")
        )
    write_manifest(folder / "train.jsonl", utterances)
    return folder


@pytest.fixture
def tone_config(tones: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    """Makes the settings of a tiny run; keywords replace parts of them."""

    def make(**changes: object) -> RunConfig:
        settings = {
            "seed": 1,
            "run_dir": str(tmp_path / "run"),
            "data": DataConfig(
                train=str(tones / "train.jsonl"),
                dev=str(tones / "train.jsonl"),
                sample_rate=RATE,
                loading=LoadingConfig(batch_seconds=2.5),
            ),
            "features": FeaturesConfig(sample_rate=RATE, n_mels=24),
            "augmentation": AugmentationConfig(frequency_mask_bins=4, time_mask_frames=4),
            "model": ModelConfig(
                ListenerConfig(
                    hidden_size=32,
                    recurrent_layers=2,
                    attention_layers=1,
                    heads=2,
                    feedforward_size=32,
                ),
                SoftAttentionConfig(size=16, channels=4, kernel_size=7),
                LstmDecoderConfig(hidden_size=32, embedding_size=8),
            ),
            "training": TrainingConfig(ctc_warmup=0.3),
            "optimizer": {"_target_": "torch.optim.AdamW", "lr": 3e-3, "fused": True},
            "scheduler": ScheduleConfig(warmup_steps=4),
            "trainer": TrainerConfig(
                max_epochs=3, accelerator="cpu", precision="32-true", threads=1
            ),
            "callbacks": CallbacksConfig(pictures=1, keep_best=2),
            "logger": LoggerConfig(tensorboard=False),
        }
        return RunConfig(**(settings | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def steady(tone_config: Callable[..., RunConfig]) -> RunConfig:
    """A run of two epochs in which nothing is random but the order of the examples."""
    config = tone_config(
        augmentation=AugmentationConfig(speed=(1.0,), gain_db=0.0, frequency_masks=0, time_masks=0),
        training=TrainingConfig(ctc_warmup=0.0, scheduled_sampling=0.0, monotonicity=0.5),
    )
    model = replace(
        config.model,
        encoder=replace(config.model.encoder, dropout=0.0),
        decoder=replace(config.model.decoder, dropout=0.0),
    )
    return replace(
        config,
        model=model,
        data=replace(config.data, loading=LoadingConfig(batch_seconds=4.0)),
        trainer=replace(config.trainer, max_epochs=2, check_val_every_n_epoch=2),
        callbacks=replace(config.callbacks, pictures=0),
        # plain steps: Adam's first ones turn rounding errors of tiny gradients into whole steps
        optimizer={"_target_": "torch.optim.SGD", "lr": 0.05, "momentum": 0.9},
    )


def incidents(folder: Path) -> list[dict[str, Any]]:
    """What a run has written down."""
    path = folder / "incidents.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def copied(tones: Path, folder: Path) -> Path:
    """The manifest of the tones in another folder, with their recordings, to be changed."""
    shutil.copytree(tones, folder, dirs_exist_ok=True)
    return folder / "train.jsonl"
