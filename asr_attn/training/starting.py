"""What a run takes of a model that is trained already (``start_from``)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import dacite
from torch import Tensor

from asr_attn.checkpoint import TrainedModel, load_model
from asr_attn.data.manifest import Utterance
from asr_attn.effects import differing
from asr_attn.errors import CheckpointError, ConfigError, InputError
from asr_attn.models.asr import AsrModel, ModelConfig
from asr_attn.models.build import model_config_from_dict
from asr_attn.settings import RunConfig
from asr_attn.text.build import SIZED, TokenizerConfig
from asr_attn.training.preparation import facts_of, make_network
from asr_attn.training.processes import note


def with_settings_of_start(config: RunConfig, changed: Collection[str] = ()) -> RunConfig:
    """The settings with those of what ``start_from`` names, as far as it is taken.

    With ``start_with=model`` features, model, tokens and normaliser are its own, with
    ``start_with=encoder`` features and encoder.

    Args:
        config: settings.
        changed: keys that were set for this run; of its model, those are taken from ``config``.

    Raises:
        CheckpointError: there is no such model.
        ConfigError: its tokens cannot be sampled, but should be; or a key does not belong to it.
    """
    if config.start_from is None:
        return config
    try:
        start = load_model(config.start_from)
    except CheckpointError as error:
        raise CheckpointError(f"start_from: {error}") from error
    data = replace(config.data, sample_rate=start.features.sample_rate)
    if config.start_with == "encoder":
        named = [key for key in changed if f"{key}.".startswith("model.encoder.")]
        encoder = _changed_model(start.config, config, named).encoder
        model = replace(config.model, encoder=encoder)
        kept = replace(config, features=start.features, model=model, data=data)
        _refuse_dropped(config, kept, changed)
        return kept
    kind, size = start.tokenizer.KIND, len(start.tokenizer)
    sampling = config.tokenizer.sampling
    try:
        tokenizer = TokenizerConfig(kind, size if kind in SIZED else 0, sampling, start.normalizer)
    except ValueError as error:
        raise ConfigError(f"start_from={config.start_from}: {error}") from error
    kept = replace(
        config,
        features=start.features,
        model=_changed_model(start.config, config, changed),
        tokenizer=tokenizer,
        data=data,
    )
    _refuse_dropped(config, kept, changed)
    return kept


def _refuse_dropped(asked: RunConfig, kept: RunConfig, changed: Collection[str]) -> None:
    """Refuse settings that were set for this run, but are those of the model it starts from.

    Those that a file of settings brings, such as ``experiment=NAME``, are told of.

    Raises:
        ConfigError: there are some.
    """
    wanted, given, default = asdict(asked), asdict(kept), asdict(RunConfig())
    lost = [key for key in differing(wanted, given) if not key.startswith("start_")]
    # data=NAME and experiment=NAME are files; of the model, what may be changed has been
    keys = [k for k in changed if k not in ("data", "experiment") and k.split(".")[0] != "model"]
    named = [name for name in lost if any(f"{name}.".startswith(f"{key}.") for key in keys)]
    if named:
        values = ", ".join(f"{key}={_value(given, key)}" for key in named)
        raise ConfigError(
            f"{', '.join(named)}: start_from={asked.start_from} brings its own ({values}); leave "
            "this out, or train a new model without start_from"
        )
    own = set(differing(wanted, default))
    if brought := [key for key in lost if key in own]:
        note(
            f"start_from={asked.start_from} brings its own {', '.join(brought)}; what this "
            "run's files of settings say of them has no effect"
        )


def _value(settings: Any, key: str) -> Any:
    for name in key.split("."):
        settings = settings[name] if isinstance(settings, dict) and name in settings else None
    return settings


def _changed_model(start: ModelConfig, config: RunConfig, changed: Collection[str]) -> ModelConfig:
    """The settings of a model with those of the run in place of some: ``model.PART[.KEY]``."""
    data, asked = asdict(start), asdict(config.model)
    for key in sorted(changed):
        match key.split("."):
            case ["model", part] if part in data:
                # the same part once more says nothing of its settings
                if asked[part]["name"] != data[part]["name"]:
                    data[part] = asked[part]
            case ["model", part, name]:
                data[part][name] = asked[part][name]
            case ["model", *_]:
                raise ConfigError(f"{key}: with start_from, name model.PART or model.PART.KEY")
    try:
        return model_config_from_dict(data)
    except (dacite.DaciteError, ValueError) as error:
        raise ConfigError(f"start_from={config.start_from}: {error}") from error


def started_model(config: RunConfig, train: Sequence[Utterance]) -> TrainedModel:
    """The model that ``start_from`` names, to be trained on.

    Raises:
        ConfigError: its weights do not fit the settings. Weights that it lacks are no fault: they
            begin as those of a new model.
        InputError: it has no tokens for some characters of the training texts. Unknown words are
            no fault: models of words are made to meet them.
    """
    assert config.start_from is not None
    start = load_model(config.start_from)
    unknown = start.tokenizer.unknown(u.text for u in train)
    if unknown and start.tokenizer.unit == "characters":
        raise InputError(
            f"start_from={config.start_from}: this model cannot write "
            f"{' '.join(map(repr, list(unknown)[:20]))}, which the training texts hold; take these "
            "characters out of the texts, or take its encoder alone by start_with=encoder"
        )
    if config.model != start.config:
        network = make_network(config, len(start.tokenizer))
        _load(network, start.network.state_dict(), config)
        start = replace(start, network=network, config=config.model)
    info = {**facts_of(config, train), "started_from": start.info}
    return replace(start, info=info, calibration=None)  # how sure it is holds no longer


def with_encoder_of_start(model: TrainedModel, config: RunConfig) -> TrainedModel:
    """A new model whose features and encoder are those of the model that ``start_from`` names.

    The CTC head, too, if the tokens are the same: it would have to learn the very same again.

    Raises:
        ConfigError: its weights do not fit the settings.
    """
    assert config.start_from is not None
    start = load_model(config.start_from)
    parts: tuple[str, ...] = ("features.", "encoder.")
    if _tokens(start) == _tokens(model):
        parts += ("ctc.",)
    else:
        note("the CTC head begins anew, since the tokens are others")
    weights = {k: v for k, v in start.network.state_dict().items() if k.startswith(parts)}
    _load(model.network, weights, config)
    return replace(model, info={**model.info, "encoder_started_from": start.info})


def _tokens(model: TrainedModel) -> tuple[str, ...]:
    """What each token writes: all that a CTC head knows of it."""
    return (model.tokenizer.KIND, *model.tokenizer.spellings)


def _load(network: AsrModel, weights: Mapping[str, Tensor], config: RunConfig) -> None:
    """Put weights of ``start_from`` into a network, which may have more of them."""
    try:
        left = network.load_state_dict(weights, strict=False).unexpected_keys
    except RuntimeError as error:  # PyTorch tells of sizes in this way
        raise _does_not_fit(config, str(error).splitlines()[-1].strip()) from None
    if left:
        raise _does_not_fit(config, f"there is no place for {left[0]}")


def _does_not_fit(config: RunConfig, reason: str) -> ConfigError:
    return ConfigError(
        f"start_from={config.start_from}: its weights do not fit the settings of the model that "
        f"were changed ({reason}); leave out the settings model.* that make it another kind of "
        "model or another size"
    )
