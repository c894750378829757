"""``asr-attn report``: a page to look into what one or two models recognise."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asr_attn.commands.inputs import files_read
from asr_attn.commands.searching import load_recognizer
from asr_attn.commands.terminal import Progress, opened, refuse_overwriting, say
from asr_attn.commands.transcribe import is_manifest, report_failures
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.errors import AudioError, InputError
from asr_attn.evaluation.normalization import TextForm, text_form

if TYPE_CHECKING:
    from asr_attn.evaluation.report.subjects import Subject
    from asr_attn.transcript import Transcript

MEASURED = ("duration", "rate", "snr")
"""What utterances are grouped by where nothing is asked for."""
MOST_SPEAKERS = 40
"""Speakers that are shown as groups without being asked for."""


def report(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: the arguments or the files do not go together.
    """
    manifests = [path for path in args.paths if is_manifest(path)]
    models = [path for path in args.paths if not is_manifest(path)]
    if len(manifests) != 1 or len(models) not in (1, 2):
        raise InputError(
            f"report needs one or two models and one manifest (*.jsonl), not {len(models)} and "
            f"{len(manifests)}; see asr-attn report --help"
        )
    if args.output.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--output {args.output}: a report is a page; let its name end in .html")
    utterances = read_manifest(manifests[0])
    read = files_read(args, models, utterances)
    refuse_overwriting({"--output": args.output}, [*manifests, *read])
    fields = _fields(args.by, utterances)
    form = text_form(args.normalizer) if args.normalizer else None
    known = None if args.train is None else [u.text for u in read_manifest(args.train)]
    with opened(args.output) as stream:  # better to fail before the work than after
        subjects: list[Subject] = []
        for model, name in zip(models, _names(models)):
            subject = _examined(args, name, model, utterances, form, fields, known)
            utterances = _same(utterances, subject, subjects)
            subjects.append(subject)
        _write(stream.write, subjects, manifests[0], args)
    return report_failures(list(subjects[0].evaluation.failures.values()), len(utterances))


def _fields(given: Sequence[str] | None, utterances: Sequence[Utterance]) -> list[str]:
    """What utterances are grouped by."""
    from asr_attn.evaluation.grouping import require_field

    if given is not None:
        for field in given:
            require_field(field, utterances)
        return list(given)
    speakers = {utterance.speaker for utterance in utterances}
    some = None not in speakers and 1 < len(speakers) <= MOST_SPEAKERS
    return [*MEASURED, *(["speaker"] if some else [])]


def _names(models: Sequence[Path]) -> list[str]:
    """Short names of models that differ: of their folders, if these do."""
    plain = [
        path.parent.name if path.name == "model.safetensors" and path.parent.name else path.stem
        for path in (model.resolve() if model.is_dir() else model for model in models)
    ]
    if len(set(plain)) == len(plain):
        return plain
    return [f"{letter}: {name}" for letter, name in zip("AB", plain)]


def _examined(
    args: argparse.Namespace,
    name: str,
    model: Path,
    utterances: list[Utterance],
    form: TextForm | None,
    fields: Sequence[str],
    known: Sequence[str] | None,
) -> "Subject":
    """Recognise the utterances with one model."""
    from asr_attn.evaluation.report.subjects import examine
    from asr_attn.recognizer import BATCH_SECONDS

    recognizer = load_recognizer(argparse.Namespace(**vars(args), checkpoint=model))
    with Progress(f"recognising ({name})", len(utterances)) as bar:

        def on_result(i: int, result: "Transcript | AudioError") -> None:
            bar.advance()

        return examine(
            name,
            model,
            recognizer,
            utterances,
            form=form,
            fields=fields,
            known=known,
            batch_seconds=args.batch_seconds or BATCH_SECONDS,
            on_result=on_result,
        )


def _same(
    utterances: list[Utterance], subject: "Subject", others: Sequence["Subject"]
) -> list[Utterance]:
    """The utterances that could be read, which must be those of the other model."""
    if others and len(subject.utterances) != len(others[0].utterances):
        raise InputError(
            f"{subject.path}: read {len(subject.utterances)} of the {len(utterances)} recordings "
            f"that {others[0].path} read, so they cannot be compared; mend the recordings"
        )
    return utterances if others else list(subject.utterances)


def _write(
    write: Callable[[str], object],
    subjects: Sequence["Subject"],
    manifest: Path,
    args: argparse.Namespace,
) -> None:
    from asr_attn.evaluation.report.report import report as make
    from asr_attn.recognizer import BATCH_SECONDS

    total = sum(len(subject.utterances) for subject in subjects)
    with Progress("looking at attention", total) as bar:
        made = make(
            subjects,
            f"{' and '.join(subject.name for subject in subjects)} on {manifest.name}",
            details=args.details,
            explained=args.explain,
            codec=args.audio,
            batch_seconds=args.batch_seconds or BATCH_SECONDS,
            on_step=bar.advance,
        )
    write(made.page)
    size = len(made.page.encode("utf-8")) / 1e6
    say(
        f"{args.output}: {made.utterances} utterances, {made.details} of them to hear "
        f"({made.sound_bytes / 1e6:.1f} MB of sound), {made.explained} explained; {size:.1f} MB"
    )
