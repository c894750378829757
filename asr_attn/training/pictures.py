"""Pictures of attention during training."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import matplotlib
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from numpy.typing import NDArray

from asr_attn.data.batches import pad_waveforms, read_utterance
from asr_attn.data.manifest import Utterance
from asr_attn.errors import InputError
from asr_attn.files import atomic_path
from asr_attn.training.loss import targets_of
from asr_attn.training.task import RecognizerTask

matplotlib.use("Agg")


def draw_attention(
    weights: NDArray[np.float32], labels: Sequence[str], seconds: float, title: str
) -> Figure:
    """Draw which part of the speech each token attended to.

    Args:
        weights: (U, S) attention weights.
        labels: U tokens.
        seconds: duration of the S memory steps.
        title: above the picture.
    """
    figure = Figure(figsize=(8, max(2.0, 0.16 * len(labels) + 1)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(
        weights,
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        vmin=0.0,
        vmax=1.0,
        extent=(0.0, seconds, len(labels) - 0.5, -0.5),
    )
    axes.set_yticks(range(len(labels)), labels, fontsize=7, parse_math=False)
    axes.set_xlabel("seconds")
    axes.set_title(title, fontsize=9, parse_math=False)
    return figure


class AttentionPictures(pl.Callback):
    """Draws the teacher-forced attention of a few fixed validation utterances.

    Args:
        folder: where the pictures go, one per utterance and validation.
        count: how many of the first validation utterances are drawn.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.count = count

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, once attention is being trained; a picture that fails stops nothing."""
        task = cast(RecognizerTask, pl_module)
        utterances = task.speech.dev[: self.count]
        if trainer.sanity_checking or not trainer.is_global_zero or not utterances:
            return
        if not task.attention_has_begun:
            return
        epoch = trainer.current_epoch
        for i, (utterance, drawn) in enumerate(zip(utterances, attention_of(task, utterances))):
            figure = draw_attention(*drawn, f"{utterance.id}, epoch {epoch}: {utterance.text}")
            try:
                with atomic_path(self.folder / f"{i}_epoch={epoch:04d}.png") as path:
                    figure.savefig(path, dpi=80, format="png")
            except InputError as error:
                print(f"note: {error}", file=sys.stderr)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    writer: Any = logger.experiment
                    writer.add_figure(f"attention/{i}", figure, trainer.global_step)


@torch.inference_mode()
def attention_of(
    task: RecognizerTask, utterances: Sequence[Utterance]
) -> list[tuple[NDArray[np.float32], list[str], float]]:
    """Attention weights (U, S), the mean of all heads, token labels and seconds of each utterance."""
    network, tokenizer = task.network, task.model.tokenizer
    rate = network.features.config.sample_rate
    waveforms, samples = pad_waveforms([read_utterance(u, rate) for u in utterances])
    memory, lengths = network.encode(waveforms.to(task.device), samples.to(task.device))
    tokens = [tokenizer.encode(u.text) for u in utterances]
    inputs, _ = targets_of(tokens, task.device)
    weights = network.speller(memory, lengths, inputs).weights.mean(dim=2)
    drawn = []
    for row, steps, ids in zip(weights.float().cpu(), lengths.tolist(), tokens):
        labels = [tokenizer.decode([i]).replace(" ", "␣") for i in ids] + ["end"]
        seconds = steps * network.seconds_per_step
        drawn.append((row[: len(labels), :steps].numpy(), labels, seconds))
    return drawn
