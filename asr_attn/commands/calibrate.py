"""``asr-attn calibrate``: a model learns how sure its words are."""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from asr_attn.commands.inputs import files_read
from asr_attn.commands.searching import load_recognizer
from asr_attn.commands.terminal import Progress, opened, refuse_overwriting, say
from asr_attn.commands.transcribe import report_failures
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.errors import AudioError, InputError
from asr_attn.zoo import model_file, packaged_model

if TYPE_CHECKING:
    from asr_attn.evaluation.word_confidence import ConfidenceFigures
    from asr_attn.recognizer import Recognizer
    from asr_attn.transcript import Transcript

FEW_ERRORS = 20
"""Wrong words below which a calibration is said to rest on few."""


def calibrate(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: the model or the recordings cannot be used.
    """
    from asr_attn.checkpoint import save_model
    from asr_attn.evaluation.recognition import normalized_references
    from asr_attn.evaluation.word_confidence import (
        confidence_figures,
        held_out_confidence,
        judge_words,
        learn_calibration,
    )

    output = args.output or _own_file(args.checkpoint)
    outputs = {"--output": output, "--picture": args.picture}
    if args.picture is not None and args.picture.suffix.lower() not in (".png", ".svg"):
        raise InputError(f"--picture {args.picture}: name a file that ends in .png or .svg")
    utterances = read_manifest(args.manifest)
    # the model may be written over: that is what happens without --output
    refuse_overwriting(outputs, [args.manifest, *files_read(args, [], utterances)])
    recognizer = load_recognizer(args)
    model = recognizer.model
    transcripts, failures = _recognize(recognizer, utterances, args.batch_seconds)
    references = normalized_references(recognizer, utterances)
    words = judge_words(list(transcripts.values()), [references[i] for i in transcripts])
    if not len(words.correct):
        raise InputError(
            f"{args.manifest}: the model recognises no words in it, so there is nothing to learn; "
            "give recordings of speech"
        )
    held_out = held_out_confidence(words)
    before = confidence_figures(words.confidence, words.correct, words.utterance)
    after = confidence_figures(held_out, words.correct, words.utterance)
    save_model(output, replace(model, calibration=learn_calibration(words)))
    if args.picture is not None:
        from asr_attn.evaluation.drawing import save_figure
        from asr_attn.evaluation.reliability_drawing import draw_reliability

        curves = {"before": words.confidence, "after": held_out}
        save_figure(draw_reliability(curves, words.correct), args.picture)
    with opened(None) as stream:
        if args.format == "json":
            figures = {
                "model": str(output),
                "manifest": str(args.manifest),
                "wrong": int((~words.correct).sum()),
                "before": asdict(before),
                "after": asdict(after),
            }
            stream.write(json.dumps(figures, indent=2, allow_nan=False) + "\n")
        else:
            stream.write(_to_text(before, after, int((~words.correct).sum()), output))
    return report_failures(failures, len(utterances))


def _own_file(checkpoint: Path) -> Path:
    """The file that a model is read from and, without --output, written to."""
    if not checkpoint.exists() and packaged_model(str(checkpoint)) is not None:
        raise InputError(
            f"{checkpoint} comes with asr_attn and is not changed; name a file with --output"
        )
    return model_file(checkpoint) or checkpoint


def _recognize(
    recognizer: "Recognizer", utterances: list[Utterance], batch_seconds: float | None
) -> tuple[dict[int, "Transcript"], list[str]]:
    """Transcripts by the number of the utterance, in order, and what could not be read."""
    from asr_attn.recognizer import BATCH_SECONDS

    found: dict[int, Transcript] = {}
    failures: dict[int, AudioError] = {}
    with Progress("recognising", len(utterances)) as bar:
        for i, result in recognizer.transcribe_utterances(
            utterances, batch_seconds=batch_seconds or BATCH_SECONDS
        ):
            bar.advance()
            if isinstance(result, AudioError):
                failures[i] = result
            else:
                found[i] = result
    if not found:
        raise InputError(f"no recording could be read; the first: {failures[min(failures)]}")
    return {i: found[i] for i in sorted(found)}, [str(failures[i]) for i in sorted(failures)]


def _to_text(
    before: "ConfidenceFigures", after: "ConfidenceFigures", wrong: int, output: Path
) -> str:
    """Figures and the reliability curve for people."""
    if wrong < FEW_ERRORS:
        say(
            f"only {wrong} of the {after.words} words are wrong: the calibration rests on them; "
            "more recordings, or harder ones, make it better"
        )
    rows = [
        ("", "before", "after"),
        ("off by (ECE)", *(_percent(f.calibration_error) for f in (before, after))),
    ]
    rows.append(
        (
            "a right word is surer than a wrong one",
            *(_percent(f.discrimination) for f in (before, after)),
        )
    )
    rows.append(
        (
            "normalized cross entropy",
            *(_number(f.normalized_cross_entropy) for f in (before, after)),
        )
    )
    lines = [f"{name:40}{one:>10}{other:>10}" for name, one, other in rows]
    lines += ["", f"{'words':>8}{'sure':>10}{'right':>10}"]
    lines += [
        f"{b.count:8}{_percent(b.confidence):>10}{_percent(b.accuracy):>10}" for b in after.bins
    ]
    return "\n".join([*lines, "", f"model: {output}"]) + "\n"


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f} %"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
