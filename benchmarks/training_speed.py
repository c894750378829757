"""Where the time of training goes, on the machine at hand.

Trains on some batches of a data set as `train.py` does, with a clock around each part, and counts
what random numbers cost by torch's profiler.

Examples:
  python benchmarks/training_speed.py                      # synthetic digits, one thread
  python benchmarks/training_speed.py --threads 2 data=fsdd trainer.precision=32-true
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from hydra import compose, initialize_config_dir
from torch.profiler import ProfilerActivity, profile

from asr_attn.config import name_groups, register_schemas, resolve
from asr_attn.data.batches import TrainingBatches
from asr_attn.data.datamodule import SpeechData
from asr_attn.settings import RunConfig
from asr_attn.training import gradients
from asr_attn.training import task as steps
from asr_attn.training.run import set_up
from asr_attn.training.task import RecognizerTask
from asr_attn.training.trainer import precision_for, quiet_lightning

WARM_UP = 3
"""Batches that are not counted."""
CONF = Path(__file__).resolve().parents[1] / "conf"
RANDOM = (
    "aten::random_",
    "aten::bernoulli_",
    "aten::rand",
    "aten::uniform_",
    "aten::native_dropout",
)


class Clock:
    """Adds up the seconds spent in functions, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time counted to ``part``."""

        def run(*args: Any, **keywords: Any) -> Any:
            start = time.perf_counter()
            result = function(*args, **keywords)
            self.seconds[part] += time.perf_counter() - start
            return result

        return run

    def attach(self, task: RecognizerTask) -> None:
        """Put clocks around what a step of training is made of."""
        network: Any = task.network
        network.encode_layers = self.timed("features and encoder", network.encode_layers)
        network.decoder.forward = self.timed("decoder", network.decoder.forward)
        for name in ("attention_loss", "ctc_loss", "guided_attention_loss"):
            setattr(steps, name, self.timed("losses", getattr(steps, name)))
        make = task.make_optimizer

        def timed_optimizer(parameters: Any) -> torch.optim.Optimizer:
            optimizer: Any = make(parameters)
            update = optimizer.step

            @wraps(update)
            def step(closure: Any = None) -> Any:
                if closure is not None:  # Lightning's closure is forward and backward
                    closure()
                return self.timed("optimizer", update)()

            optimizer.step = step
            return cast(torch.optim.Optimizer, optimizer)

        task.make_optimizer = timed_optimizer
        gradients.gradients_of = self.timed("backward", gradients.gradients_of)
        clip = torch.nn.utils.clip_grad_norm_
        torch.nn.utils.clip_grad_norm_ = self.timed("clipping", clip)
        read: Any = TrainingBatches.__getitem__
        timed_read = self.timed("reading and varying audio", read)
        TrainingBatches.__getitem__ = timed_read  # type: ignore[method-assign]


class Window(pl.Callback):
    """Lets the clocks count from the end of the first batches to the end of the last.

    Args:
        clock: set to zero after the first batches.
        rate: samples per second.
    """

    def __init__(self, clock: Clock, rate: int) -> None:
        self.clock = clock
        self.rate = rate
        self.start = self.end = 0.0
        self.audio = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the time."""
        self.end = time.perf_counter()
        if batch_idx < WARM_UP:
            self.clock.seconds.clear()
            self.start, self.audio = self.end, 0.0
        else:
            self.audio += int(batch.lengths.sum()) / self.rate


def train(
    task: RecognizerTask, data: SpeechData, precision: str, batches: int, *callbacks: pl.Callback
) -> None:
    """Train on so many batches as `train.py` does."""
    with tempfile.TemporaryDirectory() as folder:
        pl.Trainer(
            accelerator="cpu",
            precision=precision,  # type: ignore[arg-type]
            max_epochs=1,
            limit_train_batches=batches,
            limit_val_batches=0,
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
        ).fit(task, datamodule=data)


def precision_of(config: RunConfig) -> str:
    """What `train.py` would compute in on a CPU."""
    return precision_for(replace(config.trainer, accelerator="cpu"))


def random_share(config: RunConfig) -> float:
    """Share of the processor's time that goes to drawing random numbers."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        train(*set_up(config), precision_of(config), 5)
    events = profiler.key_averages()
    total = float(sum(event.self_cpu_time_total for event in events))
    return float(sum(e.self_cpu_time_total for e in events if e.key in RANDOM)) / total


def settings(overrides: list[str]) -> RunConfig:
    """Settings as `train.py` would have them, without the curriculum: strings of all lengths."""
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        named = name_groups(["data.loading.curriculum=[]", *overrides])
        return resolve(compose("train", overrides=named))


def main() -> int:
    """Print a table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of train.py")
    parser.add_argument("--batches", type=int, default=40, help="to measure on (default: 40)")
    parser.add_argument("--threads", type=int, default=1, help="of computation (default: 1)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    quiet_lightning()
    config = settings(options.overrides)
    share = random_share(config)
    task, data = set_up(config)
    count = min(options.batches, len(data.plan(0)) - WARM_UP)
    clock = Clock()
    clock.attach(task)
    window = Window(clock, config.features.sample_rate)
    train(task, data, precision_of(config), WARM_UP + count, window)
    report(config, task, clock, window, count, options.threads)
    print(f"random numbers: {100 * share:.1f} % of the processor's time")
    return 0


def report(
    config: RunConfig, task: RecognizerTask, clock: Clock, window: Window, count: int, threads: int
) -> None:
    """Print what a batch's time is made of."""
    whole = window.end - window.start
    print(
        f"{config.data.name}: {task.network.parameter_count() / 1e6:.2f} M parameters, "
        f"{precision_of(config)}, {threads} thread(s), "
        f"{count} batches of {window.audio / count:.1f} s of audio"
    )
    rows = dict(clock.seconds)
    rows["Lightning, logging and the rest"] = whole - sum(rows.values())
    for name, seconds in [*rows.items(), ("in all", whole)]:
        print(f"  {name:<32} {1000 * seconds / count:8.1f} ms  {100 * seconds / whole:5.1f} %")
    outside = rows["Lightning, logging and the rest"] + rows["reading and varying audio"]
    print(f"seconds of audio per second: {window.audio / whole:.0f}")
    print(f"outside the model's own arithmetic: {100 * outside / whole:.1f} % of the time")


if __name__ == "__main__":
    sys.exit(main())
