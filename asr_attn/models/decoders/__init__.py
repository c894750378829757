"""Decoders by their names."""

from collections.abc import Callable
from typing import Any

from torch import nn

from asr_attn.models.decoders.interface import (
    Decoder,
    DecoderConfig,
    DecoderOutput,
    DecoderState,
)
from asr_attn.models.decoders.lstm import LstmDecoder, LstmDecoderConfig, LstmDecoderState
from asr_attn.models.decoders.transformer import (
    TransformerDecoder,
    TransformerDecoderConfig,
    TransformerDecoderState,
)
from asr_attn.nn.attention import AttentionConfig

__all__ = [
    "DECODERS",
    "Decoder",
    "DecoderConfig",
    "DecoderOutput",
    "DecoderState",
    "LstmDecoder",
    "LstmDecoderConfig",
    "LstmDecoderState",
    "TransformerDecoder",
    "TransformerDecoderConfig",
    "TransformerDecoderState",
]

DECODERS: dict[str, tuple[Callable[[int, int, AttentionConfig, Any], nn.Module], DecoderConfig]] = {
    "lstm": (LstmDecoder, LstmDecoderConfig()),
    "transformer": (TransformerDecoder, TransformerDecoderConfig()),
}
"""Name of a decoder: its class (vocabulary size, memory size, settings of attention,
settings), and its settings."""
