"""What a run was made with: programs, machine, code and data, in ``environment.json``."""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from asr_attn import __version__
from asr_attn.files import atomic_path

ENVIRONMENT_FILE = "environment.json"
_PACKAGES = ("torch", "torchaudio", "lightning", "hydra-core", "librosa", "jiwer", "numpy")


def describe_environment(manifests: Iterable[Path]) -> dict[str, Any]:
    """Versions, machine, state of the code, and a fingerprint of each manifest.

    Args:
        manifests: files whose bytes are hashed (SHA-256); audio is not read.
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
        "data": {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in manifests
            if path.is_file()
        },
    }


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


def save_environment(folder: Path, manifests: Iterable[Path]) -> None:
    """Write ``environment.json`` into the folder of a run; a resumed run adds to what was there."""
    path = folder / ENVIRONMENT_FILE
    try:
        before = json.loads(path.read_text(encoding="utf-8"))["sessions"]
    except (OSError, ValueError, KeyError, TypeError):
        before = []
    text = json.dumps({"sessions": [*before, describe_environment(manifests)]}, indent=2)
    with atomic_path(path) as scratch:
        scratch.write_text(text + "\n", encoding="utf-8")
