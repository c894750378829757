"""``asr-attn models`` and ``asr-attn pack``: the models of the package, and making small ones."""

import argparse
import json
from pathlib import Path

from asr_attn.commands.terminal import opened, refuse_overwriting, say
from asr_attn.errors import InputError
from asr_attn.zoo import model_card, packaged_model, packaged_models


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

    from asr_attn.checkpoint import MODEL_FILE, load_model, save_model

    source: Path = args.checkpoint
    refuse_overwriting({"--output": args.output}, [source, source / MODEL_FILE])
    if args.output.is_dir():
        raise InputError(f"--output {args.output} is a folder; name a file, such as my.safetensors")
    model = load_model(source)
    largest = torch.finfo(torch.float16).max
    for name, tensor in model.network.state_dict().items():
        if tensor.is_floating_point() and tensor.numel() and tensor.abs().max() > largest:
            raise InputError(
                f"{source}: its weight {name} has values above {largest:g}, the most that "
                "16 bits can hold; hand on the file as it is"
            )
    save_model(args.output, model, torch.float16)
    size = args.output.stat().st_size / 1e6
    say(f"{args.output}: {model.network.parameter_count():,} parameters, {size:.1f} MB")
    return 0
