"""What a run was made with: programs, machine, code and data, in ``environment.json``."""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from asr_attn import __version__
from asr_attn.errors import InputError
from asr_attn.files import atomic_path

ENVIRONMENT_FILE = "environment.json"
_PACKAGES = ("torch", "torchaudio", "lightning", "hydra-core", "librosa", "jiwer", "numpy")


def describe_environment(
    manifests: Iterable[Path], fingerprints: Mapping[str, str]
) -> dict[str, Any]:
    """Versions, machine, state of the code, and fingerprints of the data.

    Args:
        manifests: files whose bytes are hashed (SHA-256); audio is not read.
        fingerprints: of what the data says, wherever it lies, by the setting that names it.
    """
    return {
        "asr_attn": __version__,
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "git": _git_state(),
        "data": {str(path.absolute()): _digest(path) for path in manifests if path.is_file()},
        "fingerprints": dict(fingerprints),
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _git_state() -> dict[str, Any] | None:
    """Commit of the checkout that this code lies in, and whether it was changed; None outside."""
    here = Path(__file__).resolve().parent
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(here), *arguments],
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            ).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno", "."])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": bool(changes)}


def save_environment(
    folder: Path, manifests: Iterable[Path], fingerprints: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write ``environment.json`` into the folder of a run; a resumed run adds to what was there.

    Args:
        folder: of the run.
        manifests: see ``describe_environment``.
        fingerprints: likewise.
    """
    sessions = [*_sessions(folder), describe_environment(manifests, fingerprints)]
    with atomic_path(folder / ENVIRONMENT_FILE) as scratch:
        scratch.write_text(json.dumps({"sessions": sessions}, indent=2) + "\n", encoding="utf-8")


def check_same_data(
    folder: Path, manifests: Mapping[str, Path], fingerprints: Mapping[str, str]
) -> None:
    """Make sure that a run that is resumed goes on with the data that it began with.

    Args:
        folder: of the run.
        manifests: by the setting that names them.
        fingerprints: see ``describe_environment``. Runs of versions without them know the bytes of
            their manifests.

    Raises:
        InputError: it is other data.
    """
    sessions = _sessions(folder)
    if not sessions:
        return
    first = sessions[0]
    if "fingerprints" in first:
        known = first["fingerprints"]
        other = [key for key, value in fingerprints.items() if known.get(key) != value]
    else:
        bytes_of = set(first.get("data", {}).values())
        other = [key for key, path in manifests.items() if _digest(path) not in bytes_of]
    for key in other:
        place = f"={manifests[key]}" if key in manifests else ""
        raise InputError(
            f"{key}{place}: this data has changed since the run began; put it back, name the place "
            "where the data of before lies now, or start a new run without resume"
        )


def _sessions(folder: Path) -> list[dict[str, Any]]:
    """What ``environment.json`` says of each start of a run; nothing if it cannot be read."""
    try:
        text = (folder / ENVIRONMENT_FILE).read_text(encoding="utf-8")
        sessions = json.loads(text)["sessions"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [one for one in sessions if isinstance(one, dict)] if isinstance(sessions, list) else []
