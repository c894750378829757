"""What an epoch of training consists of: examples, their order and their batches.

A plan is a pure function of the utterances, the settings, the seed and the epoch. That makes it
the same when a run is resumed, and lets every process of a distributed run make the same plan and
take its own part of it.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asr_attn.data.manifest import Utterance


@dataclass(frozen=True)
class CurriculumStage:
    """Until a share of the training is over, examples have at most so many words."""

    until: float
    max_words: int

    def __post_init__(self) -> None:
        if not 0 < self.until <= 1 or self.max_words < 1:
            raise ValueError(
                "a stage of data.loading.curriculum needs 0 < until <= 1 and max_words >= 1, not "
                f"until={self.until}, max_words={self.max_words}"
            )


@dataclass(frozen=True)
class MixingConfig:
    """Making new utterances by joining pieces of recordings of one speaker."""

    share: float = 0.0
    """Share of the utterances that goes into the mix; the others stay as they were recorded."""
    max_words: int = 1
    """Most words of a mixed example."""
    gap_seconds: tuple[float, float] = (0.0, 0.0)
    """Range of the pause put between joined pieces, filled with their own background noise."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or self.max_words < 1:
            raise ValueError(
                "data.loading.mixing needs 0 <= share <= 1 and max_words >= 1, not "
                f"share={self.share}, max_words={self.max_words}"
            )
        if len(self.gap_seconds) != 2 or not 0 <= self.gap_seconds[0] <= self.gap_seconds[1]:
            raise ValueError(
                f"data.loading.mixing.gap_seconds is a range of seconds, not {self.gap_seconds}"
            )


@dataclass(frozen=True)
class LoadingConfig:
    """How utterances become batches."""

    batch_seconds: float = 80.0
    """Most seconds of speech as recorded in a batch, padding included; the pauses put between
    joined pieces, and playing slower, come on top."""
    workers: int = 0
    """Processes that read audio; 0 reads in the training process, best on few cores."""
    cut_at_pauses: bool = False
    """Locate the words of the training set by the pauses between them, where there is one after
    each, so that utterances can be cut and mixed from the start."""
    curriculum: tuple[CurriculumStage, ...] = ()
    """Short examples first: stages with a greatest number of words."""
    mixing: MixingConfig = MixingConfig()
    """New utterances from pieces of recordings."""

    def __post_init__(self) -> None:
        if self.batch_seconds <= 0 or self.workers < 0:
            raise ValueError("data.loading needs batch_seconds > 0 and workers >= 0")


@dataclass(frozen=True)
class Segment:
    """A stretch of one utterance.

    Attributes:
        utterance: index of the utterance.
        offset: seconds from the start of the utterance.
        duration: seconds.
        words: its text.
    """

    utterance: int
    offset: float
    duration: float
    words: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    """One training example: segments to be joined, and the seed of everything random in it."""

    segments: tuple[Segment, ...]
    seed: tuple[int, ...]

    @property
    def duration(self) -> float:
        """Seconds of speech as recorded, without the pauses put between segments."""
        return sum(segment.duration for segment in self.segments)

    @property
    def text(self) -> str:
        """Words of all segments."""
        return " ".join(word for segment in self.segments for word in segment.words)


def curriculum_limit(stages: Sequence[CurriculumStage], progress: float) -> int | None:
    """Most words per example at ``progress`` (0 to 1) of the training; None: no limit."""
    for stage in sorted(stages, key=lambda stage: stage.until):
        if progress < stage.until:
            return stage.max_words
    return None


def plan_examples(
    utterances: Sequence[Utterance],
    cuts: Mapping[str, Sequence[float]],
    limit: int | None,
    mixing: MixingConfig,
    seed: tuple[int, ...],
) -> list[Example]:
    """Make the examples of an epoch.

    Args:
        utterances: the training set, with normalised text.
        cuts: word boundaries in seconds (first 0, last the duration) of the utterances that were
            aligned, by id.
        limit: most words per example. Longer utterances are cut where they were aligned, and wait
            for a later epoch where they were not.
        mixing: how much is joined anew. Utterances that are too long for it and not aligned stay
            as they were recorded.
        seed: of this epoch.

    Returns:
        The examples, in a fixed order.
    """
    random = np.random.default_rng(seed)
    mixed_limit = mixing.max_words if limit is None else min(limit, mixing.max_words)
    pools: dict[str, list[Segment]] = defaultdict(list)
    whole: list[tuple[Segment, ...]] = []
    for i, utterance in enumerate(utterances):
        words = tuple(utterance.text.split())
        full = Segment(i, 0.0, utterance.duration, words)
        boundaries = cuts.get(utterance.id, ())
        aligned = bool(words) and len(boundaries) == len(words) + 1
        mix = random.random() < mixing.share and (aligned or len(words) <= mixed_limit)
        longest = mixed_limit if mix else limit
        if longest is None or (len(words) <= longest and not (mix and aligned)):
            pieces = [full]
        elif aligned:
            pieces = _cut(full, boundaries, longest, random)
        else:
            continue
        if mix:
            pools[utterance.speaker or ""].extend(pieces)
        else:
            whole.extend((piece,) for piece in pieces)
    for speaker in sorted(pools):
        whole.extend(_join(pools[speaker], mixed_limit, random))
    return [Example(segments, (*seed, i)) for i, segments in enumerate(whole)]


def _cut(
    full: Segment, boundaries: Sequence[float], longest: int, random: np.random.Generator
) -> list[Segment]:
    """Cut an aligned utterance into pieces of 1 to ``longest`` words."""
    pieces = []
    start = 0
    while start < len(full.words):
        end = min(start + int(random.integers(1, longest + 1)), len(full.words))
        begin = boundaries[start]
        pieces.append(
            Segment(full.utterance, begin, boundaries[end] - begin, full.words[start:end])
        )
        start = end
    return pieces


def _join(
    pieces: list[Segment], most_words: int, random: np.random.Generator
) -> list[tuple[Segment, ...]]:
    """Shuffle pieces of one speaker and join them to examples of 1 to ``most_words`` words."""
    joined: list[tuple[Segment, ...]] = []
    current: list[Segment] = []
    words = 0
    goal = int(random.integers(1, most_words + 1))
    for k in random.permutation(len(pieces)):
        piece = pieces[int(k)]
        if current and words + len(piece.words) > goal:
            joined.append(tuple(current))
            current, words = [], 0
            goal = int(random.integers(1, most_words + 1))
        current.append(piece)
        words += len(piece.words)
    if current:
        joined.append(tuple(current))
    return joined


def plan_batches(
    durations: Sequence[float],
    batch_seconds: float,
    seed: tuple[int, ...] | None,
    world_size: int = 1,
) -> list[list[int]]:
    """Fill batches by seconds, padding included, from buckets of similar duration.

    Args:
        durations: seconds of each example.
        batch_seconds: most seconds per batch: examples × longest of them, as ``durations`` has
            them. An example that is longer still is a batch of its own.
        seed: shuffles within buckets, and the batches; None keeps everything sorted.
        world_size: the number of batches becomes a multiple of it, by halving large batches. Where
            batches of one do not divide evenly either, the last few are left out.

    Returns:
        Batches of indices; process ``rank`` takes ``batches[rank::world_size]``.
    """
    random = np.random.default_rng(seed)
    if seed is None:
        order = sorted(range(len(durations)), key=lambda i: durations[i])
    else:
        ties = random.random(len(durations))
        # buckets grow by 15 %: little padding, and still many neighbours to be shuffled with
        keys = [math.floor(math.log(max(d, 1e-3)) / math.log(1.15)) for d in durations]
        order = sorted(range(len(durations)), key=lambda i: (keys[i], ties[i]))
    batches: list[list[int]] = []
    current: list[int] = []
    longest = 0.0
    for i in order:
        longest_with = max(longest, durations[i])
        if current and longest_with * (len(current) + 1) > batch_seconds:
            batches.append(current)
            current, longest_with = [], durations[i]
        current.append(i)
        longest = longest_with
    if current:
        batches.append(current)
    while len(batches) % world_size and max(map(len, batches)) > 1:
        largest = max(range(len(batches)), key=lambda k: len(batches[k]))
        half = len(batches[largest]) // 2
        batches[largest : largest + 1] = [batches[largest][:half], batches[largest][half:]]
    # processes wait for each other at every step, so they get neighbours: batches alike in duration
    together = [
        batches[k : k + world_size] for k in range(0, len(batches) - world_size + 1, world_size)
    ]
    if seed is not None:
        together = [together[int(k)] for k in random.permutation(len(together))]
    return [batch for group in together for batch in group]
