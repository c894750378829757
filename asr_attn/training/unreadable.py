"""Recordings that turn out to be unreadable while training goes on."""

from typing import Any, cast

import lightning.pytorch as pl

from asr_attn.data.batches import Batch
from asr_attn.data.datamodule import SpeechData, one_each
from asr_attn.errors import AudioError
from asr_attn.shell import setting
from asr_attn.training.incidents import report
from asr_attn.training.processes import any_process, of_all_processes, stop_together


class UnreadableAudio(pl.Callback):
    """Names recordings that cannot be read, and stops when there are too many of them.

    Headers were checked before training; what is found here is damaged further in, or went away
    since. Batches come without it. How many are too many is told by ``data.loading.unreadable``.
    """

    def __init__(self) -> None:
        self._told: dict[str, list[tuple[str, str]]] = {"train": [], "dev": []}

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Look at what the batch lacks, before anything is learnt from the rest of it."""
        _data_of(trainer).note_faults("train", batch)
        self._check(trainer)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Look at what the batch lacks; processes have batches of different number here."""
        _data_of(trainer).note_faults("dev", batch)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell what the validation set lacks."""
        self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        """Share among all processes what is unreadable, and tell what is new.

        Raises:
            AudioError: it is too much.
            SystemExit: the same, in other than the main process.
        """
        data = _data_of(trainer)
        if not any_process(
            trainer,
            any(len(data.unreadable[split]) > len(told) for split, told in self._told.items()),
        ):
            return
        everywhere = of_all_processes(trainer, data.unreadable)
        for split, told in self._told.items():
            shared = [fault for found in everywhere for fault in found[split]]
            data.unreadable[split] = one_each(shared)
            new = one_each([*told, *shared])[len(told) :]
            told += new
            if trainer.is_global_zero:
                for name, reason in new:
                    _tell(trainer, split, name, reason)
            if len(told) > data.may_lose(split):
                stop_together(trainer, _too_many(trainer, split, told))


def _tell(trainer: pl.Trainer, split: str, name: str, reason: str) -> None:
    what = f"{name}: {reason}" if name else reason
    report(
        trainer,
        "unreadable",
        f"{what.rstrip('.')}; the {split} set goes on without it",
        split=split,
        utterances=[name] if name else [],
    )


def _too_many(trainer: pl.Trainer, split: str, faults: list[tuple[str, str]]) -> AudioError:
    advice = f"mend them, then go on with {setting('resume', trainer.default_root_dir)}"
    return _data_of(trainer).too_many(split, faults, advice)


def _data_of(trainer: pl.Trainer) -> SpeechData:
    return cast(SpeechData, trainer.datamodule)  # type: ignore[attr-defined]
