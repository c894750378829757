"""What a run starts from: data sets with normalised texts, and a model with random weights."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asr_attn import __version__
from asr_attn.checkpoint import TrainedModel
from asr_attn.data.batches import pad_waveforms, read_utterance
from asr_attn.data.digits import make_digits
from asr_attn.data.manifest import Manifest, Utterance
from asr_attn.errors import AudioError, ConfigError, InputError, ManifestError
from asr_attn.models.asr import AsrModel
from asr_attn.settings import DataConfig, RunConfig
from asr_attn.text.build import build_tokenizer
from asr_attn.text.normalizer import NormalizerConfig, normalize
from asr_attn.text.tokenizer import Tokenizer, tokenizer_from_dict
from asr_attn.training.checkpoints import RESUME_FILE
from asr_attn.training.processes import note

STATISTICS_SECONDS = 1800.0
"""Training audio that feature statistics are computed from, at most."""


def load_data(
    config: DataConfig, normalizer: NormalizerConfig
) -> tuple[list[Utterance], list[Utterance], list[Utterance]]:
    """Training, validation and test utterances, with normalised texts; no test set is empty.

    Raises:
        InputError: manifests are missing or have faults; one message tells of all of them.
    """
    if config.digits is not None:
        assert config.folder is not None
        make_digits(Path(config.folder), config.digits, _print_progress)
    # a fault of the test set is better found now than after the training
    named = {
        "train": [config, *(replace(config, train=path) for path in config.also_train)],
        "dev": [config],
        "test": [config] if config.test is not None else [],
    }
    found: dict[str, list[Utterance]] = {split: [] for split in named}
    faults: list[InputError] = []
    for split, configs in named.items():
        for one in configs:
            try:
                found[split] += load_manifest(split, one, normalizer)
            except InputError as error:
                faults.append(error)
    if len(faults) > 1:
        raise InputError("\n".join(map(str, faults)))
    if faults:
        raise faults[0]
    train = found["train"]
    if config.least_confidence:
        train = _confident(train, config.least_confidence)
    names = {utterance.id for utterance in train}
    if len(names) < len(train):
        raise InputError(
            f"data.also_train: {len(train) - len(names)} utterances have ids that another training "
            "manifest uses too; give them other ids"
        )
    return train, found["dev"], found["test"]


def _confident(train: list[Utterance], least: float) -> list[Utterance]:
    """Utterances without those that a recogniser wrote down with less confidence; says how many.

    Where it heard nothing it has no confidence, and nothing is to be learnt from its word for it.

    Raises:
        InputError: a confidence is no number, or no utterance is left.
    """
    for utterance in train:
        value = utterance.extra.get("confidence")
        if value is not None and not isinstance(value, int | float):
            raise InputError(
                f"utterance {utterance.id!r}: its confidence is {value!r}, not a number; mend it, "
                "or leave out data.least_confidence"
            )
    kept = [u for u in train if (u.extra.get("confidence", 1.0) or 0.0) >= least]
    if not kept:
        raise InputError(f"data.least_confidence={least:g} leaves no utterance to train on")
    labelled = sum("confidence" in u.extra for u in train)
    note(
        f"{labelled - len(train) + len(kept)} of {labelled} utterances with a confidence are "
        f"trained on, those of {least:g} or more (data.least_confidence)"
    )
    return kept


def load_manifest(split: str, config: DataConfig, normalizer: NormalizerConfig) -> list[Utterance]:
    """Utterances of train, dev or test, with normalised texts."""
    path = _manifest_path(split, config)
    try:
        return [replace(u, text=normalize(u.text, normalizer)) for u in Manifest(path)]
    except ManifestError as error:
        if config.hint is None:
            raise
        raise ManifestError(f"{error}\n{config.hint}") from error


def _manifest_path(split: str, config: DataConfig) -> Path:
    path: str | None = getattr(config, split)
    if path is None:
        raise ConfigError(
            f"data.{split} is not set; name a manifest, as in "
            f"data=manifests data.{split}={split}.jsonl"
        )
    if not Path(path).is_file():
        hint = f"; {config.hint}" if config.hint else "; check the path"
        raise InputError(f"data.{split}={path}: there is no such manifest{hint}")
    return Path(path)


def _print_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\rmaking synthetic speech: {done}/{total}", end=end, file=sys.stderr, flush=True)


def make_network(config: RunConfig, tokens: int) -> AsrModel:
    """The network of a run, with random weights.

    Raises:
        ConfigError: the sizes of its parts do not fit each other.
    """
    try:
        return AsrModel(config.features, config.model, tokens)
    except ValueError as error:
        raise ConfigError(f"model: {error}") from error


def new_model(config: RunConfig, train: Sequence[Utterance]) -> TrainedModel:
    """A network with random weights, for the texts of the training set.

    Its features have no statistics yet (see ``learn_statistics``).

    Args:
        config: settings of the run.
        train: training utterances.
    """
    tokenizer = None if config.resume is None else _resumed_tokenizer(Path(config.resume))
    if tokenizer is None:
        tokenizer = build_tokenizer(config.tokenizer, [u.text for u in train])
    network = make_network(config, len(tokenizer))
    return TrainedModel(
        network,
        config.features,
        config.model,
        tokenizer,
        config.tokenizer.normalizer,
        facts_of(config, train),
    )


def learn_statistics(
    model: TrainedModel, train: Sequence[Utterance], seed: int
) -> list[tuple[str, str]]:
    """Compute the mean and deviation of a model's features from training utterances.

    Args:
        model: new.
        train: training utterances; of many, some are drawn.
        seed: of the draw.

    Returns:
        The ids of those of them that cannot be read, and why; the others count.
    """
    batches, faults, seconds = [], [], 0.0
    for i in np.random.default_rng(seed).permutation(len(train)):
        if seconds > STATISTICS_SECONDS:
            break
        utterance = train[int(i)]
        try:
            samples = read_utterance(utterance, model.features.sample_rate)
        except AudioError as error:
            faults.append((utterance.id, str(error)))
            continue
        batches.append(pad_waveforms([samples]))
        seconds += utterance.duration
    if batches:
        model.network.features.fit(batches)
    return faults


def _resumed_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer of a run that goes on: another version might learn other tokens.

    Runs of before there was a choice did not save theirs, which were characters.
    """
    state = torch.load(folder / RESUME_FILE, map_location="cpu", weights_only=True)
    return tokenizer_from_dict(state["tokenizer"]) if "tokenizer" in state else None


def facts_of(config: RunConfig, train: Sequence[Utterance]) -> dict[str, Any]:
    """What a model file says about its training."""
    return {
        "asr_attn": __version__,
        "data": config.data.name,
        "seed": config.seed,
        "longest_seconds": max(u.duration for u in train),
    }
