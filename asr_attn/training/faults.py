"""What in a data set would make training fail or learn wrongly: found before training starts."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.noise import noise_files
from asr_attn.audio.opening import stated_seconds
from asr_attn.audio.reading import audio_duration
from asr_attn.checkpoint import TrainedModel
from asr_attn.data.manifest import Utterance
from asr_attn.errors import AudioError, InputError
from asr_attn.settings import DataConfig

FASTEST_SPEECH = 50.0
"""Characters per second that nobody speaks."""
SHOWN = 10
"""Faulty utterances that are listed; more are counted."""
DURATION_TOLERANCE = 0.1
"""Seconds that an utterance may reach past the end of its file."""


def check_data(
    train: Sequence[Utterance],
    dev: Sequence[Utterance],
    data: DataConfig,
    processes: int = 1,
    test: Sequence[Utterance] = (),
) -> None:
    """Check the data before the training: texts, durations, headers of the audio files.

    Of the test set the audio files alone are looked at: what is long or fast there is measured, not
    learnt from.

    Raises:
        InputError: one message that lists what is wrong.
    """
    faults = []
    lengths: dict[str, float | AudioError] = {}
    for utterance in [*train, *dev]:
        fault = _fault(utterance, data.max_duration) or _audio_fault(utterance, lengths)
        if fault:
            faults.append(f"{utterance.id} ({utterance.audio.name}): {fault}")
    faults += [f"{u.id}: has no text after normalisation" for u in train if not u.text]
    for utterance in test:
        if fault := _audio_fault(utterance, lengths):
            faults.append(f"{utterance.id} ({utterance.audio.name}): {fault}")
    if faults:
        more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        manifests = (data.train, *data.also_train, data.dev, test and data.test)
        names = ", ".join(name for name in manifests if name)
        raise InputError(
            f"{names}: {len(faults)} of {len(train) + len(dev) + len(test)} utterances "
            "cannot be used; mend them or take them out of the manifest:\n  "
            + "\n  ".join(faults[:SHOWN])
            + more
        )
    if not any(utterance.text for utterance in dev):
        raise InputError(f"{data.dev}: has no text at all, so no WER can be measured on it")
    if len(dev) < processes:
        raise InputError(
            f"{data.dev}: {len(dev)} validation utterances are too few for {processes} processes; "
            "lower trainer.devices"
        )


def _fault(utterance: Utterance, max_duration: float) -> str | None:
    """Why one utterance cannot be used, by what its manifest says."""
    if utterance.duration > max_duration:
        return (
            f"{utterance.duration:.1f} s long, over data.max_duration={max_duration:g}; "
            "cut it, or raise the limit if memory allows"
        )
    rate = len(utterance.text) / utterance.duration
    if rate > FASTEST_SPEECH:
        return (
            f"{len(utterance.text)} characters in {utterance.duration:.2f} s cannot be right "
            f"({rate:.0f} a second); check its text and its audio"
        )
    return None


def _audio_fault(utterance: Utterance, lengths: dict[str, float | AudioError]) -> str | None:
    """Why one utterance cannot be used, by the header of its file (read once per file).

    Headers alone are read, since thousands of hours would take long to count. A file whose header
    states less than is needed, or nothing, is counted.
    """
    name = str(utterance.audio)
    end = utterance.offset + utterance.duration
    length = lengths.get(name)
    if length is None:
        stated = stated_seconds(utterance.audio)
        length = lengths[name] = _counted(utterance.audio) if stated is None else stated
    if not isinstance(length, AudioError) and end > length + DURATION_TOLERANCE:
        length = lengths[name] = _counted(utterance.audio)
    if isinstance(length, AudioError):
        return str(length)
    if end > length + DURATION_TOLERANCE:
        return f"ends at {end:.2f} s, but its file is {length:.2f} s long; correct its duration"
    return None


def _counted(path: Path) -> float | AudioError:
    """The length of a file in seconds, or why it cannot be read."""
    try:
        return audio_duration(path)
    except AudioError as error:
        return error


def check_noise(augmentation: AugmentationConfig, utterances: int) -> None:
    """Make sure that noise can be had, before hours of training go by.

    Args:
        augmentation: what noise is needed.
        utterances: number of training utterances.

    Raises:
        InputError: the folder of noise has no recordings, or one that cannot be read, or there are
            no other utterances to make babble of.
    """
    if not augmentation.noise_probability:
        return
    if augmentation.noise_folder is not None:
        try:
            noise_files(augmentation.noise_folder)
        except AudioError as error:
            raise InputError(f"augmentation.noise_folder: {error}") from error
    if "babble" in augmentation.noise_kinds and utterances < 2:
        raise InputError(
            "augmentation.noise_kinds: babble needs at least two training utterances; leave it out"
        )


def notes_on_data(
    train: Sequence[Utterance],
    measured: Sequence[Utterance],
    model: TrainedModel,
    augmentation: AugmentationConfig,
) -> Iterator[str]:
    """Sentences on what can be trained on, but limits what can be learnt.

    Args:
        train: training utterances.
        measured: utterances that error rates are measured on.
        model: whose tokens and encoder steps count.
        augmentation: whose greatest speed counts.
    """
    short = 0
    for utterance in train:
        tokens = model.tokenizer.encode(utterance.text)
        needed = len(tokens) + sum(a == b for a, b in pairwise(tokens))
        seconds = utterance.duration / augmentation.fastest
        short += needed > int(seconds / model.network.seconds_per_step)
    if short:
        yield (
            f"{short} of {len(train)} training utterances are too short for their text at "
            f"{1000 * model.network.seconds_per_step:.0f} ms per encoder step: CTC cannot learn "
            "from them, attention can; lower model.encoder.stride or model.encoder.halvings for "
            "finer steps"
        )
    unknown = model.tokenizer.unknown(utterance.text for utterance in measured)
    if unknown:
        yield (
            f"the validation and test texts hold {model.tokenizer.unit} that the model has no "
            f"tokens for, which will count as errors: {' '.join(map(repr, list(unknown)[:20]))}"
        )
