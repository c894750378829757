"""One training run of a neural language model, from settings to a model file."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from asr_attn import __version__
from asr_attn.checkpoint import load_model
from asr_attn.config import load_lm_settings
from asr_attn.errors import CheckpointError, ConfigError, InputError
from asr_attn.lm.corpus import Line, ids_notes, read_lines
from asr_attn.lm.neural import TrainedLm, make_lm
from asr_attn.lm.neural_file import LM_FILE, save_lm
from asr_attn.lm_settings import LmRunConfig, LmTokenizerConfig, TextConfig
from asr_attn.text.build import TokenizerConfig, build_tokenizer
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.text.tokenizer import Tokenizer
from asr_attn.training.callbacks import GracefulStop
from asr_attn.training.checkpoints import RESUME_FILE, StopRequested
from asr_attn.training.lm_callbacks import LmCheckpoints, lm_report_callbacks
from asr_attn.training.lm_data import LmData, TokenText, encode_text
from asr_attn.training.lm_task import LanguageModelTask
from asr_attn.training.loggers import begin_runs
from asr_attn.training.processes import note
from asr_attn.training.resuming import check_saved_state, resumed_settings
from asr_attn.training.run_folder import METRICS_FILE, own_folder, record_start
from asr_attn.training.trainer import (
    failures_explained,
    make_trainer,
    optimizer_maker,
    with_precision,
)

_SHOWN = 20


@dataclass(frozen=True)
class LmRunResult:
    """What came of a run.

    Attributes:
        folder: of the run.
        model: model file; None when there is none yet.
        perplexity: its perplexity of a known token of the validation text, ends of sentences
            counted; None when not known.
        word_perplexity: of a word of it, unknown tokens counted by their probability.
        stopped: True when the run was asked to stop and can be resumed.
        main_process: False in the further processes of a distributed run.
    """

    folder: Path
    model: Path | None = None
    perplexity: float | None = None
    word_perplexity: float | None = None
    stopped: bool = False
    main_process: bool = True


def fit_lm(
    config: LmRunConfig,
    changed: Collection[str] = (),
    renamed: Callable[[Path], None] | None = None,
) -> LmRunResult:
    """Train a language model.

    Args:
        config: settings; with ``resume`` set, those of the run it names are used instead.
        changed: with ``resume``, the keys whose values are to be taken from ``config``.
        renamed: for a ``run_dir`` that a clock named: see ``run_folder.new_run_folder``.

    Raises:
        InputError: settings or text that cannot be trained on.
    """
    if config.resume is not None:
        config = resumed_settings(config, changed, load_lm_settings)
    else:
        config = with_precision(config)
    with own_folder(config, renamed) as folder:
        return _fit_in(folder, check_saved_state(config))


def _fit_in(folder: Path, config: LmRunConfig) -> LmRunResult:
    """Train in a folder that this run holds."""
    checkpoints = LmCheckpoints(folder, config.callbacks)
    callbacks = [
        GracefulStop(checkpoints),
        *lm_report_callbacks(folder / METRICS_FILE if config.logger.csv else None),
        checkpoints,
    ]
    trainer = make_trainer(config.trainer, config.logger, folder, callbacks)
    task, data = set_up_lm(config)
    begin_runs(trainer)
    if trainer.is_global_zero:
        record_start(folder, config, _texts(config.data), _fingerprints(config, task, data))
    result = LmRunResult(folder, main_process=trainer.is_global_zero)
    model = folder / LM_FILE
    try:
        with failures_explained(trainer, folder):
            trainer.fit(
                task,
                datamodule=data,
                ckpt_path=folder / RESUME_FILE if config.resume else None,
                weights_only=True if config.resume else None,
            )
    except StopRequested:
        return replace(result, model=model if model.is_file() else None, stopped=True)
    if not trainer.is_global_zero:
        return result
    if not checkpoints.measured:
        if checkpoints.diverged or not all(p.isfinite().all() for p in task.network.parameters()):
            rate = config.optimizer.get("lr")
            raise InputError(
                "the perplexity of the validation text is not finite, so no model was kept; lower "
                f"optimizer.lr (now {rate}) or raise scheduler.warmup_steps"
            )
        with failures_explained(trainer, folder):
            save_lm(model, task.model)
        return replace(result, model=model)
    return replace(
        result,
        model=model,
        perplexity=checkpoints.perplexity,
        word_perplexity=checkpoints.word_perplexity,
    )


def _fingerprints(config: LmRunConfig, task: LanguageModelTask, data: LmData) -> dict[str, str]:
    """Digests of what a run is trained and measured on, wherever it lies."""
    found = {"data.train": data.train.digest(), "data.dev": data.dev.digest()}
    if config.tokenizer.of is None:  # the tokens are those of the text
        return found
    tokens = json.dumps(task.model.tokenizer.to_dict()).encode()
    return {"tokenizer.of": hashlib.sha256(tokens).hexdigest(), **found}


def _texts(config: TextConfig) -> dict[str, Path]:
    """The texts of a run, by their settings."""
    named = {"data.train": config.train, "data.dev": config.dev}
    further = {f"data.also_train.{i}": name for i, name in enumerate(config.also_train)}
    return {key: Path(name) for key, name in (named | further).items() if name is not None}


def set_up_lm(config: LmRunConfig) -> tuple[LanguageModelTask, LmData]:
    """What is trained, and on what.

    Raises:
        InputError: text or a recogniser that cannot be used.
    """
    for sentence in ids_notes([*_paths("train", config.data), *_paths("dev", config.data)]):
        note(sentence)
    tokenizer, normalizer = _tokens(config.tokenizer, config.data)
    train = _read("train", config.data, tokenizer, normalizer)
    dev = _read("dev", config.data, tokenizer, normalizer)
    # a recogniser of words is made to meet unknown ones
    if config.tokenizer.of is not None and train.unknown and tokenizer.unit == "characters":
        raise InputError(
            f"tokenizer.of={config.tokenizer.of}: this recogniser cannot write "
            f"{_unknown('train', config.data, tokenizer, normalizer)}, which the training text "
            "holds; take these characters, or the sentences with them, out of the text"
        )
    if dev.unknown:
        note(
            f"data.dev: {dev.unknown} of {len(dev.tokens)} tokens are unknown "
            f"({_unknown('dev', config.data, tokenizer, normalizer)}); they do not count in the "
            "perplexity of tokens"
        )
    torch.manual_seed(config.seed)
    info = {
        "asr_attn": __version__,
        "seed": config.seed,
        "sentences": len(train),
        "tokens": len(train.tokens),
    }
    network = make_lm(config.model, len(tokenizer))
    model = TrainedLm(network, config.model, tokenizer, normalizer, info)
    task = LanguageModelTask(
        model,
        config.scheduler,
        optimizer_maker(config.optimizer),
        config.seed,
        config.trainer.max_epochs,
    )
    task.network.train()
    return task, LmData(train, dev, config.data, config.seed)


def _tokens(config: LmTokenizerConfig, data: TextConfig) -> tuple[Tokenizer, NormalizerConfig]:
    """Tokens and spelling of a recogniser, or the characters of the training text."""
    if config.of is None:
        lines = _lines("train", data, config.normalizer)
        # the space belongs in even if all sentences are single words: recognisers have it
        texts = [line.text for line in lines]
        return build_tokenizer(TokenizerConfig(normalizer=config.normalizer), texts), (
            config.normalizer
        )
    try:
        recognizer = load_model(config.of)
    except CheckpointError as error:
        raise CheckpointError(f"tokenizer.of: {error}") from error
    return recognizer.tokenizer, recognizer.normalizer


def _read(
    split: str, data: TextConfig, tokenizer: Tokenizer, normalizer: NormalizerConfig
) -> TokenText:
    """The tokens of the training or the validation text."""
    text = encode_text(_lines(split, data, normalizer), tokenizer, data.max_tokens)
    if not len(text):
        names = ", ".join(map(str, _paths(split, data)))
        raise InputError(
            f"data.{split}={names}: there are no words in it; give text with one sentence a line"
        )
    return text


def _lines(split: str, data: TextConfig, normalizer: NormalizerConfig) -> Iterator[Line]:
    return read_lines(_paths(split, data), normalizer)


def _paths(split: str, data: TextConfig) -> list[Path]:
    first: str | None = getattr(data, split)
    if first is None:
        raise ConfigError(
            f"data.{split} is not set; name a text with one sentence a line, or a manifest, as in "
            f"task=lm data.{split}={split}.txt"
        )
    further: Sequence[str] = data.also_train if split == "train" else ()
    return [Path(path) for path in (first, *further)]


def _unknown(
    split: str, data: TextConfig, tokenizer: Tokenizer, normalizer: NormalizerConfig
) -> str:
    """The first few unknown characters of a text, most frequent first."""
    unknown = list(tokenizer.unknown(line.text for line in _lines(split, data, normalizer)))
    more = ", ..." if len(unknown) > _SHOWN else ""
    return " ".join(map(repr, unknown[:_SHOWN])) + more
