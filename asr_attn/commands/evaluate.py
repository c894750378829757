"""``asr-attn evaluate``: error rates of a model, or of texts."""

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

from asr_attn.commands.searching import SETTINGS, load_recognizer
from asr_attn.commands.terminal import Progress, json_line, opened, refuse_overwriting, say
from asr_attn.commands.transcribe import record, report_failures, warn, warn_of_long
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.errors import AudioError, InputError
from asr_attn.evaluation.results import Evaluation, score_texts
from asr_attn.evaluation.texts import read_pairs
from asr_attn.text.normalizer import NormalizerConfig, normalize

if TYPE_CHECKING:
    from asr_attn.recognizer import Recognizer, Transcript

_FOR_MODELS = (
    *("checkpoint", "manifest", "beam", "device", "batch_seconds", "hypotheses"),
    *("hotword", "hotwords", *SETTINGS),
)
_FOR_TEXTS = ("reference", "hypothesis", "normalize")
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
    refuse_overwriting({"--output": args.output}, [args.reference, args.hypothesis])
    references, hypotheses = read_pairs(args.reference, args.hypothesis)
    if args.normalize:
        references = [normalize(text, NormalizerConfig()) for text in references]
        hypotheses = [normalize(text, NormalizerConfig()) for text in hypotheses]
    try:
        result = score_texts(references, hypotheses)
    except InputError as error:
        raise InputError(f"{args.reference}: {error}") from None
    with opened(args.output) as stream:
        _write(stream, result, args, {})
    return 0


def _evaluate_model(args: argparse.Namespace) -> int:
    outputs = {"--output": args.output, "--hypotheses": args.hypotheses}
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
        result = _recognize(recognizer, utterances, args)
        if texts is not None:
            _write_texts(texts, recognizer, utterances, result)
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
    recognizer: "Recognizer", utterances: list[Utterance], args: argparse.Namespace
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
                batch_seconds=args.batch_seconds or BATCH_SECONDS,
                on_result=on_result,
            )
        except InputError as error:
            raise InputError(f"{args.manifest}: {error}") from None


def _write_texts(
    stream: IO[str], recognizer: "Recognizer", utterances: list[Utterance], result: Evaluation
) -> None:
    from asr_attn.evaluation.recognition import normalized_references

    for utterance, reference in zip(utterances, normalized_references(recognizer, utterances)):
        if utterance.id in result.transcripts:
            line = record(utterance, result.transcripts[utterance.id])
            stream.write(json_line({**line, "reference": reference}))


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
