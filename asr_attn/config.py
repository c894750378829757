"""From Hydra's config to plain settings: schemas, typed errors, and the way back from JSON."""

import dataclasses
import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import dacite
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from asr_attn.errors import ConfigError
from asr_attn.files import atomic_path
from asr_attn.limits import check_numbers
from asr_attn.lm.neural import NEURAL_LMS, NeuralLmConfig, lm_config_from_dict
from asr_attn.lm_settings import LmRunConfig
from asr_attn.models.asr import ModelConfig
from asr_attn.models.build import model_config_from_dict
from asr_attn.models.decoders import DECODERS
from asr_attn.models.encoders import ENCODERS
from asr_attn.nn.attention import ATTENTIONS
from asr_attn.settings import AdamWConfig, OptimizerConfig, RunConfig

CONFIG_FILE = "config.json"
MODEL_PARTS = ("model.encoder=", "model.attention=", "model.decoder=")
LM_GROUP = "lm_model@model"
OPTIMIZERS: dict[str, type[OptimizerConfig]] = {"adamw": AdamWConfig}
TASKS = {"asr": "train", "lm": "lm"}
"""What can be trained, and the name of its settings in ``conf/``."""

C = TypeVar("C", RunConfig, LmRunConfig)


def register_schemas() -> None:
    """Tell Hydra what keys and types there are, so that a mistake fails when it composes."""
    store = ConfigStore.instance()
    schema = _unlocked(RunConfig)
    for part, table in (
        ("encoder", ENCODERS),
        ("attention", ATTENTIONS),
        ("decoder", DECODERS),
    ):
        schema.model[part] = MISSING  # its class depends on the name that is chosen
        for name, (_, default) in table.items():
            store.store(group=f"model/{part}", name=name, node=_unlocked(default))
    store.store(name="schema", node=schema)
    _register_optimizers()


def register_lm_schemas() -> None:
    """As ``register_schemas``, for the settings of a language model."""
    store = ConfigStore.instance()
    schema = _unlocked(LmRunConfig)
    schema.model = MISSING
    for name, (_, default) in NEURAL_LMS.items():
        store.store(group="lm_model", name=name, node=_unlocked(default))
    store.store(name="lm_schema", node=schema)
    _register_optimizers()


def _register_optimizers() -> None:
    for name, optimizer_class in OPTIMIZERS.items():
        node = _unlocked(optimizer_class)
        ConfigStore.instance().store(group="optimizer", name=name, node=node)


def _unlocked(schema: Any) -> DictConfig:
    """A schema that may be changed: OmegaConf makes frozen dataclasses read-only."""
    config: DictConfig = OmegaConf.structured(schema)
    _clear_readonly(config)
    return config


def _clear_readonly(node: DictConfig | ListConfig) -> None:
    OmegaConf.set_readonly(node, None)
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
        for key in node:
            child = node._get_node(key)
            if isinstance(child, DictConfig | ListConfig):
                _clear_readonly(child)


def resolve(config: DictConfig) -> RunConfig:
    """Turn a composed config into settings; nothing of Hydra travels further.

    Raises:
        ConfigError: values of the wrong kind, or that do not go together.
    """
    return settings_from_dict(_plain(config), RunConfig)


def resolve_lm(config: DictConfig) -> LmRunConfig:
    """As ``resolve``, for the settings of a language model."""
    return settings_from_dict(_plain(config), LmRunConfig)


def _plain(config: DictConfig) -> dict[str, Any]:
    data = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(data, dict)
    return {str(key): value for key, value in data.items()}


def settings_from_dict(data: Mapping[str, Any], kind: type[C]) -> C:
    """Build settings of a kind from plain data.

    Raises:
        ConfigError: a key, a type or a value that does not belong there.
    """
    hooks: dict[type[Any], Callable[[Any], Any]] = {
        ModelConfig: model_config_from_dict,
        NeuralLmConfig: lm_config_from_dict,
    }
    try:
        check_numbers(data)  # before anything is computed with them
        return dacite.from_dict(
            kind, dict(data), dacite.Config(strict=True, cast=[tuple], type_hooks=hooks)
        )
    except (dacite.DaciteError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error


def save_settings(path: Path, config: RunConfig | LmRunConfig) -> None:
    """Write settings as JSON."""
    text = json.dumps(dataclasses.asdict(config), indent=2, ensure_ascii=False)
    with atomic_path(path) as scratch:
        # of a path that is no UTF-8, the escape of JSON comes back as it was
        scratch.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def load_settings(path: Path) -> RunConfig:
    """Read settings that ``save_settings`` wrote.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    return settings_from_dict(_read_json(path), RunConfig)


def load_lm_settings(path: Path) -> LmRunConfig:
    """As ``load_settings``, for the settings of a language model."""
    return settings_from_dict(_read_json(path), LmRunConfig)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; name the folder of a run") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as settings of a run ({error})") from error


def valid_keys(config: DictConfig, prefix: str = "") -> list[str]:
    """All dotted keys of a config."""
    keys = []
    for key in config:
        node = config._get_node(key)
        name = prefix + str(key)
        keys.append(name)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            keys.extend(valid_keys(node, f"{name}."))
    return keys


def nearest(key: str, valid: Iterable[str]) -> str | None:
    """The valid key that ``key`` most likely was meant to be."""
    valid = list(valid)
    close = difflib.get_close_matches(key, valid, n=1, cutoff=0.6)
    if close:
        return close[0]
    by_leaf = {name.rsplit(".", 1)[-1]: name for name in reversed(valid)}
    leaf = difflib.get_close_matches(key.rsplit(".", 1)[-1], by_leaf, n=1, cutoff=0.7)
    return by_leaf[leaf[0]] if leaf else None


def task_of(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """What is to be trained: what ``task=NAME`` says, or else what the run to resume trains.

    Args:
        arguments: of the command line.

    Returns:
        The name, and the arguments without ``task=asr``, which settings do not hold.

    Raises:
        ConfigError: there is no such task, or the run to resume has another one.
    """
    named = _last_value("task", arguments)
    if named is not None and named not in TASKS:
        raise ConfigError(f"task={named}: there is no such task; known: {', '.join(TASKS)}")
    resumed = _task_of_run(_last_value("resume", arguments))
    if named is not None and resumed not in (None, named):
        raise ConfigError(f"task={named}: the run to resume is one of task={resumed}")
    task = named or resumed or "asr"
    return task, [a for a in arguments if task != "asr" or a != "task=asr"]


def _last_value(key: str, arguments: Sequence[str]) -> str | None:
    given = [argument for argument in arguments if argument.startswith(f"{key}=")]
    if not given:
        return None
    try:
        value = OverridesParser.create().parse_overrides(given[-1:])[0].value()
    except OverrideParseException:  # is explained later
        value = None
    return value if isinstance(value, str) else given[-1].partition("=")[2]


def _task_of_run(folder: str | None) -> str | None:
    """The task of a run; None where there is no run, which is explained later."""
    if folder is None:
        return None
    try:
        data = _read_json(Path(folder) / CONFIG_FILE)
    except ConfigError:
        return None
    task = data.get("task", "asr") if isinstance(data, dict) else None
    return task if task in TASKS else None


def name_groups(arguments: Sequence[str], task: str = "asr") -> list[str]:
    """Write groups as Hydra has them.

    ``model.attention=NAME`` is ``model/attention=NAME`` and so are its kin; ``model=NAME`` of a
    language model is a group of its own.

    Args:
        arguments: of the command line.
        task: what is trained.
    """
    if task == "lm":
        return [
            argument.replace("model", LM_GROUP, 1) if argument.startswith("model=") else argument
            for argument in arguments
        ]
    return [
        argument.replace(".", "/", 1) if argument.startswith(MODEL_PARTS) else argument
        for argument in arguments
    ]


def written_name(key: str) -> str:
    """The key as a user writes it, of one that ``name_groups`` may have changed."""
    return key.lstrip("+~").replace(LM_GROUP, "model").replace("/", ".")


def check_overrides(arguments: Sequence[str], conf: Path, task: str = "asr") -> None:
    """Compose the config once before Hydra does, to explain a mistake in one sentence.

    Args:
        arguments: of the command line, with groups as ``name_groups`` writes them.
        conf: folder of the configs.
        task: what is trained.

    Raises:
        ConfigError: an unknown key or group, or a value of the wrong type.
    """
    flags = [a for a in arguments if a.startswith("-")]
    if any(flag not in ("-m", "--multirun") for flag in flags):
        return  # --help, --cfg and their kin are Hydra's own
    overrides = [a for a in arguments if not a.startswith("-")]
    with initialize_config_dir(str(conf), version_base="1.3"):
        try:
            chosen = [_first_choice(o, sweep=bool(flags)) for o in overrides]
            config = compose(TASKS[task], overrides=chosen)
            _ = resolve(config) if task == "asr" else resolve_lm(config)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(_explain(error, overrides, conf, task)) from error


def is_by_clock(config: DictConfig, key: str) -> bool:
    """Whether a setting holds the time of the start, as names of folders do by themselves."""
    return "${now:" in str(OmegaConf.to_container(config, resolve=False)[key])  # type: ignore[index, call-overload]


def sweep_folder_by_clock(arguments: Sequence[str], conf: Path, task: str) -> Path | None:
    """The folder of a sweep, as the time names it; None if there is no sweep, or it has a name.

    Args:
        arguments: of the command line, as ``check_overrides`` has accepted them.
        conf: folder of the configs.
        task: what is trained.
    """
    if not {"-m", "--multirun"} & set(arguments):
        return None
    overrides = [_first_choice(a, sweep=True) for a in arguments if not a.startswith("-")]
    with initialize_config_dir(str(conf), version_base="1.3"):
        config = compose(TASKS[task], overrides=overrides, return_hydra_config=True)
    sweep = config.hydra.sweep
    return Path(sweep.dir) if is_by_clock(sweep, "dir") else None


def _first_choice(override: str, sweep: bool) -> str:
    """``key=a`` for the sweep ``key=a,b``."""
    parsed = OverridesParser.create().parse_overrides([override])[0]
    if not parsed.is_sweep_override():
        return override
    if not sweep:
        written = override.replace(LM_GROUP, "model")
        raise ConfigError(f"{written}: several values are several runs; add --multirun")
    if parsed.is_interval_sweep():  # of a sweeper that draws numbers
        interval = parsed.value()
        assert isinstance(interval, IntervalSweep)
        return f"{override.partition('=')[0]}={interval.start}"
    value = next(iter(parsed.sweep_string_iterator()))
    return f"{override.partition('=')[0]}={value}"


def _explain(error: Exception, overrides: Sequence[str], conf: Path, task: str) -> str:
    """One sentence for what Hydra raised."""
    if isinstance(error, OverrideParseException):
        return f"{error.override}: is not a setting; write KEY=VALUE"
    if isinstance(error, MissingConfigException):
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        group = "model" if group == "lm_model" else group
        choices = list(error.options or [])
        if group.endswith("hydra/sweeper"):
            return f"hydra/sweeper={name}: needs the package hydra-{name}-sweeper; pip install it"
        near = difflib.get_close_matches(name, choices, n=1)
        hint = f"; did you mean {near[0]}?" if near else ";"
        return f"{group}={name}: there is no such choice{hint} known: {', '.join(choices)}"
    cause = error.__cause__ or error
    text = str(cause).splitlines()[0]
    if isinstance(error, ConfigCompositionException) and text.startswith("Could not override"):
        group = text.split("'")[1]
        return f"{group}=...: has no choices here; see python train.py task={task} --help"
    if text.startswith("Unexpected type for root"):  # OmegaConf cannot set a part that is null
        deep = [written_name(o.split("=")[0]) for o in overrides if o.split("=")[0].count(".") > 1]
        return f"{', '.join(deep)}: belongs to a part that is null here; leave it out"
    key: str | None = getattr(cause, "full_key", None)
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) or "not in" in text:
        known = valid_keys(compose(TASKS[task]))
        keys = [o.split("=")[0] for o in overrides]
        groups = [k for k in keys if (conf / k.partition("@")[0]).is_dir()]
        own = [k for k in keys if k not in groups and not k.startswith(("hydra.", "hydra/"))]
        asked = [written_name(k) for k in own]
        wrong = next((k for k in asked if k not in known), key or text)
        key = nearest(wrong, known)
        hint = f"; did you mean {key}?" if key else f"; see python train.py task={task} --help"
        return f"there is no setting {wrong}{hint}"
    return f"{key}: {text}" if key else text
