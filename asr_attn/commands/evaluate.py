"""``asr-attn evaluate``: error rates of a model, or of texts."""

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from asr_attn.commands.searching import SETTINGS, load_recognizer
from asr_attn.commands.terminal import Progress, json_line, opened, refuse_overwriting, say
from asr_attn.commands.transcribe import record, report_failures, warn, warn_of_long
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.errors import AudioError, InputError
from asr_attn.evaluation.normalization import TextForm, text_form
from asr_attn.evaluation.results import Evaluation, score_texts
from asr_attn.evaluation.text_changes import marked_changes
from asr_attn.evaluation.texts import read_pairs

if TYPE_CHECKING:
    from asr_attn.recognizer import Recognizer, Transcript

_FOR_MODELS = (
    *("checkpoint", "manifest", "beam", "device", "batch_seconds", "hypotheses"),
    *("hotword", "hotwords", *SETTINGS),
)
_FOR_TEXTS = ("reference", "hypothesis")
_SHOWN_CHARACTERS = 10


def evaluate(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: the arguments or the files do not go together.
    """
    if args.reference is not None or args.hypothesis is not None:
        return _evaluate_texts(args)
    if args.checkpoint is None or args.manifest is None:
        raise InputError(
            "evaluate needs CHECKPOINT and MANIFEST, or --reference and --hypothesis; "
            "see asr-attn evaluate --help"
        )
    _refuse(args, _FOR_TEXTS, "goes with --reference and --hypothesis, not with a model")
    return _evaluate_model(args)


def _refuse(args: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    for name in names:
        if getattr(args, name) not in (None, False):
            positional = name in ("checkpoint", "manifest")
            shown = name.upper() if positional else f"--{name.replace('_', '-')}"
            raise InputError(f"{shown} {why}; see asr-attn evaluate --help")


def _evaluate_texts(args: argparse.Namespace) -> int:
    if args.reference is None or args.hypothesis is None:
        raise InputError("--reference and --hypothesis go together; give both")
    _refuse(args, _FOR_MODELS, "goes with a model, not with --reference and --hypothesis")
    outputs = {"--output": args.output, "--changes": args.changes}
    refuse_overwriting(outputs, [args.reference, args.hypothesis])
    form = text_form(args.normalizer or "none")
    pairs = read_pairs(args.reference, args.hypothesis)
    references, hypotheses = ([form.apply(text) for text in texts] for texts in pairs)
    try:
        result = replace(score_texts(references, hypotheses), normalizer=form.label)
    except InputError as error:
        raise InputError(f"{args.reference}: {error}") from None
    if args.changes is not None:
        names = [str(number) for number in range(1, len(references) + 1)]
        with opened(args.changes) as stream:
            _write_changes(stream, names, pairs, (references, hypotheses))
    with opened(args.output) as stream:
        _write(stream, result, args, {})
    return 0


def _evaluate_model(args: argparse.Namespace) -> int:
    form = text_form(args.normalizer) if args.normalizer else None
    if args.changes is not None and form is None:
        raise InputError("--changes goes with --normalizer NAME")
    outputs = {
        "--output": args.output,
        "--hypotheses": args.hypotheses,
        "--changes": args.changes,
    }
    refuse_overwriting(outputs, [p for p in (args.checkpoint, args.manifest) if p.is_file()])
    utterances = read_manifest(args.manifest)
    recognizer = load_recognizer(args)
    source = {
        "model": str(args.checkpoint),
        "manifest": str(args.manifest),
        "beam": recognizer.search.beam,
    }
    warn_of_long(recognizer, utterances)
    _warn_of_unknown(recognizer, utterances, args.manifest)
    with ExitStack() as files:  # both are opened now: better to fail before the work than after
        report = files.enter_context(opened(args.output)) if args.output else None
        texts = files.enter_context(opened(args.hypotheses)) if args.hypotheses else None
        changes = files.enter_context(opened(args.changes)) if args.changes else None
        result = _recognize(recognizer, utterances, form, args)
        if texts is not None:
            _write_texts(texts, recognizer, utterances, form, result)
        if changes is not None and form is not None:
            done = [u for u in utterances if u.id in result.transcripts]
            said, heard = [u.text for u in done], [result.transcripts[u.id].text for u in done]
            applied = ([form.apply(t) for t in said], [form.apply(t) for t in heard])
            _write_changes(changes, [u.id for u in done], (said, heard), applied)
        if report is not None:
            _write(report, result, args, source)
    if args.output is None:
        with opened(None) as stream:
            _write(stream, result, args, source)
    return report_failures(list(result.failures.values()), len(utterances))


def _warn_of_unknown(recognizer: "Recognizer", utterances: list[Utterance], manifest: Path) -> None:
    """Say which characters of the references the model can never write."""
    from asr_attn.evaluation.recognition import normalized_references

    unknown = recognizer.model.tokenizer.unknown(normalized_references(recognizer, utterances))
    if unknown:
        shown = [f"{sign!r} ({count} times)" for sign, count in unknown.items()]
        more = ", ..." if len(shown) > _SHOWN_CHARACTERS else ""
        say(
            f"{manifest}: the texts hold characters that the model does not know, and each of them "
            f"counts as an error: {', '.join(shown[:_SHOWN_CHARACTERS])}{more}"
        )


def _recognize(
    recognizer: "Recognizer",
    utterances: list[Utterance],
    form: TextForm | None,
    args: argparse.Namespace,
) -> Evaluation:
    from asr_attn.evaluation import recognition
    from asr_attn.recognizer import BATCH_SECONDS

    with Progress("evaluating", len(utterances)) as bar:

        def on_result(i: int, result: "Transcript | AudioError") -> None:
            bar.advance()
            if not isinstance(result, AudioError) and (result.silent or result.truncated):
                with bar.hidden():
                    warn(utterances[i].id, result)

        try:
            return recognition.evaluate(
                recognizer,
                utterances,
                form=form,
                batch_seconds=args.batch_seconds or BATCH_SECONDS,
                on_result=on_result,
            )
        except InputError as error:
            raise InputError(f"{args.manifest}: {error}") from None


def _write_texts(
    stream: IO[str],
    recognizer: "Recognizer",
    utterances: list[Utterance],
    form: TextForm | None,
    result: Evaluation,
) -> None:
    """Write what was recognised; ``text`` and ``reference`` are in the form that is compared."""
    from asr_attn.evaluation.recognition import references_of

    for utterance, reference in zip(utterances, references_of(recognizer, utterances, form)):
        if utterance.id not in result.transcripts:
            continue
        line = record(utterance, result.transcripts[utterance.id])
        line |= {"reference": reference, "normalizer": result.normalizer}
        if utterance.speaker is not None:
            line["speaker"] = utterance.speaker
        if form is not None:
            line |= {"text": form.apply(line["text"]), "recognised": line["text"]}
        stream.write(json_line(line))


def _write_changes(
    stream: IO[str],
    names: Sequence[str],
    before: tuple[Sequence[str], Sequence[str]],
    after: tuple[Sequence[str], Sequence[str]],
) -> None:
    """Write, for references and hypotheses, the texts that normalisation changed."""
    for side, old, new in zip(("reference", "hypothesis"), before, after):
        for name, one, other in zip(names, old, new, strict=True):
            if one.split() != other.split():
                stream.write(f"{name}\t{side}\t{marked_changes(one, other)}\n")


def _write(
    stream: IO[str], result: Evaluation, args: argparse.Namespace, source: dict[str, object]
) -> None:
    output: Path | None = args.output
    chosen = args.format
    if chosen is None:
        chosen = "json" if output is not None and output.suffix.lower() == ".json" else "text"
    if chosen == "json":
        figures = {**source, **result.to_dict()}
        if result.failures:
            figures["failures"] = dict(result.failures)
        stream.write(json.dumps(figures, indent=2, allow_nan=False) + "\n")
    else:
        stream.write(result.to_text())
