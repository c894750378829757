"""One model on one test set: recognised with a bar, told and written as it comes."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asr_attn.commands.line_output import InOrder, Lines
from asr_attn.commands.terminal import Progress, json_line
from asr_attn.commands.transcribe import record, warn
from asr_attn.data.manifest import Utterance
from asr_attn.errors import AudioError, InputError
from asr_attn.evaluation.normalization import TextForm
from asr_attn.evaluation.results import Evaluation

if TYPE_CHECKING:
    from asr_attn.recognizer import Recognizer
    from asr_attn.transcript import Transcript


def evaluate_set(
    recognizer: "Recognizer",
    utterances: list[Utterance],
    form: TextForm | None,
    ignored: Sequence[str],
    manifest: Path,
    args: argparse.Namespace,
    heard: Lines | None,
) -> Evaluation:
    """Evaluate a model on the utterances of a manifest.

    Args:
        recognizer: the model.
        utterances: of the manifest.
        form: that texts are compared in.
        ignored: words that do not count; the texts of ``utterances`` are without them.
        manifest: is named by what is said.
        args: of the command.
        heard: takes what is recognised, in order and as soon as it comes.

    Raises:
        InputError: there is nothing to compare, or what is recognised cannot be written.
    """
    from asr_attn.evaluation import recognition
    from asr_attn.recognizer import BATCH_SECONDS

    references = recognition.references_of(recognizer, utterances, form)
    failed: set[int] = set()
    with Progress("evaluating", len(utterances)) as bar:

        def tell(i: int, transcript: "Transcript") -> None:
            if heard is not None:
                heard.write(_line(utterances[i], transcript, references[i], form, ignored))
            if transcript.silent or transcript.truncated or transcript.notes:
                with bar.hidden():
                    warn(utterances[i].id, transcript)

        results = InOrder(tell, failed)

        def on_result(i: int, result: "Transcript | AudioError") -> None:
            bar.advance()
            if isinstance(result, AudioError):
                failed.add(i)
                results.advance()
            else:
                results.add(i, result)

        try:
            return recognition.evaluate(
                recognizer,
                utterances,
                form=form,
                ignored=ignored,
                batch_seconds=args.batch_seconds or BATCH_SECONDS,
                on_result=on_result,
            )
        except InputError as error:
            if isinstance(error.__cause__, OSError):  # of an output, not of the manifest
                raise
            raise InputError(f"{manifest}: {error}") from None
        except (KeyboardInterrupt, MemoryError, RuntimeError):
            results.rest()
            raise


def _line(
    utterance: Utterance,
    transcript: "Transcript",
    reference: str,
    form: TextForm | None,
    ignored: Sequence[str],
) -> str:
    """What was recognised; ``text`` and ``reference`` are in the form that is compared."""
    from asr_attn.evaluation.recognition import form_label

    line = record(utterance, transcript)
    line |= {"reference": reference, "normalizer": form_label(form, ignored)}
    if form is not None:
        line |= {"text": form.apply(line["text"]), "recognised": line["text"]}
    return json_line(line)
