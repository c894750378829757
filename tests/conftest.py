"""Fixtures that several tests use: a tiny untrained model and recordings."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asr_attn.audio.features import FeaturesConfig
from asr_attn.checkpoint import TrainedModel, save_model
from asr_attn.models.asr import AsrModel, ModelConfig
from asr_attn.models.decoders import LstmDecoderConfig
from asr_attn.models.encoders import ListenerConfig
from asr_attn.nn.attention import SoftAttentionConfig
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.text.tokenizer import EOS, CharTokenizer

RATE = 8000


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model() -> TrainedModel:
    """An untrained model whose outputs differ between recordings and end before the limit."""
    features = FeaturesConfig(sample_rate=RATE, n_mels=16)
    config = ModelConfig(
        ListenerConfig(
            hidden_size=16, recurrent_layers=2, attention_layers=1, heads=2, feedforward_size=16
        ),
        SoftAttentionConfig(size=8, channels=2, kernel_size=5),
        LstmDecoderConfig(hidden_size=16, embedding_size=8),
    )
    tokenizer = CharTokenizer.train(["abcdefgh "])
    network = AsrModel(features, config, len(tokenizer))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(6)
        for name, parameter in network.named_parameters():
            torch.nn.init.normal_(parameter, std=0.5 if parameter.dim() > 1 else 0.1)
            if "norm" in name and name.endswith("weight"):
                torch.nn.init.ones_(parameter)
        network.speller.output.bias[EOS] += 2.0
    return TrainedModel(
        network.eval(), features, config, tokenizer, NormalizerConfig(), {"data": "noise"}
    )


@pytest.fixture
def model_file(tiny_model: TrainedModel, tmp_path: Path) -> Path:
    path = tmp_path / "run" / "model.safetensors"
    save_model(path, tiny_model)
    return path


def speech(seconds: float, seed: int) -> np.ndarray:
    """Coloured noise whose loudness and pitch wander."""
    random = np.random.default_rng(seed)
    time = np.arange(round(RATE * seconds)) / RATE
    tone = np.sin(2 * np.pi * (150 + 100 * seed % 900) * time * (1 + 0.3 * np.sin(3 * time)))
    return (0.2 * tone + 0.05 * random.standard_normal(time.size)).astype(np.float32)


@pytest.fixture(scope="session")
def make_speech():
    """Makes samples like speech, of so many seconds and a seed."""
    return speech


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder of five recordings; those that come first by name are not the shortest."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for i, seconds in enumerate((1.3, 0.4, 0.9, 0.2, 0.7)):
        soundfile.write(folder / f"{i}.wav", speech(seconds, i), RATE)
    return folder
