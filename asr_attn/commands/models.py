"""``asr-attn models``, ``average`` and ``pack``: packaged models, and files made of model files."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from asr_attn.commands.terminal import opened, refuse_overwriting, say
from asr_attn.errors import InputError
from asr_attn.zoo import MODEL_FILE, model_card, model_file, packaged_model, packaged_models

if TYPE_CHECKING:
    from asr_attn.checkpoint import TrainedModel


def models(args: argparse.Namespace) -> int:
    """List the models, or show the card of one; returns the exit code.

    Raises:
        InputError: there is no model of that name.
    """
    names = packaged_models()
    if args.name is not None and args.name not in names:
        raise InputError(
            f"{args.name}: no model of that name comes with asr_attn; there are: {', '.join(names)}"
        )
    chosen = names if args.name is None else [args.name]
    with opened(None) as stream:
        if args.format == "json":
            stream.write(json.dumps([_to_dict(name) for name in chosen], indent=2) + "\n")
        elif args.name is not None:
            stream.write(model_card(args.name))
        else:
            width = max(map(len, names), default=0)
            for name in names:
                size = _size(name) / 1e6
                stream.write(f"{name.ljust(width)}  {size:4.1f} MB  {_summary(model_card(name))}\n")
    return 0


def _to_dict(name: str) -> dict[str, object]:
    card = model_card(name)
    return {"name": name, "bytes": _size(name), "summary": _summary(card), "card": card}


def _size(name: str) -> int:
    path = packaged_model(name)
    return 0 if path is None else path.stat().st_size


def _summary(card: str) -> str:
    """The first paragraph of a card below its title, in one line."""
    return " ".join(card.split("\n\n")[1].split())


def pack(args: argparse.Namespace) -> int:
    """Write a model with weights of 16 bits; returns the exit code.

    Raises:
        CheckpointError: there is no such model.
        InputError: a weight is too large for 16 bits, or the file cannot be written or is the model
            itself.
    """
    import torch

    from asr_attn.checkpoint import load_model, save_model

    source: Path = args.checkpoint
    _check_output(args.output, [source])
    model = load_model(source)
    largest = torch.finfo(torch.float16).max
    for name, tensor in model.network.state_dict().items():
        if tensor.is_floating_point() and tensor.numel() and tensor.abs().max() > largest:
            raise InputError(
                f"{source}: its weight {name} has values above {largest:g}, the most that "
                "16 bits can hold; hand on the file as it is"
            )
    save_model(args.output, model, torch.float16)
    _report(args.output, model)
    return 0


def average(args: argparse.Namespace) -> int:
    """Write a model whose weights are the means of those of several; returns the exit code.

    Raises:
        CheckpointError: a model cannot be read, they are not of one training, or two are the same.
        InputError: there is one alone, or the file cannot be written or is one of them.
    """
    from asr_attn.checkpoint import average_models, save_model

    sources = [file for path in args.checkpoints for file in _model_files(path)]
    _check_output(args.output, sources)
    if len(sources) < 2:
        raise InputError(f"{sources[0]}: an average takes two models or more; name another one")
    model = average_models(sources, strict=True)
    save_model(args.output, model)
    _report(args.output, model)
    return 0


def _model_files(path: Path) -> list[Path]:
    """The file that is meant, or what a folder of models holds, as ``best/`` of a run does."""
    files = [] if (path / MODEL_FILE).is_file() else sorted(path.glob("*.safetensors"))
    if path.is_dir() and not files and model_file(path) is None:
        raise InputError(f"{path}: this folder has no model files; name best/ of a run, or files")
    return files or [path]


def _check_output(output: Path, sources: list[Path]) -> None:
    """Refuse to write a model over one that is read, or over a folder."""
    files = (file for source in sources if (file := model_file(source)) is not None)
    refuse_overwriting({"--output": output}, files)
    if output.is_dir():
        raise InputError(f"--output {output} is a folder; name a file, such as my.safetensors")


def _report(path: Path, model: "TrainedModel") -> None:
    size = path.stat().st_size / 1e6
    say(f"{path}: {model.network.parameter_count():,} parameters, {size:.1f} MB")
