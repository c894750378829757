"""Encoders by their names."""

from collections.abc import Callable
from typing import Any

from torch import nn

from asr_attn.models.encoders.branchformer import Branchformer, BranchformerConfig
from asr_attn.models.encoders.conformer import Conformer, ConformerConfig
from asr_attn.models.encoders.interface import Encoder, EncoderConfig
from asr_attn.models.encoders.listener import Listener, ListenerConfig
from asr_attn.models.encoders.pyramid import Pyramid, PyramidConfig
from asr_attn.models.encoders.transformer import Transformer, TransformerConfig
from asr_attn.models.encoders.vgg_blstm import VggBlstm, VggBlstmConfig

__all__ = [
    "ENCODERS",
    "Branchformer",
    "BranchformerConfig",
    "Conformer",
    "ConformerConfig",
    "Encoder",
    "EncoderConfig",
    "Listener",
    "ListenerConfig",
    "Pyramid",
    "PyramidConfig",
    "Transformer",
    "TransformerConfig",
    "VggBlstm",
    "VggBlstmConfig",
]

ENCODERS: dict[str, tuple[Callable[[int, Any], nn.Module], EncoderConfig]] = {
    "listener": (Listener, ListenerConfig()),
    "pyramid": (Pyramid, PyramidConfig()),
    "vgg_blstm": (VggBlstm, VggBlstmConfig()),
    "transformer": (Transformer, TransformerConfig()),
    "conformer": (Conformer, ConformerConfig()),
    "branchformer": (Branchformer, BranchformerConfig()),
}
"""Name of an encoder: its class (called with feature size and config) and its settings."""
