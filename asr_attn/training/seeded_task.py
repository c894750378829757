"""What all Lightning modules share: seeds, the learning rate and the norm of the gradient."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from asr_attn.settings import ScheduleConfig
from asr_attn.training.schedule import learning_rate_factor
from asr_attn.training.skipping import Cause, SkippedSteps


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
        self.skipped = SkippedSteps()
        self._cause = Cause()
        """Why the step that is being made cannot be made, as far as this process knows."""

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
        """Clip the norm, and see that there is a step to be made.

        Lightning refuses to clip with a fused optimizer, though bf16 is safe. The gradient is the
        mean over all processes here, so all of them skip a step or none does: one that is not
        finite, or one of no utterance at all. Optimizers leave weights without a gradient alone.

        Raises:
            InputError: too many steps were skipped; the weights are still those before the step.
        """
        limit = gradient_clip_val or float("inf")
        norm = float(torch.nn.utils.clip_grad_norm_(self.network.parameters(), limit))
        cause, self._cause = self._cause, Cause()
        if math.isfinite(norm) and norm > 0.0:
            self.skipped.made()
            return
        optimizer.zero_grad(set_to_none=True)
        if norm != 0.0:
            advice = f"lower optimizer.lr (now {optimizer.param_groups[0]['peak_lr']:g})"
            if self.trainer.precision != "32-true":
                advice += ", set trainer.precision=32-true"
            self.skipped.skip(self.trainer, cause, advice)

    def seed_step(self, batch_idx: int, *part: int) -> None:
        """Seed what is random in a batch of this process, or in a part of it."""
        seeds = np.random.SeedSequence(
            [self.seed, self.current_epoch, batch_idx, self.global_rank, *part]
        ).generate_state(2)
        torch.manual_seed((int(seeds[0]) << 31) + int(seeds[1]))

    def progress_at(self, batch_idx: int) -> float:
        """Share of the training that is over, 0 to 1."""
        batches = max(float(self.trainer.num_training_batches), 1.0)
        return min((self.current_epoch + batch_idx / batches) / self.epochs, 1.0)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the step and set its learning rate."""
        self.seed_step(batch_idx)
        factor = learning_rate_factor(self.schedule, self.global_step, self.progress_at(batch_idx))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["peak_lr"] * factor
