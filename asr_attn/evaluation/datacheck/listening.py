"""Listening to all utterances, in several processes: levels, digests and fingerprints."""

import hashlib
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soxr
from numpy.typing import NDArray

from asr_attn.audio.reading import END_TOLERANCE, audio_duration, duration_and_rate, read_audio
from asr_attn.data.manifest import Utterance
from asr_attn.errors import AudioError, InputError
from asr_attn.evaluation.datacheck.fingerprint import RATE, SPEEDS, Words, fingerprint
from asr_attn.evaluation.datacheck.levels import Levels, measure_levels

_BATCH = 16
_WAITING_BATCHES = 4
# Fewer utterances are done before other processes have started
_FEW = 200

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Part:
    """A file or a part of it.

    Attributes:
        audio: the file.
        offset: seconds.
        duration: seconds; None is all that follows.
    """

    audio: Path
    offset: float
    duration: float | None


@dataclass(frozen=True, slots=True)
class Sound:
    """What was heard of an utterance.

    Attributes:
        fault: why the file cannot be read; "" if it can.
        rate: samples per second of the file.
        available: seconds from the offset to the end of the file; 0 or less if it begins there.
        levels: None if there is nothing to measure.
        digest: of the samples; the same for the same samples.
        words: fingerprints at each of `SPEEDS`; none of silence, or where they are not wanted.
        notes: what was done to the sound when it was read, to be put after a name.
    """

    fault: str = ""
    rate: int = 0
    available: float = 0.0
    levels: Levels | None = None
    digest: bytes = b""
    words: tuple[Words, ...] = ()
    notes: tuple[str, ...] = ()


def listen(utterances: Iterable[Utterance], jobs: int, fingerprints: bool) -> Iterator[Sound]:
    """Listen to utterances; the sounds come in their order.

    Args:
        utterances: whose audio is read.
        jobs: processes.
        fingerprints: whether to take them.

    Raises:
        InputError: a process was ended from outside.
    """
    parts = (Part(u.audio, u.offset, u.duration) for u in utterances)
    return in_processes(partial(hear, fingerprints=fingerprints), parts, jobs)


def hear(part: Part, fingerprints: bool) -> Sound:
    """Listen to one utterance: all that its file holds of it."""
    notes: list[str] = []
    try:
        seconds, rate = duration_and_rate(part.audio)
        available = seconds - part.offset
        if available <= 0:
            return Sound(rate=rate, available=available)
        duration = heard_duration(part, available)
        samples = read_audio(part.audio, rate, part.offset, duration, notes.append)
    except AudioError as error:
        return Sound(fault=str(error))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Sound(fault=f"{part.audio} cannot be read ({reason}).")
    levels = measure_levels(samples, rate)
    words: tuple[Words, ...] = ()
    if fingerprints and not levels.silent:
        low = samples if rate == RATE else soxr.resample(samples, rate, RATE, quality="MQ")
        words = tuple(fingerprint(low, speed) for speed in SPEEDS)
    digest = hashlib.blake2b(samples.tobytes(), digest_size=16, salt=b"%d" % rate).digest()
    return Sound("", rate, available, levels, digest, words, tuple(notes))


def heard_duration(part: Part, available: float) -> float | None:
    """Seconds to read; what lies past the end of the file is left out."""
    if part.duration is None or part.duration > available + END_TOLERANCE:
        return None
    return part.duration


def samples_of(part: Part) -> NDArray[np.float32]:
    """Samples of an utterance that was heard, at the rate of fingerprints."""
    available = audio_duration(part.audio) - part.offset
    return read_audio(part.audio, RATE, part.offset, heard_duration(part, available))


def in_processes(function: Callable[[T], R], items: Iterable[T], jobs: int) -> Iterator[R]:
    """Apply a function in several processes; the results come in the order of the items.

    Few items are read ahead, whatever their number.

    Raises:
        InputError: a process was ended from outside.
    """
    remaining = iter(items)
    if jobs > 1:
        few = list(islice(remaining, _FEW + 1))
        if len(few) > _FEW:
            batches = _batches(few, remaining)
            yield from _in_pool(partial(_apply, function), batches, jobs)
            return
        remaining = iter(few)
    yield from map(function, remaining)


def _batches(first: Sequence[T], rest: Iterator[T]) -> Iterator[list[T]]:
    for start in range(0, len(first), _BATCH):
        yield list(first[start : start + _BATCH])
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _apply(function: Callable[[T], R], batch: list[T]) -> list[R]:
    return [function(item) for item in batch]


def _in_pool(
    function: Callable[[list[T]], list[R]], batches: Iterator[list[T]], jobs: int
) -> Iterator[R]:
    waiting: deque[Future[list[R]]] = deque()
    context: Any = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            for batch in batches:
                waiting.append(pool.submit(function, batch))
                if len(waiting) >= _WAITING_BATCHES * jobs:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool:
            raise InputError(
                "a process that reads audio was ended from outside, perhaps for want of memory; "
                "run again with a smaller --jobs"
            ) from None
        finally:
            for future in waiting:
                future.cancel()
