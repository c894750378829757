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
from asr_attn.evaluation.scoring import score_characters, score_words
from asr_attn.evaluation.word_confidence import judge_words, learn_calibration
from asr_attn.recognizer import Recognizer
from asr_attn.training.checkpoints import AVERAGED, BEST_FOLDER, RATES, RunCheckpoints
from asr_attn.transcript import Transcript


def average_best(
    folder: Path, checkpoints: RunCheckpoints, dev: Sequence[Utterance], device: torch.device
) -> dict[str, float]:
    """Average the best models and keep the average if it is no worse than the best of them.

    What is kept learns from the validation set how sure its words are.

    Returns:
        WER and CER of the model file on the validation set, by "wer" and "cer".
    """
    texts = [u.text for u in dev]
    files = [folder / BEST_FOLDER / kept.file for kept in checkpoints.best]
    model = load_model(folder, device)
    found = transcripts_of(model, dev)
    rates = _rates(texts, found)
    if len(files) > 1:
        average = average_models(files, device)
        others = transcripts_of(average, dev)
        of_average = _rates(texts, others)
        if of_average[checkpoints.monitor] <= rates[checkpoints.monitor]:
            rates, found = of_average, others
            model = replace(average, info={**model.info, **average.info})
    calibration = learn_calibration(judge_words(found, texts))
    info = {**model.info, **{f"dev_{name}": rate for name, rate in rates.items()}, AVERAGED: None}
    for name, score in zip(RATES, (score_words, score_characters), strict=True):
        scores = score(texts, [t.text for t in found])
        if scores.words.any():
            interval = rate_interval(scores.errors, scores.words)
            info[f"dev_{name}_interval"] = [interval.low, interval.high]
    save_model(folder / MODEL_FILE, replace(model, info=info, calibration=calibration))
    return rates


def _rates(references: Sequence[str], transcripts: Sequence[Transcript]) -> dict[str, float]:
    """WER and CER; where no words are said, each error counts as one."""
    texts = [transcript.text for transcript in transcripts]
    counts = [count_errors(references, texts, characters=name == "cer") for name in RATES]
    return {name: c.errors / max(c.total, 1) for name, c in zip(RATES, counts, strict=True)}


def errors_on(
    model: TrainedModel, utterances: Sequence[Utterance], search: SearchConfig | None = None
) -> tuple[ErrorCounts, ErrorCounts]:
    """Wrong words and wrong characters on utterances with normalised texts.

    The search is greedy if not said otherwise.
    """
    texts = [t.text for t in transcripts_of(model, utterances, search)]
    said = [u.text for u in utterances]
    return count_errors(said, texts), count_errors(said, texts, characters=True)


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
