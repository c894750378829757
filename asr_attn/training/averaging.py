"""An exponential moving average of the weights, to be validated and kept instead of them."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from asr_attn.settings import ScheduleConfig
from asr_attn.training.seeded_task import SeededTask


class WeightAverage:
    """The average of a network's weights over its optimizer steps.

    After step ``n`` the average moves towards the weights by ``1 - d``, where ``d`` is ``decay``,
    or ``(1 + n) / (10 + n)`` while that is less: what the weights were at the start is soon
    forgotten. Feature statistics and other buffers are not averaged.

    Args:
        network: whose weights are averaged; they are where it is trained by now.
        decay: from 0 to below 1.
    """

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self.weights = [parameter.detach() for parameter in network.parameters()]
        self.decay = decay
        self.steps = 0
        self.values = [weight.clone() for weight in self.weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after an optimizer step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for value, weight in zip(self.values, self.weights, strict=True):
            value.lerp_(weight, 1.0 - decay)

    @torch.no_grad()
    def restart(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Forget what some weights were, which were set to something else and not trained to it."""
        places = {parameter.data_ptr() for parameter in parameters}
        for value, weight in zip(self.values, self.weights, strict=True):
            if weight.data_ptr() in places:
                value.copy_(weight)

    @torch.no_grad()
    def swap(self) -> None:
        """Put the average where the weights are, and the weights where the average is."""
        for weight, value in zip(self.weights, self.values, strict=True):
            kept = weight.clone()
            weight.copy_(value)
            value.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs."""
        return {"steps": self.steps, "values": self.values}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what ``state_dict`` gave."""
        self.steps = state["steps"]
        for value, saved in zip(self.values, state["values"], strict=True):
            value.copy_(saved)


class AveragedTask(SeededTask):
    """A task whose weights are averaged, if it is told to.

    The average stands in for the weights from the start of a validation until everything that
    belongs to it is done, the saving of the best models included.

    Args:
        schedule: learning rate.
        optimizer: makes the optimizer of the given parameters.
        seed: of the run.
        epochs: length of the training.
        ema: decay of the average per optimizer step; 0 makes none.
    """

    def __init__(
        self,
        schedule: ScheduleConfig,
        optimizer: Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer],
        seed: int,
        epochs: int,
        ema: float,
    ) -> None:
        super().__init__(schedule, optimizer, seed, epochs)
        self.ema = ema
        self.average: WeightAverage | None = None
        self._saved: dict[str, Any] | None = None

    def on_fit_start(self) -> None:
        """Begin the average, or go on with it."""
        if not self.ema:
            return
        average = WeightAverage(self.network, self.ema)
        if self._saved is not None:
            average.load_state_dict(self._saved)
            self._saved = None

        def update(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            # a step that is skipped has no gradients
            if any(parameter.grad is not None for parameter in self.network.parameters()):
                average.update()

        # not a hook of the task: callbacks that save the state would come before it
        self.trainer.optimizers[0].register_step_post_hook(update)
        self.average = average

    def on_validation_start(self) -> None:
        """Validate the average."""
        if self.average is not None:
            self.average.swap()

    def on_validation_end(self) -> None:
        """Train on; callbacks are done by now."""
        if self.average is not None:
            self.average.swap()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the average to the state to resume from."""
        if self.average is not None:
            checkpoint["ema"] = self.average.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the average until the network is where it is trained."""
        self._saved = checkpoint.get("ema")
