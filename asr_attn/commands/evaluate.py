"""``asr-attn evaluate``: error rates of a model, or of texts."""

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING

from asr_attn.commands.evaluate_set import evaluate_set
from asr_attn.commands.inputs import files_read
from asr_attn.commands.line_output import line_output
from asr_attn.commands.searching import SETTINGS, load_recognizer
from asr_attn.commands.terminal import (
    opened,
    refuse_overwriting,
    say,
    text_name,
)
from asr_attn.commands.transcribe import (
    is_manifest,
    report_failures,
    warn_of_long,
)
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.errors import InputError
from asr_attn.evaluation.normalization import TextForm, labelled, text_form
from asr_attn.evaluation.results import Evaluation, score_texts
from asr_attn.evaluation.text_changes import marked_changes
from asr_attn.evaluation.text_warnings import (
    case_warnings,
    emptied_warnings,
    language_warnings,
    mark_warnings,
)
from asr_attn.evaluation.texts import read_pairs
from asr_attn.files import partial_of
from asr_attn.text.symbols import check_symbols, without_symbols

if TYPE_CHECKING:
    from asr_attn.recognizer import Recognizer

_FOR_MODELS = (
    *("paths", "beam", "device", "batch_seconds", "hypotheses", "by", "train"),
    *("hotword", "hotwords", "search", *SETTINGS),
)
_FOR_TEXTS = ("reference_format", "hypothesis_format")
_SHOWN_CHARACTERS = 10
FORMATS = ("text", "json", "md", "csv")
"""Of the figures."""

Source = dict[str, object]
"""What an evaluation is of."""


def evaluate(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: the arguments or the files do not go together.
    """
    if args.reference is not None or args.hypothesis is not None:
        return _evaluate_texts(args)
    manifests = [path for path in args.paths if is_manifest(path)]
    models = [path for path in args.paths if not is_manifest(path)]
    if not models or not manifests:
        raise InputError(
            "evaluate needs CHECKPOINT and MANIFEST (*.jsonl), or --reference and --hypothesis; "
            "see asr-attn evaluate --help"
        )
    return _evaluate_models(args, models, manifests)


def _refuse(args: argparse.Namespace, names: tuple[str, ...], why: str) -> None:
    for name in names:
        if getattr(args, name) not in (None, False, []):
            shown = "CHECKPOINT" if name == "paths" else f"--{name.replace('_', '-')}"
            raise InputError(f"{shown} {why}; see asr-attn evaluate --help")


def _evaluate_texts(args: argparse.Namespace) -> int:
    if args.reference is None or args.hypothesis is None:
        raise InputError("--reference and --hypothesis go together; give both")
    _refuse(args, _FOR_MODELS, "goes with a model, not with --reference and --hypothesis")
    outputs = {"--output": args.output, "--changes": args.changes}
    refuse_overwriting(outputs, [args.reference, args.hypothesis])
    form = text_form(args.normalizer or "none")
    pairs = read_pairs(
        args.reference, args.hypothesis, args.reference_format, args.hypothesis_format
    )
    for note in pairs.notes:
        say(note)
    ignored = _ignored(args)
    before = (
        [without_symbols(text, ignored) for text in pairs.references],
        [without_symbols(text, ignored) for text in pairs.hypotheses],
    )
    references, hypotheses = ([form.apply(text) for text in texts] for texts in before)
    warnings = list(emptied_warnings(pairs.names, before[0], references))
    warnings += mark_warnings(before[0], references, form.name)
    for warning in [*warnings, *case_warnings(references, hypotheses)]:
        say(f"{args.reference}: {warning}")
    try:
        result = replace(
            score_texts(references, hypotheses), normalizer=labelled(form.label, ignored)
        )
    except InputError as error:
        raise InputError(f"{args.reference}: {error}") from None
    if args.changes is not None:
        with opened(args.changes) as stream:
            _write_changes(stream, pairs.names, before, (references, hypotheses))
    with opened(args.output) as stream:
        _write(stream, [({}, result)], args)
    return 0


def _evaluate_models(
    args: argparse.Namespace, models: Sequence[Path], manifests: Sequence[Path]
) -> int:
    """Evaluate each model on each manifest."""
    from asr_attn.evaluation.breakdown import with_breakdown

    _refuse(args, _FOR_TEXTS, "goes with --reference and --hypothesis, not with a model")
    form = text_form(args.normalizer) if args.normalizer else None
    several = len(models) * len(manifests) > 1
    if args.changes is not None and form is None:
        raise InputError("--changes goes with --normalizer NAME")
    if several and (args.hypotheses or args.changes):
        name = "--hypotheses" if args.hypotheses else "--changes"
        raise InputError(f"{name} goes with one model and one manifest")
    outputs = {
        "--output": args.output,
        "--hypotheses": args.hypotheses,
        "--changes": args.changes,
    }
    ignored = _ignored(args)
    sets = {path: _read_set(path, args.by or (), ignored) for path in manifests}
    read = files_read(args, models, chain.from_iterable(sets.values()))
    refuse_overwriting(outputs, chain(manifests, read))
    known = _training_words(args)
    total = sum(map(len, sets.values())) * len(models)
    found: list[tuple[Source, Evaluation]] = []
    with ExitStack() as files:  # all are opened now: better to fail before the work than after
        report = files.enter_context(opened(args.output)) if args.output else None
        heard = (
            files.enter_context(line_output(args.hypotheses, total)) if args.hypotheses else None
        )
        changes = files.enter_context(opened(args.changes)) if args.changes else None
        try:
            for model in models:
                recognizer = load_recognizer(argparse.Namespace(**vars(args), checkpoint=model))
                for path, utterances in sets.items():
                    warn_of_long(recognizer, utterances)
                    _warn_of_unknown(recognizer, utterances, path)
                    _warn_of_form(recognizer, utterances, form, path)
                    result = evaluate_set(recognizer, utterances, form, ignored, path, args, heard)
                    _warn_of_case(utterances, form, result, path)
                    result = with_breakdown(
                        recognizer, utterances, result, form, args.by or (), known
                    )
                    source: Source = {
                        "model": str(model),
                        "manifest": str(path),
                        "beam": recognizer.search.beam,
                    }
                    found.append((source, result))
                    if changes is not None and form is not None:
                        _write_changes_of(changes, utterances, form, result)
        except KeyboardInterrupt:
            if found:
                _write_finished(found, len(models) * len(manifests), args)
            raise
        if report is not None:
            _write(report, found, args)
    if args.output is None:
        with opened(None) as stream:
            _write(stream, found, args)
    failures = [failure for _, result in found for failure in result.failures.values()]
    return report_failures(failures, total)


def _write_finished(
    found: Sequence[tuple[Source, Evaluation]], wanted: int, args: argparse.Namespace
) -> None:
    """Write the figures of the evaluations that were finished before an interruption."""
    partial = None if args.output is None else partial_of(args.output)
    with opened(partial) as stream:
        _write(stream, found, args)
    where = "" if partial is None else f"; they are in {partial}"
    say(f"interrupted: the figures of {len(found)} of {wanted} evaluations are there{where}")


def _ignored(args: argparse.Namespace) -> list[str]:
    """The words that do not count."""
    words = args.ignore or []
    try:
        check_symbols(words, "--ignore")
    except ValueError as error:
        raise InputError(str(error)) from None
    return words


def _read_set(path: Path, fields: Sequence[str], ignored: Sequence[str]) -> list[Utterance]:
    """The utterances of a manifest, which have all ``fields``, without what is ignored."""
    from asr_attn.evaluation.grouping import require_field

    utterances = read_manifest(path)
    for field in fields:
        require_field(field, utterances)
    return [replace(u, text=without_symbols(u.text, ignored)) for u in utterances]


def _training_words(args: argparse.Namespace) -> list[str] | None:
    """The texts of ``--train``."""
    if args.train is None:
        return None
    return [utterance.text for utterance in read_manifest(args.train)]


def _warn_of_unknown(recognizer: "Recognizer", utterances: list[Utterance], manifest: Path) -> None:
    """Say which characters or words of the references the model can never write."""
    from asr_attn.evaluation.recognition import normalized_references

    tokenizer = recognizer.model.tokenizer
    unknown = tokenizer.unknown(normalized_references(recognizer, utterances))
    if unknown:
        shown = [f"{sign!r} ({count} times)" for sign, count in unknown.items()]
        more = ", ..." if len(shown) > _SHOWN_CHARACTERS else ""
        say(
            f"{manifest}: the texts hold {tokenizer.unit} that the model does not know, and each "
            f"of them counts as an error: {', '.join(shown[:_SHOWN_CHARACTERS])}{more}"
        )


def _warn_of_form(
    recognizer: "Recognizer", utterances: list[Utterance], form: TextForm | None, manifest: Path
) -> None:
    """Say what normalisation makes of the references that it should not."""
    from asr_attn.evaluation.recognition import references_of

    names, texts = (u.id for u in utterances), [u.text for u in utterances]
    references = references_of(recognizer, utterances, form)
    warnings = list(emptied_warnings(names, texts, references))
    if form is not None:
        warnings += language_warnings(utterances, form.name)
        warnings += mark_warnings(texts, references, form.name)
    for warning in warnings:
        say(f"{manifest}: {warning}")


def _warn_of_case(
    utterances: list[Utterance], form: TextForm | None, result: Evaluation, manifest: Path
) -> None:
    """Say if a form that keeps letter case sets capitals against small letters."""
    if form is None:  # the references are in the model's own form
        return
    done = [u for u in utterances if u.id in result.transcripts]
    references = [form.apply(u.text) for u in done]
    hypotheses = [form.apply(result.transcripts[u.id].text) for u in done]
    for warning in case_warnings(references, hypotheses):
        say(f"{manifest}: {warning}")


def _write_changes_of(
    stream: IO[str], utterances: list[Utterance], form: TextForm, result: Evaluation
) -> None:
    done = [u for u in utterances if u.id in result.transcripts]
    before = [u.text for u in done], [result.transcripts[u.id].text for u in done]
    after = [form.apply(t) for t in before[0]], [form.apply(t) for t in before[1]]
    _write_changes(stream, [u.id for u in done], before, after)


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
                stream.write(f"{text_name(name)}\t{side}\t{marked_changes(one, other)}\n")


def _write(
    stream: IO[str], found: Sequence[tuple[Source, Evaluation]], args: argparse.Namespace
) -> None:
    from asr_attn.evaluation.result_text import csv_table, evaluation_text, markdown_table

    chosen = args.format or _format_of(args.output)
    if chosen == "json":
        figures = []
        for source, result in found:
            figures.append({**source, **result.to_dict()})
            if result.failures:
                figures[-1]["failures"] = dict(result.failures)
        shown = figures[0] if len(figures) == 1 else figures
        stream.write(json.dumps(shown, indent=2, allow_nan=False) + "\n")
    elif chosen == "csv":
        stream.write(csv_table(found))
    elif chosen == "md":
        stream.write(markdown_table(found))
    else:
        for source, result in found:
            if len(found) > 1:
                stream.write(f"{source['model']} on {source['manifest']}\n")
            stream.write(evaluation_text(result) + ("\n" if len(found) > 1 else ""))
        if len(found) > 1:
            stream.write(markdown_table(found))


def _format_of(output: Path | None) -> str:
    """The format that the ending of a file stands for."""
    ending = output.suffix.lower().removeprefix(".") if output is not None else ""
    return ending if ending in FORMATS else "text"
