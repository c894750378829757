"""How long a run will still take."""

import time
from collections.abc import Callable, Sequence


class TimeLeft:
    """Estimates the time to the end of a run from the latest epochs.

    Epochs differ in length where short examples come first, so each counts by its seconds of
    speech. Validation is counted by how long the last one took. What a run does after its last
    epoch is not counted.

    Args:
        clock: gives the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._sizes: Sequence[float] = ()
        self._every = 1
        self._epoch = 0
        self._began = self._latest = 0.0
        self._begun_at = self._share = 0.0
        self._spent: list[tuple[float, float]] = []
        """Work and seconds of training, of the epoch before and of this one."""
        self._validation = 0.0
        self._over = False

    def begin_epoch(self, epoch: int, sizes: Sequence[float], validate_every: int) -> None:
        """An epoch begins.

        Args:
            epoch: its number, from 0.
            sizes: of all epochs, in any unit.
            validate_every: epochs from one validation to the next.
        """
        self._epoch, self._sizes, self._every = epoch, sizes, validate_every
        self._spent = [*self._spent[-1:], (0.0, 0.0)]
        self._began = self._latest = self.clock()
        self._share, self._over = 0.0, False

    def trained(self, batch: int, batches: int) -> None:
        """A batch is done; in a resumed epoch the first one may have any number.

        Args:
            batch: its number in the epoch, from 0.
            batches: in the epoch.
        """
        if self._spent[-1] == (0.0, 0.0):
            self._begun_at = batch / batches
        self._share = (batch + 1) / batches
        self._latest = self.clock()
        work = (self._share - self._begun_at) * self._sizes[self._epoch]
        self._spent[-1] = (work, self._latest - self._began)

    def end_epoch(self, validated: bool) -> None:
        """The epoch is over, with its validation if there was one."""
        self._over = True
        if validated:
            self._validation = self.clock() - self._latest

    def seconds(self) -> float | None:
        """Seconds to the end of the run; None before anything is known."""
        work = sum(spent[0] for spent in self._spent)
        if not work:
            return None
        rate = sum(spent[1] for spent in self._spent) / work
        sizes, over = self._sizes, self._epoch + self._over
        left = (1.0 - self._share) * sizes[self._epoch] + sum(sizes[self._epoch + 1 :])
        validations = len(sizes) // self._every - over // self._every
        return rate * left + validations * self._validation


def in_words(seconds: float) -> str:
    """A time to come, as exact as it is known."""
    minutes = round(seconds / 60)
    if seconds < 50:
        return "less than a minute"
    if minutes < 60:
        return f"about {minutes} min"
    if minutes < 24 * 60:
        return f"about {minutes // 60} h {minutes % 60 // 5 * 5} min"
    return f"about {minutes // 1440} days {minutes % 1440 // 60} h"
