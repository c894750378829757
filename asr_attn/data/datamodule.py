"""Lightning's view of the data: which batches each process trains and validates on."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.pauses import word_boundaries_by_pauses
from asr_attn.data.batches import Batch, TrainingBatches, UtteranceBatches, read_utterance
from asr_attn.data.manifest import Utterance
from asr_attn.data.planning import (
    LoadingConfig,
    curriculum_limit,
    mixing_at,
    plan_batches,
    plan_examples,
)
from asr_attn.data.workers import packed, through_pipes, unpacked, workers_explained
from asr_attn.errors import AudioError, ConfigError, InputError

SHOWN = 10
"""Faults that a message lists; more are counted."""

OTHER_PLAN = (
    "this run was stopped within an epoch that has other batches now; go on with "
    "trainer.max_epochs, trainer.devices and trainer.num_nodes as they were, and change them when "
    "the run has come to its end"
)


def listed_faults(faults: Sequence[tuple[str, str]]) -> str:
    """The first few of many faults (see ``Batch``), each on a line."""
    lines = [f"{name}: {reason}" if name else reason for name, reason in faults[:SHOWN]]
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    return "".join(f"\n  {line}" for line in [*lines, *more])


def one_each(faults: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The first fault of each utterance: what is said of a piece of it depends on the piece."""
    found: dict[str, tuple[str, str]] = {}
    for name, reason in faults:
        found.setdefault(name or reason, (name, reason))
    return list(found.values())


class _From(Sampler[int]):
    """Indices in order from ``start`` on; its length stays the whole."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.start = 0

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.size))

    def __len__(self) -> int:
        return self.size


def fingerprint_of(utterances: Iterable[Utterance]) -> str:
    """A digest of utterances: the same for the same ids, texts and durations."""
    digest = hashlib.sha256()
    for utterance in utterances:
        row = (utterance.id, utterance.text, utterance.offset, utterance.duration)
        digest.update(repr(row).encode())
    return digest.hexdigest()


def plan_digest(batches: Iterable[Sequence[float]], world_size: int) -> str:
    """A digest of an epoch's batches of all processes: other batches have another.

    Args:
        batches: a number for each example, by which it is known.
        world_size: number of processes.
    """
    digest = hashlib.sha256(str(world_size).encode())
    for batch in batches:
        digest.update(np.asarray([len(batch), *batch], np.float64).tobytes())
    return digest.hexdigest()


class ResumableLoader(DataLoader[Batch]):
    """A data loader that knows how many batches it has given, and can go on from there.

    Args:
        dataset: gives whole batches.
        size: number of batches.
        workers: processes that load.
        plan: digest of all batches of the epoch; None if it does not matter to go on elsewhere.
    """

    def __init__(
        self,
        dataset: torch.utils.data.Dataset[Batch],
        size: int,
        workers: int,
        plan: str | None = None,
    ) -> None:
        self._from = _From(size)
        self._plan = plan
        # a generator of its own keeps the loader from drawing on the global random numbers
        super().__init__(
            dataset,
            batch_size=None,
            sampler=self._from,
            num_workers=workers,
            generator=torch.Generator(),
            collate_fn=packed if through_pipes(workers) else None,
        )
        self._given = 0

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        self._given = self._from.start
        with workers_explained(self.num_workers):
            batches = super().__iter__()
        for batch in batches:
            self._given += 1
            yield unpacked(batch)

    def state_dict(self) -> dict[str, Any]:
        """Batches given so far in this epoch."""
        return {"given": self._given, "plan": self._plan}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Start after the batches that were given before.

        Raises:
            ConfigError: those were batches of another plan, so that some would be left out or
                given twice.
        """
        before = state.get("plan")  # older runs did not save it
        if None not in (before, self._plan) and before != self._plan:
            raise ConfigError(OTHER_PLAN)
        self._from.start = self._given = int(state["given"])


class SpeechData(pl.LightningDataModule):
    """Training and validation batches.

    Args:
        train: training utterances with normalised texts.
        dev: validation utterances with normalised texts.
        sample_rate: of the model.
        loading: how batches are made.
        augmentation: how training speech is varied.
        seed: of the run.
        epochs: length of the training, for the curriculum.
    """

    def __init__(
        self,
        train: Sequence[Utterance],
        dev: Sequence[Utterance],
        sample_rate: int,
        loading: LoadingConfig,
        augmentation: AugmentationConfig,
        seed: int,
        epochs: int,
    ) -> None:
        super().__init__()
        self.train = train
        self.dev = dev
        self.sample_rate = sample_rate
        self.loading = loading
        self.augmentation = augmentation
        self.seed = seed
        self.epochs = epochs
        self.cuts: dict[str, list[float]] = {}
        """Word boundaries in seconds by utterance id; empty until the first alignment."""
        self.unreadable: dict[str, list[tuple[str, str]]] = {"train": [], "dev": []}
        """What could not be read so far, as ``Batch.faults`` has it."""

    def may_lose(self, split: str) -> int:
        """How many utterances of ``train`` or ``dev`` may turn out to be unreadable."""
        size = len(getattr(self, split))
        share = self.loading.unreadable
        return min(max(1, int(share * size)), size - 1) if share else 0

    def too_many(self, split: str, faults: Sequence[tuple[str, str]], advice: str) -> AudioError:
        """The error for more unreadable utterances than ``data.loading.unreadable`` allows."""
        return AudioError(
            f"{len(faults)} of {len(getattr(self, split))} recordings of the {split} set turned "
            f"out to be unreadable, more than the {self.may_lose(split)} that "
            f"data.loading.unreadable={self.loading.unreadable:g} allows; {advice}:"
            + listed_faults(faults)
        )

    def lose(self, split: str, faults: Sequence[tuple[str, str]]) -> None:
        """Remember what was found to be unreadable before the training; it is told when it begins.

        Raises:
            AudioError: it is too much.
        """
        self.unreadable[split] = one_each([*self.unreadable[split], *faults])
        if len(self.unreadable[split]) > self.may_lose(split):
            advice = "mend them or take them out of the manifest"
            raise self.too_many(split, self.unreadable[split], advice)

    def note_faults(self, split: str, batch: Batch) -> None:
        """Remember what a batch of ``train`` or ``dev`` lacks."""
        # torch's loader has made lists of them
        faults = [(name, reason) for name, reason in batch.faults]
        self.unreadable[split] = one_each([*self.unreadable[split], *faults])

    @property
    def readable_dev(self) -> list[Utterance]:
        """Validation utterances without those that were found to be unreadable."""
        lost = {name for name, _ in self.unreadable["dev"]}
        return [utterance for utterance in self.dev if utterance.id not in lost]

    def epoch_seconds(self, located: int | None = None) -> list[float]:
        """Seconds of speech in each epoch, as far as it is known now which can be cut.

        Args:
            located: first epoch before which words are going to be located, so that all can be cut.
        """
        words = [len(utterance.text.split()) for utterance in self.train]
        found: dict[int | None, float] = {}
        limits = [
            None
            if located is not None and epoch >= located
            else curriculum_limit(self.loading.curriculum, epoch / self.epochs)
            for epoch in range(self.epochs)
        ]
        for limit in set(limits):
            found[limit] = sum(
                utterance.duration
                for utterance, count in zip(self.train, words)
                if limit is None or count <= limit or utterance.id in self.cuts
            )
        return [found[limit] for limit in limits]

    def cut_at_pauses(self) -> int:
        """Locate words by pauses (see ``audio.pauses``); the number of utterances it worked for.

        Raises:
            AudioError: more utterances cannot be read than ``data.loading.unreadable`` allows.
        """
        faults = []
        for utterance in self.train:
            try:
                samples = read_utterance(utterance, self.sample_rate)
            except AudioError as error:
                faults.append((utterance.id, str(error)))
                continue
            words = len(utterance.text.split())
            boundaries = word_boundaries_by_pauses(samples, self.sample_rate, words)
            if boundaries is not None:
                self.cuts[utterance.id] = boundaries
        self.lose("train", faults)
        return len(self.cuts)

    def plan(self, epoch: int, world_size: int = 1) -> TrainingBatches:
        """All batches of an epoch, of all processes."""
        seed = (self.seed, epoch)
        progress = epoch / self.epochs
        limit = curriculum_limit(self.loading.curriculum, progress)
        mixing = mixing_at(self.loading.mixing, progress)
        examples = plan_examples(self.train, self.cuts, limit, mixing, seed)
        batches = plan_batches(
            [example.duration for example in examples],
            self.loading.batch_seconds,
            (*seed, 1),
            world_size,
        )
        if examples and not batches:
            raise InputError(
                f"{len(examples)} training examples are too few for {world_size} processes; "
                "lower trainer.devices"
            )
        if not batches:
            raise InputError(
                f"data.loading.curriculum leaves no training example in epoch {epoch}: no "
                f"utterance has {limit} words or fewer; raise max_words, or align first "
                "(training.align_at) so that longer utterances can be cut"
            )
        return TrainingBatches(
            self.train,
            examples,
            batches,
            self.sample_rate,
            self.loading.mixing,
            self.augmentation,
        )

    def train_dataloader(self) -> ResumableLoader:
        """Batches of this process in the current epoch."""
        trainer = self.trainer
        assert trainer is not None
        epoch = trainer.current_epoch
        batches = self.plan(epoch, trainer.world_size)
        plan = None
        if trainer.max_epochs is None or epoch < trainer.max_epochs:  # else nothing is trained
            durations = ([batches.examples[i].duration for i in batch] for batch in batches.batches)
            plan = plan_digest(durations, trainer.world_size)
        batches.batches = batches.batches[trainer.global_rank :: trainer.world_size]
        return ResumableLoader(batches, len(batches), self.loading.workers, plan)

    def utterance_batches(
        self, utterances: Sequence[Utterance], rank: int, world_size: int
    ) -> UtteranceBatches:
        """Whole utterances of this process, sorted by duration."""
        mine = utterances[rank::world_size]
        batches = plan_batches([u.duration for u in mine], self.loading.batch_seconds, None)
        return UtteranceBatches(mine, batches, self.sample_rate)

    def val_dataloader(self) -> ResumableLoader:
        """Validation utterances of this process."""
        trainer = self.trainer
        assert trainer is not None
        batches = self.utterance_batches(self.dev, trainer.global_rank, trainer.world_size)
        return ResumableLoader(batches, len(batches), self.loading.workers)

    def state_dict(self) -> dict[str, Any]:
        """What resuming needs beyond the configuration."""
        lost = [name for name, _ in self.unreadable["dev"]]
        return {"cuts": self.cuts, "fingerprint": fingerprint_of(self.train), "lost_dev": lost}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` gave.

        Raises:
            InputError: the run was started on other training data.
        """
        if state_dict["fingerprint"] != fingerprint_of(self.train):
            raise InputError(
                "the training manifest has changed since this run was stopped (ids, texts or "
                "durations); put it back, or start a new run without resume"
            )
        self.cuts = state_dict["cuts"]
        # a run may have nothing left to do but what comes after the last validation
        lost = set(state_dict.get("lost_dev", ()))  # older runs did not save it
        self.unreadable["dev"] = []
        for utterance in self.dev:
            if utterance.id in lost:
                try:
                    read_utterance(utterance, self.sample_rate)
                except AudioError as error:  # else it has been mended
                    self.unreadable["dev"].append((utterance.id, str(error)))
