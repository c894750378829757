"""Files of neural language models: one safetensors file with everything that is needed to use one.

The metadata hold, as JSON, the format version, the settings of the network, the tokenizer, the
text normaliser and facts about the training. Loading it runs no pickled code.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dacite
import safetensors
import safetensors.torch
import torch

from asr_attn.errors import CheckpointError
from asr_attn.files import atomic_path, utf8_name
from asr_attn.lm.neural import TrainedLm, lm_config_from_dict, make_lm
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.text.tokenizer import tokenizer_from_dict

FORMAT_VERSION = 1
_KEY = "asr_attn_language_model"
_RECOGNISER_KEY = "asr_attn"
LM_FILE = "language_model.safetensors"
"""Its name in the folder of a run."""
_TRAIN = "python train.py task=lm"


def is_neural(path: Path) -> bool:
    """Whether a path is the folder of a run or a safetensors file, by its name or its content."""
    if path.is_dir() or path.suffix.lower() == ".safetensors":
        return True
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError:
        return False
    # eight bytes of length and a JSON object; the first line of an ARPA file is other text
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size


def save_lm(path: Path, model: TrainedLm) -> None:
    """Write a model file; on any failure the file that was there before stays.

    Raises:
        InputError: it cannot be written (full disk, no permission).
    """
    description = {
        "format": FORMAT_VERSION,
        "model": asdict(model.config),
        "tokenizer": model.tokenizer.to_dict(),
        "normalizer": asdict(model.normalizer),
        "info": dict(model.info),
    }
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.network.state_dict().items()
    }
    data = safetensors.torch.save(tensors, {_KEY: json.dumps(description, ensure_ascii=False)})
    with atomic_path(path) as scratch:
        scratch.write_bytes(data)


def load_lm(path: Path, device: str | torch.device = "cpu") -> TrainedLm:
    """Read a model file, or the model file of a run folder.

    Args:
        path: a file written by ``save_lm``, or a folder with ``language_model.safetensors`` in it.
        device: where to put the weights.

    Returns:
        The model, in evaluation mode.

    Raises:
        CheckpointError: it is missing, damaged, or not a language model of this project.
    """
    if path.is_dir():
        if not (path / LM_FILE).is_file():
            raise CheckpointError(
                f"{path}: this folder has no {LM_FILE}; name a language model's file, or the "
                f"folder of a run of {_TRAIN} that has finished at least one validation"
            )
        path = path / LM_FILE
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such language model; check the path")
    description, tensors = _read(path)
    if description.get("format") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: has format version {description.get('format')}, but this asr_attn reads "
            f"version {FORMAT_VERSION}; use the asr_attn that wrote it, or a newer one"
        )
    if any(t.is_floating_point() and not t.isfinite().all() for t in tensors.values()):
        raise CheckpointError(
            f"{path}: some of its weights are NaN or infinite; the training diverged or the file "
            "is damaged: use another model"
        )
    model = _assemble(path, description, tensors)
    model.network.to(device).eval()
    return model


def _assemble(
    path: Path, description: dict[str, Any], tensors: dict[str, torch.Tensor]
) -> TrainedLm:
    try:
        config = lm_config_from_dict(description["model"])
        tokenizer = tokenizer_from_dict(description["tokenizer"])
        normalizer = dacite.from_dict(
            NormalizerConfig,
            description["normalizer"],
            dacite.Config(strict=True, cast=[tuple]),
        )
        network = make_lm(config, len(tokenizer))
        network.load_state_dict(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        dacite.DaciteError,
    ) as error:
        raise CheckpointError(
            f"{path}: its settings and its weights do not fit together "
            f"({str(error).splitlines()[0]}); the file is damaged or was edited: get it again"
        ) from error
    info = description.get("info")
    return TrainedLm(network, config, tokenizer, normalizer, info if isinstance(info, dict) else {})


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Description and weights of a model file."""
    try:
        with utf8_name(path) as name, safetensors.safe_open(name, framework="pt") as file:
            metadata = file.metadata() or {}
            if _KEY not in metadata:
                found = "a recogniser" if _RECOGNISER_KEY in metadata else "a file of another kind"
                raise CheckpointError(
                    f"{path}: is {found}, not a language model of asr_attn; train one with {_TRAIN}"
                )
            description = json.loads(metadata[_KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except PermissionError as error:
        raise CheckpointError(
            f"{path}: cannot be read: permission denied; ask its owner for access"
        ) from error
    except (safetensors.SafetensorError, OSError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path}: is not a whole language model (truncated, or of another kind); copy or "
            f"download it again, or name the {LM_FILE} of a run of {_TRAIN}"
        ) from error
    if not isinstance(description, dict):
        raise CheckpointError(f"{path}: its description is damaged; get the file again")
    return description, tensors
