"""What a run ends with: the best model, or the average of the best ones, and its error rates."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from asr_attn.checkpoint import (
    MODEL_FILE,
    TrainedModel,
    average_models,
    load_model,
    save_model,
)
from asr_attn.data.manifest import Utterance
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.errors import AudioError
from asr_attn.evaluation.error_rates import ErrorCounts, count_errors
from asr_attn.evaluation.intervals import rate_interval
from asr_attn.evaluation.scoring import score_words
from asr_attn.evaluation.word_confidence import judge_words, learn_calibration
from asr_attn.recognizer import Recognizer, Transcript
from asr_attn.training.checkpoints import AVERAGED, BEST_FOLDER, RunCheckpoints


def average_best(
    folder: Path, checkpoints: RunCheckpoints, dev: Sequence[Utterance], device: torch.device
) -> float:
    """Average the best models and keep the average if it is no worse than the best of them.

    What is kept learns from the validation set how sure its words are.

    Returns:
        WER of the model file on the validation set.
    """
    texts = [u.text for u in dev]
    files = [folder / BEST_FOLDER / kept.file for kept in checkpoints.best]
    model = load_model(folder, device)
    found = transcripts_of(model, dev)
    wer = count_errors(texts, [t.text for t in found]).rate
    if len(files) > 1:
        average = average_models(files, device)
        others = transcripts_of(average, dev)
        average_wer = count_errors(texts, [t.text for t in others]).rate
        if average_wer <= wer:
            wer, found = average_wer, others
            model = replace(average, info={**model.info, **average.info, "dev_wer": wer})
    calibration = learn_calibration(judge_words(found, texts))
    scores = score_words(texts, [t.text for t in found])
    interval = rate_interval(scores.errors, scores.words)
    info = {**model.info, AVERAGED: [interval.low, interval.high]}
    save_model(folder / MODEL_FILE, replace(model, info=info, calibration=calibration))
    return wer


def errors_on(
    model: TrainedModel, utterances: Sequence[Utterance], search: SearchConfig | None = None
) -> ErrorCounts:
    """Word errors on utterances with normalised texts; by greedy search if not said otherwise."""
    found = transcripts_of(model, utterances, search)
    return count_errors([u.text for u in utterances], [t.text for t in found])


def transcripts_of(
    model: TrainedModel, utterances: Sequence[Utterance], search: SearchConfig | None = None
) -> list[Transcript]:
    """What is recognised in utterances, in their order.

    Raises:
        AudioError: a recording cannot be read.
    """
    found: dict[int, Transcript] = {}
    for i, result in Recognizer(model, search).transcribe_utterances(utterances):
        if isinstance(result, AudioError):
            raise result
        found[i] = result
    return [found[i] for i in range(len(utterances))]
