"""Model settings from plain data: the tables of names decide which class a part becomes."""

import difflib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeVar

import dacite

from asr_attn.errors import ConfigError
from asr_attn.models.asr import ModelConfig
from asr_attn.models.decoders import DECODERS, DecoderConfig
from asr_attn.models.encoders import ENCODERS, EncoderConfig
from asr_attn.nn.attention import ATTENTIONS, AttentionConfig

T = TypeVar("T")


def model_config_from_dict(data: Mapping[str, Any]) -> ModelConfig:
    """Build the settings of a model.

    Args:
        data: ``encoder``, ``attention`` and ``decoder``, each with a ``name`` and its own keys.

    Raises:
        ConfigError: an unknown name.
        dacite.DaciteError: a key or a type that the part does not have.
        ValueError: values that do not go together.
    """
    return ModelConfig(
        encoder=_part(EncoderConfig, "encoder", ENCODERS, data["encoder"]),
        attention=_part(AttentionConfig, "attention", ATTENTIONS, data["attention"]),
        decoder=_part(DecoderConfig, "decoder", DECODERS, data["decoder"]),
    )


def _part(base: type[T], kind: str, table: Mapping[str, tuple[Any, Any]], data: Any) -> T:
    if not isinstance(data, Mapping):
        raise ConfigError(f"model.{kind} must have a name and settings, not {data!r}")
    name = str(data.get("name"))
    if name not in table:
        near = difflib.get_close_matches(str(name), table, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise ConfigError(
            f"model.{kind}.name={name!r} is not known{hint} known: {', '.join(sorted(table))}"
        )
    default = table[name][1]
    config = dacite.from_dict(
        type(default), {**asdict(default), **data}, dacite.Config(strict=True, cast=[tuple])
    )
    assert isinstance(config, base)
    return config
