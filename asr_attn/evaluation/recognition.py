"""Evaluating a recogniser on a test set."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from asr_attn.data.manifest import Utterance
from asr_attn.errors import AudioError
from asr_attn.evaluation.normalization import MODEL, VERSION, TextForm, labelled
from asr_attn.evaluation.results import Evaluation, score_texts
from asr_attn.evaluation.word_confidence import confidence_figures, judge_words
from asr_attn.recognizer import BATCH_SECONDS, Recognizer
from asr_attn.text.normalizer import normalize
from asr_attn.text.symbols import without_symbols
from asr_attn.transcript import Transcript

FEWEST_SPEAKERS = 20
"""Speakers from which on intervals are over speakers: of fewer, they would be too narrow."""


def normalized_references(recognizer: Recognizer, utterances: Sequence[Utterance]) -> list[str]:
    """Texts of utterances, written as in the training of the recogniser."""
    return normal_texts(recognizer, [u.text for u in utterances], None)


def references_of(
    recognizer: Recognizer, utterances: Sequence[Utterance], form: TextForm | None
) -> list[str]:
    """Texts of utterances in the form that they are compared in; None: as in the training."""
    return normal_texts(recognizer, [u.text for u in utterances], form)


def normal_texts(recognizer: Recognizer, texts: Sequence[str], form: TextForm | None) -> list[str]:
    """Texts in a form; None: as in the training of the recogniser."""
    if form is not None:
        return [form.apply(text) for text in texts]
    return [normalize(text, recognizer.model.normalizer) for text in texts]


def form_label(form: TextForm | None, ignored: Sequence[str] = ()) -> str:
    """The name of a form, its version and the words that are ignored; None: as in the training."""
    return labelled(form.label if form is not None else f"{MODEL}/{VERSION}", ignored)


def evaluate(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    *,
    form: TextForm | None = None,
    ignored: Sequence[str] = (),
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
        ignored: words that do not count on either side, such as "[noise]"; the texts of
            ``utterances`` must be without them.
        beam: open hypotheses of the search; 1 is greedy.
        batch_seconds: audio that is recognised at once, padding included.
        on_result: is told each result with the index of its utterance, not in order.

    Returns:
        The figures over all recordings that could be read; ``failures`` names the others.

    Raises:
        AudioError: none of the recordings could be read.
    """
    references = references_of(recognizer, utterances, form)
    transcripts: dict[int, Transcript] = {}
    failures: dict[int, str] = {}
    start = time.perf_counter()
    for i, result in recognizer.transcribe_utterances(
        utterances, beam=beam, batch_seconds=batch_seconds
    ):
        if isinstance(result, AudioError):
            failures[i] = str(result)
        else:
            result = without_words(result, ignored)
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
    own = normalized_references(recognizer, [utterances[i] for i in done])
    words = judge_words(found, own)  # words are as the model writes them, whatever the form
    return replace(
        figures,
        speakers=_speakers([utterances[i].speaker for i in done]),
        peak_memory=_peak_memory(),
        normalizer=form_label(form, ignored),
        audio_seconds=sum(transcripts[i].duration for i in done),
        recognition_seconds=seconds,
        confidence=confidence_figures(words.confidence, words.correct, words.utterance),
        transcripts={utterances[i].id: transcripts[i] for i in done},
        failures={utterances[i].id: failures[i] for i in sorted(failures)},
    )


def without_words(transcript: Transcript, ignored: Sequence[str]) -> Transcript:
    """A transcript whose text and words lack those that are ignored, and its alternatives too."""
    if not ignored:
        return transcript
    return replace(
        transcript,
        text=without_symbols(transcript.text, ignored),
        words=tuple(w for w in transcript.words if without_symbols(w.text, ignored)),
        alternatives=tuple(without_words(other, ignored) for other in transcript.alternatives),
    )


def _speakers(names: Sequence[str | None]) -> NDArray[np.int64] | None:
    """Numbers of the speakers, if all are known and there are enough of them."""
    known = {name: i for i, name in enumerate(dict.fromkeys(names))}
    if None in known or len(known) < FEWEST_SPEAKERS:
        return None
    return np.array([known[name] for name in names])


def _peak_memory() -> float | None:
    """Greatest resident memory of the process so far in MB."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
