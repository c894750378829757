"""Evaluating a recogniser on a test set."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from asr_attn.data.manifest import Utterance
from asr_attn.errors import AudioError
from asr_attn.evaluation.normalization import MODEL, VERSION, TextForm
from asr_attn.evaluation.results import Evaluation, require_words, score_texts
from asr_attn.evaluation.word_confidence import confidence_figures, judge_words
from asr_attn.recognizer import BATCH_SECONDS, Recognizer, Transcript
from asr_attn.text.normalizer import normalize


def normalized_references(recognizer: Recognizer, utterances: Sequence[Utterance]) -> list[str]:
    """Texts of utterances, written as in the training of the recogniser."""
    return [normalize(u.text, recognizer.model.normalizer) for u in utterances]


def references_of(
    recognizer: Recognizer, utterances: Sequence[Utterance], form: TextForm | None
) -> list[str]:
    """Texts of utterances in the form that they are compared in; None: as in the training."""
    if form is None:
        return normalized_references(recognizer, utterances)
    return [form.apply(u.text) for u in utterances]


def evaluate(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    *,
    form: TextForm | None = None,
    beam: int | None = None,
    batch_seconds: float = BATCH_SECONDS,
    on_result: Callable[[int, Transcript | AudioError], None] | None = None,
) -> Evaluation:
    """Recognise utterances and count the errors.

    References are normalised as in the training of the recogniser, and what it writes is taken as
    it is, unless a form is given that both are brought to.

    Args:
        recognizer: what is evaluated.
        utterances: what was said, with ids that differ.
        form: of the texts.
        beam: open hypotheses of the search; 1 is greedy.
        batch_seconds: audio that is recognised at once, padding included.
        on_result: is told each result with the index of its utterance, not in order.

    Returns:
        The figures over all recordings that could be read; ``failures`` names the others.

    Raises:
        InputError: the references hold no words.
        AudioError: none of the recordings could be read.
    """
    references = references_of(recognizer, utterances, form)
    require_words(references)
    transcripts: dict[int, Transcript] = {}
    failures: dict[int, str] = {}
    start = time.perf_counter()
    for i, result in recognizer.transcribe_utterances(
        utterances, beam=beam, batch_seconds=batch_seconds
    ):
        if isinstance(result, AudioError):
            failures[i] = str(result)
        else:
            transcripts[i] = result
        if on_result is not None:
            on_result(i, result)
    seconds = time.perf_counter() - start
    if not transcripts:
        first = failures[min(failures)]
        count = len(failures)
        raise AudioError(f"no recording could be read ({count} failed), the first: {first}")
    done = sorted(transcripts)
    said, found = [references[i] for i in done], [transcripts[i] for i in done]
    if form is not None:
        found = [replace(t, text=form.apply(t.text)) for t in found]
    figures = score_texts(said, [transcript.text for transcript in found])
    words = judge_words(found, said)
    return replace(
        figures,
        normalizer=form.label if form is not None else f"{MODEL}/{VERSION}",
        audio_seconds=sum(transcripts[i].duration for i in done),
        recognition_seconds=seconds,
        confidence=confidence_figures(words.confidence, words.correct),
        transcripts={utterances[i].id: transcripts[i] for i in done},
        failures={utterances[i].id: failures[i] for i in sorted(failures)},
    )
