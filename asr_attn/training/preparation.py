"""What a run starts from: data sets with normalised texts, and a model with random weights."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from asr_attn import __version__
from asr_attn.checkpoint import TrainedModel
from asr_attn.data.batches import pad_waveforms, read_utterance
from asr_attn.data.digits import make_digits
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.errors import ConfigError, InputError
from asr_attn.models.asr import AsrModel
from asr_attn.settings import DataConfig, RunConfig
from asr_attn.text.normalizer import NormalizerConfig, normalize
from asr_attn.text.tokenizer import CharTokenizer

STATISTICS_SECONDS = 1800.0
"""Training audio that feature statistics are computed from, at most."""


def load_data(
    config: DataConfig, normalizer: NormalizerConfig
) -> tuple[list[Utterance], list[Utterance], list[Utterance]]:
    """Training, validation and test utterances, with normalised texts; no test set is empty."""
    if config.digits is not None:
        assert config.folder is not None
        make_digits(Path(config.folder), config.digits, _print_progress)
    train = load_manifest("train", config, normalizer)
    for path in config.also_train:
        train += load_manifest("train", replace(config, train=path), normalizer)
    names = {utterance.id for utterance in train}
    if len(names) < len(train):
        raise InputError(
            f"data.also_train: {len(train) - len(names)} utterances have ids that another training "
            "manifest uses too; give them other ids"
        )
    dev = load_manifest("dev", config, normalizer)
    # a fault of the test set is better found now than after the training
    test = load_manifest("test", config, normalizer) if config.test is not None else []
    return train, dev, test


def load_manifest(split: str, config: DataConfig, normalizer: NormalizerConfig) -> list[Utterance]:
    """Utterances of train, dev or test, with normalised texts."""
    utterances = read_manifest(_manifest_path(split, config))
    return [replace(u, text=normalize(u.text, normalizer)) for u in utterances]


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


def new_model(
    config: RunConfig, train: Sequence[Utterance], statistics: bool = True
) -> TrainedModel:
    """A network with random weights, for the characters and the sound of the training set.

    Args:
        config: settings of the run.
        train: training utterances.
        statistics: compute feature statistics; not needed when weights are loaded afterwards.
    """
    # the space belongs in even if all texts are single words: joined examples need it
    tokenizer = CharTokenizer.train([" ", *(u.text for u in train)])
    network = AsrModel(config.features, config.model, len(tokenizer))
    if statistics:
        random = np.random.default_rng(config.seed)
        batches, seconds = [], 0.0
        for i in random.permutation(len(train)):
            if seconds > STATISTICS_SECONDS:
                break
            utterance = train[int(i)]
            batches.append(pad_waveforms([read_utterance(utterance, config.features.sample_rate)]))
            seconds += utterance.duration
        network.features.fit(batches)
    info = {
        "asr_attn": __version__,
        "data": config.data.name,
        "seed": config.seed,
        "longest_seconds": max(u.duration for u in train),
    }
    return TrainedModel(
        network, config.features, config.model, tokenizer, config.tokenizer.normalizer, info
    )
