"""What the processes of a run must agree on."""

import subprocess
import sys
from typing import Any, NoReturn, TypeVar, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_only

from asr_attn.errors import InputError

T = TypeVar("T")


def in_main_process() -> bool:
    """Whether this process is the first of a run, or the only one."""
    return bool(cast(Any, rank_zero_only).rank == 0)


def note(sentence: str) -> None:
    """Tell something on stderr, once for all processes: the main process does."""
    if in_main_process():
        print(f"note: {sentence}", file=sys.stderr, flush=True)


def any_process(trainer: pl.Trainer, flag: bool) -> bool:
    """Whether ``flag`` is set in any process; all of them must ask."""
    if trainer.world_size == 1:
        return flag
    return bool(trainer.strategy.reduce_boolean_decision(flag, all=False))


def of_all_processes(trainer: pl.Trainer, value: T) -> list[T]:
    """The values of all processes, in their order; all of them must ask."""
    if trainer.world_size == 1:
        return [value]
    values: list[T] = [value] * trainer.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def stop_together(trainer: pl.Trainer, error: InputError) -> NoReturn:
    """Raise an error that all processes have found at the same point; one of them tells it.

    Raises:
        InputError: in the main process.
        SystemExit: in the others.
    """
    if not trainer.is_global_zero:
        raise SystemExit(0)
    raise error


def end_other_processes(trainer: pl.Trainer) -> None:
    """End the processes that wait for this one, which has failed, before they notice and tell."""
    for process in getattr(trainer.strategy.launcher, "procs", []):
        if isinstance(process, subprocess.Popen):
            process.kill()
