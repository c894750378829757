"""What the figures of attention mean, in plain words, and what to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asr_attn.evaluation.attention_health import (
    ALIGNED_ENTROPY,
    AttentionHealth,
)

STUCK = 0.5
"""Share of the weight on the outermost steps from which on attention is stuck there."""
COVERED = 0.8
"""Share of the speech below which some of it is skipped."""
JUMP_BACK = 0.5
"""Seconds; a longer move back reads something again."""
UNATTENDED = 0.1
"""Share of tokens that attend to nothing from which on it is told."""

PATIENT_EPOCHS = 5
PATIENT_SHARE = 0.25
"""Troubles are told once attention has been trained for so many epochs and the training is over by
so much: before that they are what is to be expected."""
USELESS_WER = 0.5
"""WER below which attention that has not aligned is no trouble: it serves as it is."""
FALLING = 0.9
"""The CTC loss is falling if it is now below this share of what it was."""

_ADVICE = {
    "unattended": (
        "attention reaches the end of the speech before the text ends: train for longer, or try "
        "training.guided_attention=2 or model/attention=location"
    ),
    "stuck": (
        "try training.guided_attention=2, training.ctc_warmup=0.2 or model/attention=location"
    ),
    "unaligned": (
        "try training.ctc_warmup=0.2, a length curriculum (data.loading.curriculum) or "
        "training.guided_attention=2"
    ),
    "jumps": (
        "words may be repeated; try model/attention=location, forward or window, which start from "
        "where attention was"
    ),
    "skips": (
        "words may be missing; see whether the texts are complete, or try a length curriculum "
        "(data.loading.curriculum)"
    ),
}
_UNLEARNT = (
    "the encoder has not learnt anything yet: train for longer (trainer.max_epochs), start with "
    "shorter examples (data.loading.curriculum), or check that texts and recordings belong together"
)


@dataclass(frozen=True)
class EpochRecord:
    """What is known of the attention after one validation.

    Attributes:
        epoch: counted from 0.
        attention_epochs: for how many epochs attention has been trained.
        progress: share of the training that is over.
        health: figures over some validation utterances, with their own texts read.
        ctc_loss: of the training in this epoch; None without CTC.
        wer: of the validation, by attention.
    """

    epoch: int
    attention_epochs: int
    progress: float
    health: AttentionHealth
    ctc_loss: float | None = None
    wer: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The record as builtins."""
        return {**asdict(self), "health": self.health.to_dict()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "EpochRecord":
        """The record that ``to_dict`` gave."""
        return cls(**{**record, "health": AttentionHealth.from_dict(record["health"])})


def troubles(health: AttentionHealth) -> dict[str, str]:
    """What is wrong with attention, by the figures alone: kind of trouble and how it shows.

    Where one of several heads has aligned, the others do no harm, so that its figures are looked
    at.
    """
    seen = health.leading
    sharp = seen.entropy < ALIGNED_ENTROPY
    found = {}
    if seen.unattended > UNATTENDED:
        found["unattended"] = f"{_percent(seen.unattended)} of the tokens attend to nothing"
    if sharp and seen.jump_back > JUMP_BACK:
        found["jumps"] = f"attention jumps back by {seen.jump_back:.1f} s"
    if seen.edges > STUCK and not seen.aligned:
        found["stuck"] = (
            f"{_percent(seen.edges)} of the attention stays on the first and last steps"
        )
    elif sharp and seen.coverage < COVERED:
        found["skips"] = f"{_percent(1 - seen.coverage)} of the speech is passed over"
    if not seen.aligned and not found:
        found["unaligned"] = (
            f"attention has not aligned: entropy {seen.entropy:.2f} of uniform, diagonality "
            f"{seen.diagonality:.2f}, monotonicity {seen.monotonicity:.2f}"
        )
    return found


def describe(health: AttentionHealth) -> str:
    """One sentence on the attention over one utterance."""
    found = troubles(health)
    if not found:
        return "attention is aligned: it runs along the speech from its start to its end"
    return "; ".join(found.values())


def first_aligned(records: Sequence[EpochRecord]) -> int | None:
    """The first epoch (from 0) after which attention was aligned; None if there is none yet."""
    return next((record.epoch for record in records if record.health.aligned), None)


def diagnose(records: Sequence[EpochRecord], settled: float = 0.0) -> dict[str, str]:
    """Say in words how attention fares after the last of some epochs.

    Args:
        records: of all validations since attention began, in order.
        settled: share of the training that learns from short examples alone. Until it is over,
            long validation utterances are new to attention, which is no trouble.

    Returns:
        Kind of finding and one sentence about it, with the epochs counted from 1.
    """
    if not records:
        return {}
    last, start = records[-1], first_aligned(records)
    found: dict[str, str] = {}
    if start is not None:
        health = next(r.health for r in records if r.epoch == start)
        found["aligned"] = (
            f"attention aligned in epoch {start + 1} (entropy {health.entropy:.2f} of uniform, "
            f"diagonality {health.diagonality:.2f})"
        )
        lost = [record for record in records[-2:] if not record.health.aligned]
        if len(lost) == 2 and lost[0].epoch > start:
            found["lost"] = (
                f"attention was aligned and is not any more since epoch {lost[0].epoch + 1} "
                f"({describe(last.health)}); lower optimizer.lr"
            )
            return found
    early = last.progress < PATIENT_SHARE or last.progress <= settled
    if early or last.attention_epochs < PATIENT_EPOCHS:
        return found
    if start is not None and not last.health.aligned:
        return found
    for kind, sentence in troubles(last.health).items():
        unlearnt = kind in ("unaligned", "stuck")
        if unlearnt and last.wer is not None and last.wer < USELESS_WER:
            continue
        if unlearnt:
            sentence = f"after {last.attention_epochs} epochs {sentence}{_progress(records)}"
        advice = _UNLEARNT if unlearnt and _ctc_stands_still(records) else _ADVICE[kind]
        found[kind] = f"{sentence}; {advice}"
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _ctc(records: Sequence[EpochRecord]) -> list[float]:
    return [record.ctc_loss for record in records if record.ctc_loss is not None]


def _ctc_stands_still(records: Sequence[EpochRecord]) -> bool:
    losses = _ctc(records)
    return len(losses) > 1 and losses[-1] >= FALLING * losses[0]


def _progress(records: Sequence[EpochRecord]) -> str:
    """How CTC loss and WER have gone, to be put behind a sentence."""
    shown, losses, wer = "", _ctc(records), records[-1].wer
    if len(losses) > 1:
        trend = "has hardly fallen" if _ctc_stands_still(records) else "is falling"
        shown = f"; the CTC loss {trend} ({losses[0]:.2f} to {losses[-1]:.2f})"
    return shown + (f", WER {_percent(wer)}" if wer is not None else "")
