"""A run of `speechbrain_baseline.py`: its data, its tokenizer, and its state on the disk."""

import argparse
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from speechbrain.augment.time_domain import SpeedPerturb
from speechbrain_interface import RATE, Padded, System, pad  # type: ignore[import-not-found]
from speechbrain_systems import SYSTEMS  # type: ignore[import-not-found]

from asr_attn.data.batches import read_utterance
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.errors import InputError
from asr_attn.files import atomic_path
from asr_attn.text.normalizer import NormalizerConfig, normalize

SETTINGS = (
    "system",
    "minutes",
    "batch_seconds",
    "accumulate",
    "vocabulary",
    "seed",
    "train",
    "dev",
)
"""What a run that goes on must have as before."""


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        epoch: epochs that are over.
        seconds: of training and validation.
        kept: the best models: their epochs, and how good each is.
        log: figures of each epoch.
    """

    epoch: int
    seconds: float
    kept: dict[int, float]
    log: list[dict[str, float]]


@dataclass(frozen=True)
class Run:
    """What is trained, on what, and where it is kept.

    Attributes:
        options: the command line.
        train: utterances with normalised texts.
        dev: the same.
        tokenizer: from texts to ids.
        system: the networks.
        optimizer: of its weights.
        progress: changes as it goes on.
    """

    options: argparse.Namespace
    train: list[Utterance]
    dev: list[Utterance]
    tokenizer: Any
    system: System
    optimizer: torch.optim.Optimizer
    progress: Progress

    @property
    def folder(self) -> Path:
        """Of the run."""
        return Path(self.options.output)

    @property
    def budget(self) -> float:
        """Seconds."""
        return 60.0 * float(self.options.minutes)


def load_set(path: Path) -> list[Utterance]:
    """Utterances of a manifest, their texts in the form that ours are trained on."""
    form = NormalizerConfig()
    return [replace(u, text=normalize(u.text, form)) for u in read_manifest(path)]


def make_tokenizer(path: Path, texts: Sequence[str], size: int, marks: bool) -> Any:
    """Unigram pieces, with the settings of `speechbrain.tokenizers.SentencePiece`.

    Args:
        path: where it is kept; it is read if it is there.
        texts: to learn from.
        size: V.
        marks: whether start and end of a sentence have the ids 1 and 2.

    Raises:
        InputError: the texts are too few for so many pieces.
    """
    if not path.exists():
        written = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=written,
                model_type="unigram",
                vocab_size=size,
                unk_id=0,
                bos_id=1 if marks else -1,
                eos_id=2 if marks else -1,
                pad_id=-1,
                max_sentencepiece_length=10,
                character_coverage=1.0,
                minloglevel=3,
            )
        except RuntimeError as error:
            reason = str(error).rpartition("] ")[2]
            raise InputError(
                f"--vocabulary {size}: SentencePiece cannot learn so many pieces of the training "
                f"texts: {reason}"
            ) from None
        with atomic_path(path) as scratch:
            scratch.write_bytes(written.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=path.read_bytes())


def open_run(options: argparse.Namespace) -> Run:
    """A new run, or the one that the folder holds.

    Raises:
        InputError: manifests cannot be read, or the folder holds a run with other settings.
    """
    train, dev = load_set(options.train), load_set(options.dev)
    torch.manual_seed(options.seed)
    kind = SYSTEMS[options.system]
    marks = kind.bos != kind.eos
    path = options.output / "tokenizer.model"
    state = read_state(options)
    tokenizer = make_tokenizer(path, [u.text for u in train], options.vocabulary, marks)
    system = kind(options.vocabulary)
    run = Run(
        options, train, dev, tokenizer, system, system.make_optimizer(), Progress(0, 0.0, {}, [])
    )
    if state is not None:
        system.load_state_dict(state["weights"])
        system.load_state(state["system"])
        run.optimizer.load_state_dict(state["optimizer"])
        vars(run.progress).update(state["progress"])
    return run


def read_state(options: argparse.Namespace) -> dict[str, Any] | None:
    """What to go on with, if there is something.

    Raises:
        InputError: it is of a run with other settings.
    """
    path = options.output / "state.pt"
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, weights_only=True)
    for name, value in settings_of(options).items():
        if state["settings"][name] != value:
            raise InputError(
                f"{options.output} holds a run with {name} {state['settings'][name]}, not {value}; "
                "give the same settings to go on with it, or another --output"
            )
    return state


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Settings as builtins."""
    values = {name: getattr(options, name) for name in SETTINGS}
    return {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}


def save(run: Run) -> None:
    """Write what to go on with; models that are no longer among the best are removed."""
    kept = run.progress.kept
    if run.progress.epoch in kept:
        with atomic_path(model_path(run, run.progress.epoch)) as scratch:
            torch.save(run.system.state_dict(), scratch)
    with atomic_path(run.folder / "state.pt") as scratch:
        torch.save(
            {
                "settings": settings_of(run.options),
                "weights": run.system.state_dict(),
                "system": run.system.state(),
                "optimizer": run.optimizer.state_dict(),
                "progress": vars(run.progress),
            },
            scratch,
        )
    with atomic_path(run.folder / "log.jsonl") as scratch:
        lines = [json.dumps(line) + "\n" for line in run.progress.log]
        scratch.write_text("".join(lines), encoding="utf-8")
    for path in (run.folder / "kept").glob("*.pt"):
        if int(path.stem) not in kept:
            path.unlink()


def model_path(run: Run, epoch: int) -> Path:
    """Where the weights after an epoch are kept."""
    return run.folder / "kept" / f"{epoch}.pt"


def batches_of(
    utterances: Sequence[Utterance], rows: Sequence[Sequence[int]], vary: SpeedPerturb | None
) -> Iterator[tuple[list[Utterance], Padded]]:
    """Reads batches, the speed of each utterance being varied by ``vary``."""
    for batch in rows:
        chosen = [utterances[i] for i in batch]
        waves = [torch.from_numpy(read_utterance(utterance, RATE)) for utterance in chosen]
        if vary is not None:
            waves = [vary(wave[None])[0] for wave in waves]
        yield chosen, pad(waves)
