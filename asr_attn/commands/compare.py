"""``asr-attn compare``: whether one recogniser is better than another."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr_attn.commands.terminal import opened, refuse_overwriting
from asr_attn.data.manifest import Manifest
from asr_attn.errors import InputError
from asr_attn.evaluation.comparison import Comparison
from asr_attn.evaluation.comparison import compare as compare_errors
from asr_attn.evaluation.conclusion import conclusion
from asr_attn.evaluation.result_files import pair_results
from asr_attn.evaluation.segments import matched_pairs_test

FEW_SPEAKERS = 20
"""Speakers below which a bootstrap over them is rough."""
FEWEST_DRAWS = 1000
"""With fewer, the ends of a 95 % interval are a matter of luck."""
_SHOWN = 3


def compare(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: the files cannot be used, or are not of the same utterances.
    """
    paths_a, paths_b = _sides(args)
    manifest = args.by_speaker if isinstance(args.by_speaker, Path) else None
    if args.draws < FEWEST_DRAWS:
        raise InputError(f"--draws {args.draws} is too few for an interval; give 1000 or more")
    inputs = [*paths_a, *paths_b, *([manifest] if manifest else [])]
    refuse_overwriting({"--output": args.output}, inputs)
    paired = pair_results([*paths_a, *paths_b])
    names, words = paired.names, paired.words
    speakers = None
    if manifest is not None:
        speakers = _numbers(names, _speakers_of_manifest(manifest, names), manifest)
    elif args.by_speaker:
        speakers = _numbers(names, paired.speakers, paths_a[0])
    result = compare_errors(
        paired.errors[:, : len(paths_a)],
        paired.errors[:, len(paths_a) :],
        words,
        matched_pairs_test(paired.segments) if len(paths_a) == len(paths_b) == 1 else None,
        speakers,
        args.draws,
        args.seed,
    )
    unit = "utterances" if speakers is None else "speakers"
    sentence = conclusion(result, len(names), unit=unit)
    if speakers is not None and (count := int(speakers.max()) + 1) < FEW_SPEAKERS:
        sentence += f" The interval is rough: it is of only {count} speakers."
    with opened(args.output) as stream:
        if args.format == "json":
            figures = {
                "a": [str(path) for path in paths_a],
                "b": [str(path) for path in paths_b],
                "normalizer": paired.normalizer,
                "utterances": len(names),
                "words": int(words.sum()),
                "interval_unit": unit,
                **asdict(result),
                "conclusion": sentence,
            }
            stream.write(json.dumps(figures, indent=2, allow_nan=False) + "\n")
        else:
            stream.write(_to_text(result, len(names), int(words.sum()), sentence))
    return 0


def _sides(args: argparse.Namespace) -> tuple[list[Path], list[Path]]:
    """The files of both systems."""
    if args.a or args.b:
        if args.files or not (args.a and args.b):
            raise InputError("--a and --b go together, and without other files; see --help")
        return args.a, args.b
    if len(args.files) != 2:
        swallowed = isinstance(args.by_speaker, Path) and len(args.files) == 1
        hint = f"{args.by_speaker} was taken for the manifest, put --by-speaker last"
        raise InputError(
            "compare needs two files, or --a FILE... --b FILE...; "
            + (hint if swallowed else "see --help")
        )
    return [args.files[0]], [args.files[1]]


def _speakers_of_manifest(path: Path, names: Sequence[str]) -> list[str | None]:
    """Speakers of utterances, in their order."""
    known = {utterance.id: utterance.speaker for utterance in Manifest(path)}
    missing = [name for name in names if name not in known]
    if missing:
        more = ", ..." if len(missing) > _SHOWN else ""
        raise InputError(
            f"--by-speaker: {path} lacks {len(missing)} of the utterances "
            f"({', '.join(missing[:_SHOWN])}{more}); name the manifest that was evaluated"
        )
    return [known[name] for name in names]


def _numbers(names: Sequence[str], speakers: Sequence[str | None], path: Path) -> NDArray[np.int64]:
    """Number (N,) of the speaker of each utterance; ``path`` is what names them."""
    for name, speaker in zip(names, speakers):
        if speaker is None:
            raise InputError(
                f"--by-speaker: {path} names no speaker of {name!r}; the manifest must have them"
            )
    known = {speaker: i for i, speaker in enumerate(dict.fromkeys(speakers))}
    if len(known) < 2:
        raise InputError(f"--by-speaker: {path} has only one speaker; leave the option out")
    return np.array([known[speaker] for speaker in speakers])


def _to_text(result: Comparison, utterances: int, words: int, sentence: str) -> str:
    low, high = result.interval.low, result.interval.high
    seeds = ""
    if max(result.seeds) > 1:
        seeds = f", seeds: {result.seeds[0]} of A, {result.seeds[1]} of B"
    lines = [
        f"{utterances} utterances, {words} words{seeds}",
        f"WER of A  {100 * result.rate_a:.2f} %",
        f"WER of B  {100 * result.rate_b:.2f} %",
        f"B less A  {100 * result.difference:+.2f} points, 95 % interval {100 * low:+.2f} to "
        f"{100 * high:+.2f}",
        f"paired bootstrap: B is better in {100 * result.b_better:.1f} % of the draws, "
        f"p = {result.p:.2g}",
    ]
    test = result.segment_test
    if test is not None:
        z = "" if test.z is None else f"Z = {test.z:.2f}, "
        lines.append(
            f"matched-pairs sentence-segment word error test: "
            f"{test.segments} segment{'s' if test.segments != 1 else ''}, "
            f"{z}p = {test.p:.2g}"
        )
    return "\n".join([*lines, sentence]) + "\n"
