"""Batches that do not fit in memory: computed in parts, whose sum is the whole."""

import gc
import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from asr_attn.data.batches import Batch
from asr_attn.errors import InputError, is_out_of_memory

R = TypeVar("R")

SHRINK = 0.9
"""The new limit as a share of the seconds that did not fit."""


class DoesNotFitError(InputError):
    """A single utterance does not fit in memory."""

    def __init__(self, name: str, seconds: float, reason: str) -> None:
        super().__init__(
            f"{name}: this utterance of {seconds:.1f} s does not fit in memory even by itself "
            f"({reason}); cut it or take it out, make the model smaller, or set "
            "trainer.precision=bf16-mixed"
        )
        self.name = name


def rows_of(batch: Batch, rows: range) -> Batch:
    """Some utterances of a batch, padded to the longest of them."""
    lengths = batch.lengths[rows.start : rows.stop]
    width = int(lengths.max())
    return batch._replace(
        waveforms=batch.waveforms[rows.start : rows.stop, :width],
        lengths=lengths,
        texts=batch.texts[rows.start : rows.stop],
        ids=batch.ids[rows.start : rows.stop],
    )


class BatchSplitter:
    """Computes batches whole as long as they fit in memory, and in halves of halves where not.

    Args:
        sample_rate: of the batches.
        learnt: told of every lower limit: the seconds that did not fit, and the limit now.
        limit: seconds of audio, padding included, that are tried at once.
    """

    def __init__(
        self, sample_rate: int, learnt: Callable[[float, float], None], limit: float = math.inf
    ) -> None:
        self.sample_rate = sample_rate
        self.learnt = learnt
        self.limit = limit

    def run(self, batch: Batch, work: Callable[[Batch, range], R]) -> Iterator[R]:
        """Do the work on all utterances of a batch.

        Args:
            batch: of any size; an empty one gives nothing.
            work: takes utterances and their places in the batch. It is done again on parts of
                them after it ran out of memory, so it must leave nothing behind that counts.

        Yields:
            What the work gives, part by part in the order of the batch.

        Raises:
            DoesNotFitError: the work on one utterance does not fit.
        """
        if batch.ids:
            yield from self._run(batch, range(len(batch.ids)), work)

    def _run(self, batch: Batch, rows: range, work: Callable[[Batch, range], R]) -> Iterator[R]:
        part = batch if len(rows) == len(batch.ids) else rows_of(batch, rows)
        seconds = part.waveforms.numel() / self.sample_rate
        if seconds <= self.limit or len(rows) == 1:
            try:
                result = work(part, rows)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).partition(". ")[0].partition("\n")[0] or "no memory left"
            else:
                yield result
                return
            # out of the handler, whose error holds on to all that the attempt has made
            _release_memory()
            if len(rows) == 1:
                raise DoesNotFitError(part.ids[0], seconds, reason)
            self.limit = min(self.limit, SHRINK * seconds)
            self.learnt(seconds, self.limit)
        middle = (rows.start + rows.stop) // 2
        yield from self._run(batch, range(rows.start, middle), work)
        yield from self._run(batch, range(middle, rows.stop), work)


def _release_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
