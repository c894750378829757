"""Optimizer steps that are not made, since their loss or gradient is not finite."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import lightning.pytorch as pl

from asr_attn.errors import InputError
from asr_attn.training.incidents import listed, report
from asr_attn.training.processes import of_all_processes, stop_together

IN_A_ROW = 5
"""Steps skipped in a row after which a run stops."""


@dataclass(frozen=True)
class Cause:
    """Why a step is not made, as one process knows it.

    Attributes:
        names: ids of the utterances that are to blame, or that may be.
        fault: what the training cannot go on from; None to go on.
    """

    names: Sequence[str] = ()
    fault: str | None = None

    def joined(self, other: "Cause") -> "Cause":
        """Both causes: of two batches of one step."""
        return Cause([*self.names, *other.names], self.fault or other.fault)


@dataclass
class SkippedSteps:
    """Counts steps that were skipped, and stops a run that makes no other.

    Args:
        limit: steps in a row after which the run stops.
    """

    limit: int = IN_A_ROW
    in_a_row: int = 0
    total: int = 0
    names: list[str] = field(default_factory=list)
    """Of the steps in a row."""

    def skip(self, trainer: pl.Trainer, cause: Cause, advice: str) -> None:
        """Report a step that is not made. All processes are here: their gradients are the same.

        Args:
            trainer: of the run.
            cause: as this process knows it.
            advice: what to try when nothing else is done.

        Raises:
            InputError: the run cannot go on, or the limit is reached.
            SystemExit: the same, in other than the main process.
        """
        causes = of_all_processes(trainer, cause)
        for fault in (c.fault for c in causes if c.fault is not None):
            stop_together(trainer, InputError(fault))
        names = [name for c in causes for name in c.names]
        self.in_a_row += 1
        self.total += 1
        self.names += [name for name in names if name not in self.names]
        blamed = f"; it comes from {listed(names)}" if names else ""
        if trainer.is_global_zero:
            report(
                trainer,
                "not finite",
                f"step {trainer.global_step} was skipped, since its loss or gradient is not finite"
                + blamed,
                utterances=names,
                in_a_row=self.in_a_row,
            )
        if self.in_a_row >= self.limit:
            data = f", or mend or take out {listed(self.names)}" if self.names else ""
            stop_together(
                trainer,
                InputError(
                    f"{self.in_a_row} steps in a row, up to step {trainer.global_step}, had a loss "
                    f"or gradient that is not finite, so nothing is learnt any more (the weights "
                    f"are those from before); {advice}{data}"
                ),
            )

    def made(self) -> None:
        """A step was made."""
        self.in_a_row = 0
        self.names = []

    def state_dict(self) -> dict[str, int]:
        """What resuming needs, as builtins."""
        return {"in_a_row": self.in_a_row, "total": self.total}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Take up what ``state_dict`` gave."""
        self.in_a_row, self.total = state["in_a_row"], state["total"]
