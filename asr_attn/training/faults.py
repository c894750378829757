"""What in a data set would make training fail or learn wrongly: found before training starts."""

from collections.abc import Sequence
from itertools import pairwise

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.checkpoint import TrainedModel
from asr_attn.data.manifest import Utterance
from asr_attn.errors import InputError
from asr_attn.settings import DataConfig

FASTEST_SPEECH = 50.0
"""Characters per second that nobody speaks."""
SHOWN = 10
"""Faulty utterances that are listed; more are counted."""


def check_data(
    train: Sequence[Utterance],
    dev: Sequence[Utterance],
    model: TrainedModel,
    data: DataConfig,
) -> None:
    """Check everything that can be checked without reading audio.

    Raises:
        InputError: one message that lists what is wrong.
    """
    faults = []
    for utterance in train:
        fault = _fault(utterance, model, data)
        if fault:
            faults.append(f"{utterance.id} ({utterance.audio.name}): {fault}")
    if faults:
        more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise InputError(
            f"{data.train}: {len(faults)} of {len(train)} training utterances cannot be trained "
            "on; mend them or take them out of the manifest:\n  "
            + "\n  ".join(faults[:SHOWN])
            + more
        )
    if not any(utterance.text for utterance in dev):
        raise InputError(f"{data.dev}: has no text at all, so no WER can be measured on it")


def _fault(
    utterance: Utterance,
    model: TrainedModel,
    data: DataConfig,
) -> str | None:
    """Why one training utterance cannot be used, if so."""
    if utterance.duration > data.max_duration:
        return (
            f"{utterance.duration:.1f} s long, over data.max_duration={data.max_duration:g}; "
            "cut it, or raise the limit if memory allows"
        )
    if not utterance.text:
        return "has no text after normalisation"
    unknown = model.tokenizer.unknown([utterance.text])
    if unknown:
        return f"has characters that the tokenizer does not know: {' '.join(map(repr, unknown))}"
    rate = len(utterance.text) / utterance.duration
    if rate > FASTEST_SPEECH:
        return (
            f"{len(utterance.text)} characters in {utterance.duration:.2f} s cannot be right "
            f"({rate:.0f} a second); check its text and its audio"
        )
    return None


def ctc_warning(
    train: Sequence[Utterance], model: TrainedModel, augmentation: AugmentationConfig
) -> str | None:
    """A sentence if CTC has too few encoder steps for some texts; None if not.

    Such utterances add nothing to the CTC loss; attention learns from them all the same.
    """
    short = 0
    for utterance in train:
        tokens = model.tokenizer.encode(utterance.text)
        needed = len(tokens) + sum(a == b for a, b in pairwise(tokens))
        seconds = utterance.duration / max(augmentation.speed)
        short += needed > int(seconds / model.network.seconds_per_step)
    if not short:
        return None
    return (
        f"{short} of {len(train)} training utterances are too short for their text at "
        f"{1000 * model.network.seconds_per_step:.0f} ms per encoder step: CTC cannot learn from "
        "them, attention can; lower model.encoder.stride or model.encoder.halvings for finer steps"
    )
