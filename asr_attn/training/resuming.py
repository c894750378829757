"""Resuming a run: its settings, what of them may change, and its saved state."""

import dataclasses
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from asr_attn.config import CONFIG_FILE, save_settings
from asr_attn.errors import ConfigError, InputError
from asr_attn.shell import setting
from asr_attn.training.checkpoints import RESUME_FILE, check_resume_file
from asr_attn.training.processes import note
from asr_attn.training.trainer import C, with_precision

MANIFESTS = ("data.train", "data.also_train", "data.dev", "data.test")
PATHS = {
    "data.folder",
    *MANIFESTS,
    "augmentation.noise_folder",
    "search.lm",
    "start_from",
    "tokenizer.of",
}
"""Settings that name files or folders."""
RESUME_MAY_CHANGE = {
    *PATHS - {"start_from"},
    "data.loading.workers",
    "logger",
    *(
        f"trainer.{name}"
        for name in (
            "max_epochs",
            "max_time",
            "accelerator",
            "devices",
            "num_nodes",
            "strategy",
            "threads",
        )
    ),
}
"""Settings that may differ when a run is resumed, each with all that is below it. Data may lie
elsewhere by now; that it is the same is checked by ``provenance.check_same_data``."""


def resumed_settings(config: C, changed: Collection[str], load: Callable[[Path], C]) -> C:
    """Settings of the run to go on with; only how and where it is computed may be changed.

    Args:
        config: settings that name the run, and what is to be changed.
        changed: keys whose values are to be taken from ``config``.
        load: reads the settings of the run.

    Raises:
        ConfigError: there is no such run, or a key that may not be changed has another value.
        InputError: its data is not where it was, and no other place is named.
    """
    assert config.resume is not None
    folder = Path(config.resume)
    before = load(folder / CONFIG_FILE)
    before = replace(before, run_dir=config.resume)
    asked = _as_data(with_precision(config)), _as_data(before)
    named = set(changed) - {"resume"}
    new = {
        key for key in named if _value_at(asked[0], key, named) != _value_at(asked[1], key, named)
    }
    refused = sorted(key for key in new if not _may_change(key))
    if refused:
        may = sorted(key for key in RESUME_MAY_CHANGE if _has(before, key))
        raise ConfigError(
            f"{', '.join(refused)}: a resumed run keeps its settings; what may be changed is "
            f"{', '.join(may)}"
        )
    settings = before
    try:
        if "data.folder" in new:
            settings = _moved(settings, str(_get(config, "data.folder")))
        for key in sorted(new):
            settings = _with_value(settings, key, _get(config, key))
    except ValueError as error:  # what is changed does not go with what is not
        raise ConfigError(f"resume={folder}: {error}") from error
    _check_places(settings, folder)
    return replace(settings, resume=config.resume)


def _check_places(config: C, folder: Path) -> None:
    """Make sure that the data of a run is where its settings say.

    Raises:
        InputError: a manifest or a text is not; the sentence says how to name its new place.
    """
    if getattr(config.data, "digits", None) is not None:
        return  # made again where it is missing
    for key in MANIFESTS:
        value = _get(config, key) if _has(config, key) else None
        for name in value if isinstance(value, tuple) else (value,):
            if name is not None and not Path(name).is_file():
                raise InputError(
                    f"{key}={name}: there is no such file; if the data was moved, name its new "
                    f"place, as in {setting('resume', folder)} {key}=PATH"
                )


def check_saved_state(config: C) -> C:
    """See that a run can go on from what it has saved.

    Returns:
        The settings; where there is nothing to resume, without ``resume``: a run that was killed
        before it saved anything begins anew.

    Raises:
        ConfigError: its state is damaged, or it has nothing left to do.
    """
    if config.resume is None:
        return config
    folder = Path(config.resume)
    if not (folder / RESUME_FILE).exists():
        note(f"resume={folder}: nothing was saved yet, so it begins anew")
        return replace(config, resume=None)
    check_resume_file(folder / RESUME_FILE, config.trainer, config.callbacks.patience)
    return config


def save_run_settings(folder: Path, config: C) -> None:
    """Write the settings of a run into its folder, with paths that hold from everywhere."""
    config = with_absolute_paths(replace(config, resume=None, run_dir=str(folder)))
    save_settings(folder / CONFIG_FILE, config)


def with_absolute_paths(config: C) -> C:
    """The settings with absolute paths; what is no path, such as a model's name, stays."""
    for key in ("run_dir", *sorted(PATHS)):
        if _has(config, key):
            config = _with_value(config, key, _absolute(key, _get(config, key)))
    address = _absolute_address(config.logger.mlflow)
    return replace(config, logger=replace(config.logger, mlflow=address))


def _absolute_address(address: str | None) -> str | None:
    """An address of MLflow, which may be a file or a folder."""
    for kind in ("sqlite:///", "file:"):
        if address is not None and address.startswith(kind) and not address.startswith("file://"):
            return kind + str(Path(address.removeprefix(kind)).absolute())
    return address


def _absolute(key: str, value: Any) -> Any:
    if isinstance(value, tuple | list):
        return tuple(_absolute(key, one) for one in value)
    # start_from and tokenizer.of may be names of models of the package
    is_path = isinstance(value, str) and (key in ("run_dir", *MANIFESTS) or Path(value).exists())
    return str(Path(value).absolute()) if is_path else value


def _moved(config: C, folder: str) -> C:
    """The settings with another ``data.folder``, and with it the manifests that lie there."""
    before: str | None = _get(config, "data.folder")
    if before is None:
        return config

    def moved(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(moved, value))
        if value is None or not Path(value).is_relative_to(before):
            return value
        return str(Path(folder) / Path(value).relative_to(before))

    for key in MANIFESTS:
        config = _with_value(config, key, moved(_get(config, key)))
    return config


def _may_change(key: str) -> bool:
    return any(f"{key}.".startswith(f"{allowed}.") for allowed in RESUME_MAY_CHANGE)


def _as_data(config: Any) -> dict[str, Any]:
    """Settings as JSON has them, to be compared."""
    data: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(with_absolute_paths(config))))
    return data


def _value_at(data: dict[str, Any], key: str, named: Collection[str]) -> Any:
    """What a key sets: a value, or a group without the keys in it that are named as well.

    A key that no settings have, as ``experiment``, may set any of them.
    """
    names = key.split(".")
    found: Any = data
    for name in names:
        if not isinstance(found, dict) or name not in found:
            return dict(_leaves(data, "", {*named, "resume", "run_dir"}))
        found = found[name]
    return dict(_leaves(found, key, set(named) - {key}))


def _leaves(data: Any, key: str, without: Collection[str]) -> Iterator[tuple[str, Any]]:
    """All values below a key, with their keys, but for keys that are left out."""
    if key in without:
        return
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _leaves(value, f"{key}.{name}" if key else name, without)
    else:
        yield key, data


def _has(config: Any, key: str) -> bool:
    head, _, rest = key.partition(".")
    return hasattr(config, head) and (not rest or _has(getattr(config, head), rest))


def _get(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = getattr(config, name)
    return config


def _with_value(config: Any, key: str, value: Any) -> Any:
    """Settings with another value of one key."""
    head, _, rest = key.partition(".")
    new = _with_value(getattr(config, head), rest, value) if rest else value
    return replace(config, **{head: new})
