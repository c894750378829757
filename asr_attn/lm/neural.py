"""Neural language models by their names, and what belongs to a trained one."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import dacite

from asr_attn.errors import ConfigError
from asr_attn.lm.neural_interface import NeuralLm, NeuralLmConfig, NeuralLmState
from asr_attn.lm.neural_lstm import LstmLm, LstmLmConfig, LstmLmState
from asr_attn.lm.neural_transformer import TransformerLm, TransformerLmConfig, TransformerLmState
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.text.tokenizer import Tokenizer

__all__ = [
    "NEURAL_LMS",
    "LstmLm",
    "LstmLmConfig",
    "LstmLmState",
    "NeuralLm",
    "NeuralLmConfig",
    "NeuralLmState",
    "TrainedLm",
    "TransformerLm",
    "TransformerLmConfig",
    "TransformerLmState",
    "lm_config_from_dict",
    "make_lm",
]

NEURAL_LMS: dict[str, tuple[Callable[[int, Any], NeuralLm], NeuralLmConfig]] = {
    "lstm": (LstmLm, LstmLmConfig()),
    "transformer": (TransformerLm, TransformerLmConfig()),
}
"""Name of a model: its class (vocabulary size, settings), and its settings."""


@dataclass(frozen=True)
class TrainedLm:
    """A neural language model with what belongs to it.

    Attributes:
        network: the weights and how to use them.
        config: settings of the network.
        tokenizer: of the tokens that it predicts.
        normalizer: how text was written in training.
        info: facts about the training; JSON values only.
    """

    network: NeuralLm
    config: NeuralLmConfig
    tokenizer: Tokenizer
    normalizer: NormalizerConfig
    info: Mapping[str, Any] = field(default_factory=dict)


def make_lm(config: NeuralLmConfig, vocabulary_size: int) -> NeuralLm:
    """A model of the kind that ``config`` names, with random weights."""
    return NEURAL_LMS[config.name][0](vocabulary_size, config)


def lm_config_from_dict(data: Mapping[str, Any]) -> NeuralLmConfig:
    """Build the settings of a model.

    Args:
        data: a ``name``, and the keys of that kind of model.

    Raises:
        ConfigError: an unknown name.
        dacite.DaciteError: a key or a type that the kind does not have.
        ValueError: values that do not go together.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"model must have a name and settings, not {data!r}")
    name = str(data.get("name"))
    if name not in NEURAL_LMS:
        near = difflib.get_close_matches(name, NEURAL_LMS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise ConfigError(
            f"model.name={name!r} is not known{hint} known: {', '.join(sorted(NEURAL_LMS))}"
        )
    default = NEURAL_LMS[name][1]
    return dacite.from_dict(type(default), {**asdict(default), **data}, dacite.Config(strict=True))
