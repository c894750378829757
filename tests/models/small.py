"""Small networks of every encoder, attention and decoder."""

import dataclasses
from typing import TypeVar

import torch

from asr_attn.audio.features import FeaturesConfig
from asr_attn.models.asr import AsrModel, ModelConfig
from asr_attn.models.decoders import DECODERS
from asr_attn.models.encoders import ENCODERS
from asr_attn.nn.attention import ATTENTIONS

SMALL = {
    "hidden_size": 8,
    "embedding_size": 4,
    "feedforward_size": 8,
    "gating_size": 8,
    "size": 8,
    "layers": 1,
    "recurrent_layers": 2,
    "attention_layers": 1,
    "heads": 2,
    "channels": 2,
    "components": 2,
    "kernel_size": 5,
}
"""Sizes for whatever has such a setting; what is off (0) stays off."""

T = TypeVar("T")


def shrunk(config: T) -> T:
    on = {field.name for field in dataclasses.fields(config) if getattr(config, field.name)}
    return dataclasses.replace(config, **{k: v for k, v in SMALL.items() if k in on})


def small_network(encoder: str, attention: str, decoder: str) -> AsrModel:
    """A network of 7 tokens at 8 kHz, in evaluation mode, the same each time."""
    config = ModelConfig(
        shrunk(ENCODERS[encoder][1]), shrunk(ATTENTIONS[attention][1]), shrunk(DECODERS[decoder][1])
    )
    torch.manual_seed(0)
    return AsrModel(FeaturesConfig(sample_rate=8000, n_mels=10), config, 7).eval()
