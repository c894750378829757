"""Model files: everything needed to transcribe, in one safetensors file.

The file holds the weights (feature statistics among them); its metadata holds, as JSON, the
format version, the settings of features and model, the tokenizer and the text normaliser, the
calibration of its confidence, and facts about the training. Loading it runs no pickled code.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import dacite
import safetensors
import safetensors.torch
import torch

from asr_attn.audio.features import FeaturesConfig
from asr_attn.errors import CheckpointError
from asr_attn.files import atomic_path, utf8_name
from asr_attn.models.asr import AsrModel, ModelConfig
from asr_attn.models.build import model_config_from_dict
from asr_attn.models.confidence import Calibration
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.text.tokenizer import Tokenizer, tokenizer_from_dict
from asr_attn.zoo import MODEL_FILE as MODEL_FILE
from asr_attn.zoo import model_file, packaged_models

FORMAT_VERSION = 1
_KEY = "asr_attn"
LEAST_SIMILARITY = 0.5
"""Of the weights of models of one training. The best four of a training of Mini LibriSpeech have
0.98 and more among them, those of two trainings with the same seed 0.33."""
_OF_ONE_MODEL = ("epoch", "dev_wer", "dev_cer")
"""How the names of facts begin that hold for a single model, and not for an average of it."""

T = TypeVar("T")


@dataclass(frozen=True)
class TrainedModel:
    """A network with what belongs to it.

    Attributes:
        network: the weights and how to use them.
        features: settings of the features.
        config: settings of the network.
        tokenizer: text to tokens and back.
        normalizer: how text was written in training.
        info: facts about the training (data, WER, version); JSON values only.
        calibration: how sure a word is; None until it is learnt on speech that was held out.
    """

    network: AsrModel
    features: FeaturesConfig
    config: ModelConfig
    tokenizer: Tokenizer
    normalizer: NormalizerConfig
    info: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None


def save_model(path: Path, model: TrainedModel, dtype: torch.dtype | None = None) -> None:
    """Write a model file; on any failure the file that was there before stays.

    Args:
        path: where to.
        model: what to write.
        dtype: of the weights in the file, such as ``torch.float16`` for one of half the size; their
            own when not given. A model that is read has float32.

    Raises:
        InputError: it cannot be written (full disk, no permission).
    """
    description = {
        "format": FORMAT_VERSION,
        "features": asdict(model.features),
        "model": asdict(model.config),
        "tokenizer": model.tokenizer.to_dict(),
        "normalizer": asdict(model.normalizer),
        "info": dict(model.info),
        "calibration": model.calibration.to_dict() if model.calibration else None,
    }
    tensors = {
        name: _cast(tensor.detach().cpu(), dtype).contiguous()
        for name, tensor in model.network.state_dict().items()
    }
    data = safetensors.torch.save(tensors, {_KEY: json.dumps(description, ensure_ascii=False)})
    with atomic_path(path) as scratch:
        scratch.write_bytes(data)


def _cast(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def load_model(path: str | Path, device: str | torch.device = "cpu") -> TrainedModel:
    """Read a model file, the model file of a run folder, or a model of the package.

    Args:
        path: a file written by ``save_model``, or a folder with ``model.safetensors`` in it, or
            else the name of one of ``zoo.packaged_models``.
        device: where to put the weights.

    Returns:
        The model, in evaluation mode.

    Raises:
        CheckpointError: it is missing, damaged, or not a model file of this project.
    """
    given, found = Path(path), model_file(Path(path))
    if found is None and given.is_dir():
        raise CheckpointError(
            f"{given}: this folder has no {MODEL_FILE}; name the model file, or the folder of "
            "a training run that has finished at least one validation"
        )
    if found is None:
        raise CheckpointError(
            f"{given}: there is no such model file; check the path, or name a model that comes "
            f"with asr_attn: {', '.join(packaged_models())}"
        )
    path = found
    description, tensors = _read(path)
    if any(t.is_floating_point() and not t.isfinite().all() for t in tensors.values()):
        raise CheckpointError(
            f"{path}: some of its weights are NaN or infinite; the training diverged or the file "
            "is damaged: use another model"
        )
    if description.get("format") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: has format version {description.get('format')}, but this asr_attn reads "
            f"version {FORMAT_VERSION}; use the asr_attn that wrote it, or a newer one"
        )
    try:
        features = _settings(FeaturesConfig, description["features"])
        config = model_config_from_dict(description["model"])
        tokenizer = tokenizer_from_dict(description["tokenizer"])
        normalizer = _settings(NormalizerConfig, description["normalizer"])
        learnt = description.get("calibration")  # models of before there was one have none
        calibration = None if learnt is None else Calibration.from_dict(learnt)
        network = AsrModel(features, config, len(tokenizer))
        network.load_state_dict(tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, RuntimeError, dacite.DaciteError) as error:
        raise CheckpointError(
            f"{path}: its settings and its weights do not fit together "
            f"({str(error).splitlines()[0]}); the file is damaged or was edited: get it again"
        ) from error
    network.to(device).eval()
    info = description.get("info")
    facts = info if isinstance(info, dict) else {}
    return TrainedModel(network, features, config, tokenizer, normalizer, facts, calibration)


def _settings(kind: type[T], data: Any) -> T:
    """Settings from plain data, which may hold nothing that the kind does not know."""
    if not isinstance(data, dict):
        raise TypeError(f"the settings of {kind.__name__} are not an object")
    return dacite.from_dict(kind, data, dacite.Config(strict=True, cast=[tuple]))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Description and weights of a model file."""
    try:
        with utf8_name(path) as name, safetensors.safe_open(name, framework="pt") as file:
            metadata = file.metadata() or {}
            if _KEY not in metadata:
                raise CheckpointError(
                    f"{path}: is a safetensors file, but not of asr_attn (it has no description "
                    "of features, model and tokenizer); name a file that asr_attn wrote"
                )
            description = json.loads(metadata[_KEY])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except PermissionError as error:
        raise CheckpointError(
            f"{path}: cannot be read: permission denied; ask its owner for access"
        ) from error
    except (safetensors.SafetensorError, OSError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path}: is not a whole model file (truncated, or of another kind); "
            "copy or download it again, or name the model.safetensors of a training run"
        ) from error
    if not isinstance(description, dict):
        raise CheckpointError(f"{path}: its description is damaged; get the file again")
    return description, tensors


def average_models(
    paths: Sequence[Path], device: str | torch.device = "cpu", strict: bool = False
) -> TrainedModel:
    """One model whose weights are the means of those of several, such as the best of a training.

    See P. Izmailov et al. 2018, "Averaging weights leads to wider optima and better
    generalization".

    Args:
        paths: model files or folders of runs, at least one.
        device: where to put the weights.
        strict: refuse models that are not of one training, whose average would recognise nothing,
            and the same weights twice.

    Returns:
        The model, in evaluation mode. It has no calibration, and of the facts about the training
        only those that hold for all of them and for the average, and their number as ``averaged``.

    Raises:
        CheckpointError: one cannot be read, they are not of one kind (settings, tokenizers or
            normalisers differ), or they are refused.
    """
    first = load_model(paths[0])
    totals = {name: value.double() for name, value in first.network.state_dict().items()}
    info = dict(first.info)
    seen = {_digest(first): paths[0]}
    for path in paths[1:]:
        other = load_model(path)
        if difference := _difference(first, other):
            raise CheckpointError(
                f"{path}: cannot be averaged with {paths[0]}: their {difference} differ; name "
                "models of one training"
            )
        if strict and (same := seen.setdefault(_digest(other), path)) is not path:
            raise CheckpointError(f"{path}: has the same weights as {same}; name each model once")
        if strict and (similarity := weight_similarity(first, other)) < LEAST_SIMILARITY:
            raise CheckpointError(
                f"{path}: is of another training than {paths[0]} (the cosine similarity of their "
                f"weights is {similarity:.2f}), and their average would recognise nothing; name "
                "models of one training"
            )
        for name, value in other.network.state_dict().items():
            totals[name] += value
        info = {key: value for key, value in info.items() if other.info.get(key) == value}
    weights = {name: total / len(paths) for name, total in totals.items()}
    first.network.load_state_dict(weights)
    first.network.to(device)
    info = {key: value for key, value in info.items() if not key.startswith(_OF_ONE_MODEL)}
    return replace(first, info={**info, "averaged": len(paths)}, calibration=None)


def weight_similarity(one: TrainedModel, other: TrainedModel) -> float:
    """Cosine similarity of the weights of two models of one kind.

    Vectors are left out: as scales and shifts they begin alike in every training.
    """
    pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
    products = torch.zeros(3, dtype=torch.float64)
    for a, b in ((a.detach().double(), b.detach().double()) for a, b in pairs if a.dim() > 1):
        products += torch.stack([(a * b).sum(), (a * a).sum(), (b * b).sum()])
    inner, mine, others = products.tolist()
    return float(inner / max(mine * others, 1e-300) ** 0.5)


def _digest(model: TrainedModel) -> bytes:
    """The same for the same weights."""
    digest = hashlib.sha256()
    for value in model.network.state_dict().values():
        digest.update(value.contiguous().numpy().tobytes())
    return digest.digest()


def _difference(one: TrainedModel, other: TrainedModel) -> str | None:
    """The first setting that two models do not share."""
    for part in ("features", "config"):
        mine, others = getattr(one, part), getattr(other, part)
        for setting in fields(mine):
            if getattr(mine, setting.name) != getattr(others, setting.name):
                kind = "model" if part == "config" else part
                return f"settings {kind}.{setting.name}"
    if one.tokenizer.to_dict() != other.tokenizer.to_dict():
        return "tokenizers"
    return "normalizers" if one.normalizer != other.normalizer else None
