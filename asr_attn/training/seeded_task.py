"""What all Lightning modules share: seeds, the learning rate and the norm of the gradient."""

from collections.abc import Callable, Iterable
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from asr_attn.errors import InputError
from asr_attn.settings import ScheduleConfig
from asr_attn.training.schedule import learning_rate_factor


class SeededTask(pl.LightningModule):
    """A module whose resumed run does what an uninterrupted one would have done.

    Everything random in a step is seeded by the run's seed, the step and the process, and the
    learning rate is a function of the step. A subclass sets ``network``, which is trained.

    Args:
        schedule: learning rate.
        optimizer: makes the optimizer of the given parameters.
        seed: of the run.
        epochs: length of the training.
    """

    network: torch.nn.Module

    def __init__(
        self,
        schedule: ScheduleConfig,
        optimizer: Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer],
        seed: int,
        epochs: int,
    ) -> None:
        super().__init__()
        self.schedule = schedule
        self.make_optimizer = optimizer
        self.seed = seed
        self.epochs = epochs

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer of all parameters; its rate at this point is the peak."""
        optimizer = self.make_optimizer(self.network.parameters())
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
        return optimizer

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm here: Lightning refuses to with a fused optimizer, though bf16 is safe.

        Raises:
            InputError: the gradient is not finite; the weights are still those before the step.
        """
        limit = gradient_clip_val or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), limit)
        if not torch.isfinite(norm):
            raise InputError(
                f"the gradient is not finite at step {self.global_step}; lower optimizer.lr (now "
                f"{optimizer.param_groups[0]['peak_lr']:g}), or set trainer.precision=32-true"
            )

    def progress_at(self, batch_idx: int) -> float:
        """Share of the training that is over, 0 to 1."""
        batches = max(float(self.trainer.num_training_batches), 1.0)
        return min((self.current_epoch + batch_idx / batches) / self.epochs, 1.0)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the step and set its learning rate."""
        seeds = np.random.SeedSequence(
            [self.seed, self.current_epoch, batch_idx, self.global_rank]
        ).generate_state(2)
        torch.manual_seed((int(seeds[0]) << 31) + int(seeds[1]))
        factor = learning_rate_factor(self.schedule, self.global_step, self.progress_at(batch_idx))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["peak_lr"] * factor
