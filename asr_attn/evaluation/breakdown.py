"""An evaluation by groups of utterances, and by words that the training texts lack."""

from collections.abc import Sequence
from dataclasses import replace

from asr_attn.data.manifest import Utterance
from asr_attn.evaluation.grouping import labels_of
from asr_attn.evaluation.normalization import TextForm
from asr_attn.evaluation.recognition import normal_texts, references_of
from asr_attn.evaluation.results import Evaluation
from asr_attn.evaluation.scoring import count_unknown, grouped
from asr_attn.recognizer import Recognizer


def with_breakdown(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    result: Evaluation,
    form: TextForm | None,
    fields: Sequence[str],
    known: Sequence[str] | None,
) -> Evaluation:
    """Add groups by ``fields``, and words that the texts ``known`` from the training lack.

    Args:
        recognizer: whose evaluation it is.
        utterances: that were recognised.
        result: of them.
        form: of the texts, as in the evaluation.
        fields: see ``evaluation.grouping``.
        known: texts; None leaves such words uncounted.

    Raises:
        InputError: an utterance lacks a field.
    """
    done = [u for u in utterances if u.id in result.transcripts]
    counts = result.scores.words.tolist()
    groups = {}
    for name in fields:
        labels = labels_of(name, done, counts, recognizer.sample_rate)
        groups[name] = grouped(result.scores, labels)
    unknown = None
    if known is not None:
        words = {word for text in normal_texts(recognizer, known, form) for word in text.split()}
        unknown = count_unknown(references_of(recognizer, done, form), result.scores, words)
    return replace(result, groups=groups, unknown_words=unknown)
