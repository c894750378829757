"""``asr-attn data check``: what makes training fail or figures lie."""

import argparse
import json
import os
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from asr_attn.commands.data_report import cleaned_lines, findings_lines, labels_lines, split_lines
from asr_attn.commands.inputs import files_read
from asr_attn.commands.terminal import Progress, opened, refuse_overwriting, say
from asr_attn.data.manifest import write_manifest
from asr_attn.errors import InputError
from asr_attn.evaluation.datacheck.check import Checked, check_splits, sorted_findings
from asr_attn.evaluation.datacheck.cleaning import DEFAULT, Cleaned, clean
from asr_attn.evaluation.datacheck.findings import KINDS, Finding
from asr_attn.evaluation.datacheck.splits import Split, read_splits
from asr_attn.evaluation.datacheck.utterances import Limits

if TYPE_CHECKING:
    from asr_attn.evaluation.datacheck.labels import Judged

OK, FOUND = 0, 1


def check(args: argparse.Namespace) -> int:
    """Run ``asr-attn data check``; returns the exit code.

    Raises:
        InputError: the arguments or the manifests cannot be used.
    """
    splits = read_splits(args.manifests)
    outputs = _outputs(args, splits)
    checked = check_splits(
        splits,
        Limits(args.tolerance, args.max_duration),
        jobs=args.jobs or os.cpu_count() or 1,
        duplicates=not args.no_duplicates,
        bars=Progress,
    )
    findings, judged = list(checked.findings), list["Judged"]()
    if args.model is not None:
        from asr_attn.evaluation.datacheck.labels import label_findings

        judged = _judge(args, splits, checked)
        findings = sorted_findings([*findings, *label_findings(judged)])
    kinds = args.remove or DEFAULT
    cleaned = {
        split.name: clean(split, sounds, findings, kinds)
        for split, sounds in zip(splits, checked.sounds)
        if split.name in outputs
    }
    _refuse_nothing_left(splits, cleaned)
    report = _to_json if args.format == "json" else _to_text
    with opened(None) as stream:
        stream.write(report(args, splits, checked, findings, judged, cleaned))
    for name, path in outputs.items():
        write_manifest(path, cleaned[name].utterances)
        say(f"{path}: {len(cleaned[name].utterances)} utterances")
    return FOUND if any(not KINDS[finding.kind].note for finding in findings) else OK


def _outputs(args: argparse.Namespace, splits: Sequence[Split]) -> dict[str, Path]:
    """Where the cleaned manifest of each split goes; empty if none is wanted."""
    if args.output and args.output_folder:
        raise InputError("give --output or --output-folder, not both")
    if args.output and len(splits) > 1:
        raise InputError("--output is for one manifest; give --output-folder for several")
    if args.remove and not (args.output or args.output_folder):
        raise InputError("--remove is for a cleaned manifest; give --output or --output-folder")
    if args.output:
        outputs = {splits[0].name: args.output}
    elif args.output_folder:
        outputs = {split.name: args.output_folder / f"{split.name}.jsonl" for split in splits}
    else:
        return {}
    named: dict[str, Path | None] = (
        {"--output": args.output}
        if args.output
        else {f"--output-folder, {name}": path for name, path in outputs.items()}
    )
    models = [args.model] if args.model is not None else []
    utterances = (utterance for split in splits for utterance in split.utterances)
    read = files_read(args, models, utterances)
    refuse_overwriting(named, chain((split.path for split in splits), read))
    return outputs


def _refuse_nothing_left(splits: Sequence[Split], cleaned: dict[str, Cleaned]) -> None:
    for split in splits:
        if split.name in cleaned and not cleaned[split.name].utterances:
            raise InputError(
                f"{split.path}: nothing would be left of it; give other kinds to --remove"
            )


def _judge(args: argparse.Namespace, splits: Sequence[Split], checked: Checked) -> "list[Judged]":
    from asr_attn.checkpoint import load_model
    from asr_attn.evaluation.datacheck.labels import judge_texts
    from asr_attn.recognizer import usable_device

    model = load_model(args.model, usable_device(args.device or "auto"))
    items = [
        (split.name, utterance)
        for split, sounds in zip(splits, checked.sounds)
        for utterance, sound in zip(split.utterances, sounds)
        if utterance.text and sound.levels is not None and not sound.levels.silent
    ]
    with Progress("reading texts", len(items)) as bar:
        return judge_texts(model, items, args.show, bar.advance)


def _to_text(
    args: argparse.Namespace,
    splits: Sequence[Split],
    checked: Checked,
    findings: Sequence[Finding],
    judged: "Sequence[Judged]",
    cleaned: dict[str, Cleaned],
) -> str:
    lines: list[str] = []
    for split, statistics in zip(splits, checked.statistics):
        lines += [*split_lines(split, statistics), ""]
    lines += findings_lines(findings, args.show)
    if judged:
        lines += ["", *labels_lines(judged, args.show)]
    for name, one in cleaned.items():
        lines += ["", *cleaned_lines(name, one, args.show)]
    return "\n".join(lines) + "\n"


def _to_json(
    args: argparse.Namespace,
    splits: Sequence[Split],
    checked: Checked,
    findings: Sequence[Finding],
    judged: "Sequence[Judged]",
    cleaned: dict[str, Cleaned],
) -> str:
    """Everything, whatever --show says."""
    counts = Counter(finding.kind for finding in findings)
    report = {
        "splits": {
            split.name: {"manifest": str(split.path), **statistics.to_dict()}
            for split, statistics in zip(splits, checked.statistics)
        },
        "counts": {kind: counts[kind] for kind in KINDS if counts[kind]},
        "findings": [
            {**finding.to_dict(), "note": KINDS[finding.kind].note} for finding in findings
        ],
    }
    if args.model is not None:
        report["model"] = str(args.model)
        report["losses"] = [one.to_dict() for one in judged]
    if cleaned:
        report["cleaned"] = {name: one.to_dict() for name, one in cleaned.items()}
    return json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
