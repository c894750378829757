"""What a run ends with: the best model, or the average of the best ones, and its error rates."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from asr_attn.checkpoint import MODEL_FILE, TrainedModel, load_model, save_model
from asr_attn.data.manifest import Utterance
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.errors import AudioError
from asr_attn.evaluation.error_rates import ErrorCounts, count_errors
from asr_attn.recognizer import Recognizer
from asr_attn.training.checkpoints import BEST_FOLDER, RunCheckpoints, average_models


def average_best(
    folder: Path, checkpoints: RunCheckpoints, dev: Sequence[Utterance], device: torch.device
) -> float:
    """Average the best models and keep the average if it is no worse than the best of them.

    Returns:
        WER of the model file on the validation set.
    """
    files = [folder / BEST_FOLDER / kept.file for kept in checkpoints.best]
    best = load_model(folder, device)
    wer = errors_on(best, dev).rate
    if len(files) > 1:
        average = load_model(folder, device)
        average.network.load_state_dict(average_models(files))
        average_wer = errors_on(average, dev).rate
        if average_wer <= wer:
            wer = average_wer
            info = {**average.info, "averaged": len(files), "dev_wer": wer}
            save_model(folder / MODEL_FILE, replace(average, info=info))
    return wer


def errors_on(
    model: TrainedModel, utterances: Sequence[Utterance], search: SearchConfig | None = None
) -> ErrorCounts:
    """Word errors on utterances with normalised texts; by greedy search if not said otherwise."""
    recognizer = Recognizer(model, search)
    texts = [""] * len(utterances)
    for i, result in recognizer.transcribe_utterances(utterances):
        if isinstance(result, AudioError):
            raise result
        texts[i] = result.text
    return count_errors([u.text for u in utterances], texts)
