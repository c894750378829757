"""Encoders by their names."""

from collections.abc import Callable
from typing import Any

from torch import nn

from asr_attn.models.encoders.interface import Encoder, EncoderConfig
from asr_attn.models.encoders.listener import Listener, ListenerConfig

__all__ = ["ENCODERS", "Encoder", "EncoderConfig", "Listener", "ListenerConfig"]

ENCODERS: dict[str, tuple[Callable[[int, Any], nn.Module], EncoderConfig]] = {
    "listener": (Listener, ListenerConfig()),
}
"""Name of an encoder: its class (called with feature size and config) and its settings."""
