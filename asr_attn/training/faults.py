"""What in a data set would make training fail or learn wrongly: found before training starts."""

from collections.abc import Sequence
from itertools import pairwise

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.checkpoint import TrainedModel
from asr_attn.data.manifest import Utterance
from asr_attn.errors import InputError
from asr_attn.settings import DataConfig

SHOWN = 10
"""Faulty utterances that are listed; more are counted."""


def check_data(
    train: Sequence[Utterance],
    dev: Sequence[Utterance],
    model: TrainedModel,
    data: DataConfig,
    augmentation: AugmentationConfig,
) -> None:
    """Check everything that can be checked without reading audio.

    Raises:
        InputError: one message that lists what is wrong.
    """
    faults = []
    for utterance in train:
        fault = _fault(utterance, model, data, augmentation)
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
    augmentation: AugmentationConfig,
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
    tokens = model.tokenizer.encode(utterance.text)
    needed = len(tokens) + sum(a == b for a, b in pairwise(tokens))
    seconds = utterance.duration / max(augmentation.speed)
    steps = int(seconds / model.network.seconds_per_step)
    if needed > steps:
        return (
            f"{utterance.duration:.2f} s are too short for its {len(tokens)} characters "
            f"({steps} steps of the encoder at the fastest speed, {needed} needed by CTC)"
        )
    return None
