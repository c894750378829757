"""What an epoch of training consists of: examples, their order and their batches.

A plan is a pure function of the utterances, the settings, the seed and the epoch. That makes it
the same when a run is resumed, and lets every process of a distributed run make the same plan and
take its own part of it.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
    piece_words: int = 0
    """Most words of the pieces that it is joined of: the fewer, the less of a sentence is left to
    know by heart; 0: as many as the example's."""
    until: float = 1.0
    """Share of the training after which all utterances stay as they were recorded."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1 or self.max_words < 1:
            raise ValueError(
                "data.loading.mixing needs 0 <= share <= 1 and max_words >= 1, not "
                f"share={self.share}, max_words={self.max_words}"
            )
        if not 0 <= self.until <= 1:
            raise ValueError(
                f"data.loading.mixing.until is a share of the training, not {self.until}"
            )
        if self.piece_words < 0:
            raise ValueError(
                f"data.loading.mixing.piece_words must not be negative: {self.piece_words}"
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
    """Processes that read audio; 0 reads in the training process, best on few cores. The batches
    are the same, so that a resumed run may have another number."""
    cut_at_pauses: bool = False
    """Locate the words of the training set by the pauses between them, where there is one after
    each, so that utterances can be cut and mixed from the start."""
    curriculum: tuple[CurriculumStage, ...] = ()
    """Short examples first: stages with a greatest number of words."""
    mixing: MixingConfig = MixingConfig()
    """New utterances from pieces of recordings."""
    unreadable: float = 0.01
    """Share of the utterances (at least one) that may turn out to be unreadable beyond their
    headers, while training goes on or when recordings are read before it. They are named and left
    out; more stop the run. 0 stops at the first."""

    def __post_init__(self) -> None:
        if self.batch_seconds <= 0 or self.workers < 0:
            raise ValueError("data.loading needs batch_seconds > 0 and workers >= 0")
        if not 0 <= self.unreadable < 1:
            raise ValueError(
                f"data.loading.unreadable is a share from 0 to below 1, not {self.unreadable}"
            )


# a plan has as many of these as there are utterances: without slots it is twice the size
@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one utterance.

    Attributes:
        utterance: index of the utterance.
        offset: seconds from the start of the utterance.
        duration: seconds.
        text: what is said in it; a whole utterance shares its text.
    """

    utterance: int
    offset: float
    duration: float
    text: str


@dataclass(frozen=True, slots=True)
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
        return " ".join(segment.text for segment in self.segments if segment.text)


def curriculum_limit(stages: Sequence[CurriculumStage], progress: float) -> int | None:
    """Most words per example at ``progress`` (0 to 1) of the training; None: no limit."""
    for stage in sorted(stages, key=lambda stage: stage.until):
        if progress < stage.until:
            return stage.max_words
    return None


def mixing_at(mixing: MixingConfig, progress: float) -> MixingConfig:
    """How much is joined anew at ``progress`` (0 to 1) of the training."""
    return mixing if progress < mixing.until else replace(mixing, share=0.0)


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
        words = len(utterance.text.split())
        full = Segment(i, 0.0, utterance.duration, utterance.text)
        boundaries = cuts.get(utterance.id, ())
        aligned = bool(words) and len(boundaries) == words + 1
        mix = random.random() < mixing.share and (aligned or words <= mixed_limit)
        longest = mixed_limit if mix else limit
        if longest is None or (words <= longest and not (mix and aligned)):
            pieces = [full]
        elif aligned:
            most = min(longest, mixing.piece_words or longest) if mix else longest
            pieces = _cut(full, boundaries, most, random)
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
    words = full.text.split()
    pieces = []
    start = 0
    while start < len(words):
        end = min(start + int(random.integers(1, longest + 1)), len(words))
        begin, text = boundaries[start], " ".join(words[start:end])
        pieces.append(Segment(full.utterance, begin, boundaries[end] - begin, text))
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
        more = len(piece.text.split())
        if current and words + more > goal:
            joined.append(tuple(current))
            current, words = [], 0
            goal = int(random.integers(1, most_words + 1))
        current.append(piece)
        words += more
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
    seconds = np.asarray(durations, dtype=np.float64)
    if seed is None:
        order = np.argsort(seconds, kind="stable")
    else:
        ties = random.random(len(seconds))
        # buckets grow by 15 %: little padding, and still many neighbours to be shuffled with
        buckets = np.floor(np.log(np.maximum(seconds, 1e-3)) / math.log(1.15))
        order = np.lexsort((ties, buckets))
    batches = _filled(order.tolist(), seconds[order].tolist(), batch_seconds)
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


def _filled(
    order: Sequence[int], durations: Sequence[float], batch_seconds: float
) -> list[list[int]]:
    """Examples in an order, and their durations, as batches of so many seconds."""
    batches: list[list[int]] = []
    current: list[int] = []
    longest = 0.0
    for i, duration in zip(order, durations):
        longest_with = max(longest, duration)
        if current and longest_with * (len(current) + 1) > batch_seconds:
            batches.append(current)
            current, longest_with = [], duration
        current.append(i)
        longest = longest_with
    if current:
        batches.append(current)
    return batches
