"""The runs below a folder, and how good their models are."""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asr_attn.files import files_below

CONFIG_FILE, MODEL_FILE, METRICS_FILE = "config.json", "model.safetensors", "metrics.csv"


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        folder: of the run.
        settings: its settings, nested.
        epochs: that were trained.
        seconds: of training.
        wer: word error rate of its model on the validation set; None without a model.
        interval: 95 % interval of that; None for models that do not tell.
        cer: character error rate; None for models that do not tell.
        monitor: the error rate that its models were ranked by, "wer" or "cer".
    """

    folder: Path
    settings: Mapping[str, Any] = field(repr=False)
    epochs: int = 0
    seconds: float = 0.0
    wer: float | None = None
    interval: tuple[float, float] | None = None
    cer: float | None = None
    monitor: str = "wer"


def find_runs(root: Path, on_error: Callable[[OSError], None] | None = None) -> list[Run]:
    """All runs in a folder and the folders below it, the best first.

    They are ranked by CER if all models tell it and were chosen by it, else by WER. Links to
    folders are followed; a run that is reached in several ways is one.

    Args:
        root: the folder.
        on_error: is told of a folder that cannot be looked into, which is then left out.

    Raises:
        OSError: a folder cannot be looked into, and there is no ``on_error``.
    """
    configs = (path for path in files_below(root, on_error) if path.name == CONFIG_FILE)
    found = [read_run(path.parent) for path in sorted(configs)]
    runs = [run for run in found if run is not None]
    trained = [run for run in runs if run.wer is not None]
    by_cer = all(run.monitor == "cer" and run.cer is not None for run in trained)

    def rank(run: Run) -> tuple[bool, float, str]:
        return run.wer is None, (run.cer if by_cer else run.wer) or 0.0, str(run.folder)

    return sorted(runs, key=rank)


def read_run(folder: Path) -> Run | None:
    """A run; None if its settings are none of a recogniser's training."""
    try:
        settings = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(settings, dict) or "model" not in settings or "data" not in settings:
        return None
    rows = read_metrics(folder)
    info = _info(folder / MODEL_FILE)
    wer, cer, interval = (info.get(f"dev_{k}") for k in ("wer", "cer", "wer_interval"))
    return Run(
        folder,
        settings,
        len(rows),
        sum(float(row.get("seconds") or 0.0) for row in rows),
        float(wer) if isinstance(wer, int | float) else None,
        (float(interval[0]), float(interval[1])) if isinstance(interval, list) else None,
        float(cer) if isinstance(cer, int | float) else None,
        "cer" if info.get("monitor") == "cer" else "wer",
    )


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """Figures of the epochs of a run, as they are written; none where it has no file of them."""
    try:
        with (folder / METRICS_FILE).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError:
        return []


def _info(path: Path) -> dict[str, Any]:
    """Facts about the training of a model file; its weights are not read."""
    import safetensors

    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            info = json.loads((file.metadata() or {})["asr_attn"])["info"]
    except (OSError, ValueError, KeyError, safetensors.SafetensorError):
        return {}
    return info if isinstance(info, dict) else {}


def differences(runs: list[Run]) -> list[str]:
    """Dotted settings in which runs differ, those that only name the folder left out.

    What all runs have comes first, and of these the names of parts.
    """
    flat = [_flattened(run.settings) for run in runs]
    keys = sorted({key for settings in flat for key in settings} - {"run_dir", "resume"})
    found = [key for key in keys if len({json.dumps(s.get(key)) for s in flat}) > 1]
    everywhere = {key for key in found if all(key in settings for settings in flat)}
    return sorted(found, key=lambda key: (key not in everywhere, not key.endswith(".name"), key))


def setting_keys(runs: list[Run]) -> list[str]:
    """All dotted settings that some of the runs have."""
    return sorted({key for run in runs for key in _flattened(run.settings)})


def setting(run: Run, key: str) -> Any:
    """A dotted setting of a run; None where it has none."""
    return _flattened(run.settings).get(key)


def _flattened(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            found |= _flattened(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found
