"""Attention over validation utterances during training, and pictures of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger

from asr_attn.data.batches import read_utterance
from asr_attn.data.manifest import Utterance
from asr_attn.errors import InputError, is_out_of_memory
from asr_attn.evaluation.attention import UtteranceAttention, teacher_forced_attention
from asr_attn.evaluation.drawing import draw_alignment, save_figure
from asr_attn.training.processes import note
from asr_attn.training.task import RecognizerTask


def attention_of(task: RecognizerTask, utterances: Sequence[Utterance]) -> list[UtteranceAttention]:
    """Attention over utterances of a manifest while their own texts are read."""
    try:
        return _attention_at_once(task, utterances)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return [a for utterance in utterances for a in _attention_at_once(task, [utterance])]


def _attention_at_once(
    task: RecognizerTask, utterances: Sequence[Utterance]
) -> list[UtteranceAttention]:
    rate = task.model.features.sample_rate
    return teacher_forced_attention(
        task.model,
        [read_utterance(utterance, rate) for utterance in utterances],
        [task.model.tokenizer.encode(utterance.text) for utterance in utterances],
    )


def draw_pictures(
    trainer: pl.Trainer,
    folder: Path,
    utterances: Sequence[Utterance],
    attention: Sequence[UtteranceAttention],
) -> None:
    """Draw the attention over utterances; a picture that cannot be written stops nothing.

    Args:
        trainer: of the run; its TensorBoard gets the pictures too.
        folder: where they go, one per utterance and epoch.
        utterances: what was said.
        attention: over each of them.
    """
    epoch = trainer.current_epoch
    for i, (utterance, drawn) in enumerate(zip(utterances, attention)):
        figure = draw_alignment(drawn, title=f"{utterance.id}, epoch {epoch}: {utterance.text}")
        try:
            save_figure(figure, folder / f"{i}_epoch={epoch:04d}.png", dpi=80)
        except InputError as error:
            note(str(error))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                writer: Any = logger.experiment
                writer.add_figure(f"attention/{i}", figure, trainer.global_step)
