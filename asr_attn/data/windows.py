"""Batches for recognition, in about the order of the recordings: results need not wait long."""

from collections.abc import Iterator, Sequence

from asr_attn.data.planning import plan_batches

WINDOW = 10
"""Full batches of audio in a window."""


def plan_in_order(
    durations: Sequence[float], batch_seconds: float, window: int = WINDOW
) -> Iterator[list[int]]:
    """Fill batches by seconds, padding included, from neighbours of similar duration.

    Recordings are sorted within windows only. What comes first in a window is in its first batch.

    Args:
        durations: seconds of each recording.
        batch_seconds: most seconds per batch, as in ``plan_batches``.
        window: batches' worth of seconds that are sorted together.

    Yields:
        Batches of indices.
    """
    start, seconds = 0, 0.0
    for end, duration in enumerate(durations, start=1):
        seconds += duration
        if seconds < window * batch_seconds and end < len(durations):
            continue
        batches = plan_batches(durations[start:end], batch_seconds, None)
        for batch in sorted(batches, key=min):
            yield [start + i for i in batch]
        start, seconds = end, 0.0
