"""``asr-attn compare``: whether one recogniser is better than another."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr_attn.commands.terminal import opened, refuse_overwriting
from asr_attn.data.manifest import read_manifest
from asr_attn.errors import InputError
from asr_attn.evaluation.comparison import Comparison
from asr_attn.evaluation.comparison import compare as compare_errors
from asr_attn.evaluation.conclusion import conclusion
from asr_attn.evaluation.error_rates import count_errors
from asr_attn.evaluation.result_files import ResultFile, read_results, require_same
from asr_attn.evaluation.segments import SegmentTest, matched_pairs_test, segment_differences

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
    if args.seed < 0:
        raise InputError(f"--seed {args.seed} is below 0; give 0 or more")
    inputs = [*paths_a, *paths_b, *([manifest] if manifest else [])]
    refuse_overwriting({"--output": args.output}, inputs)
    side_a, side_b = ([read_results(path) for path in paths] for paths in (paths_a, paths_b))
    require_same([*side_a, *side_b])
    names = list(side_a[0].results)
    references = [side_a[0].results[name].reference for name in names]
    words = np.array([len(reference.split()) for reference in references])
    if not words.sum():
        raise InputError(f"{paths_a[0]}: the references hold no words, so there is no error rate")
    speakers = None
    if manifest is not None:
        speakers = _numbers(_speakers_of_manifest(manifest, names), manifest)
    elif args.by_speaker:
        speakers = _numbers({n: r.speaker for n, r in side_a[0].results.items()}, side_a[0].path)
    result = compare_errors(
        _errors(side_a, names, references),
        _errors(side_b, names, references),
        words,
        _segment_test(side_a[0], side_b[0]) if len(side_a) == len(side_b) == 1 else None,
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
                "normalizer": side_a[0].normalizer,
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


def _errors(
    side: Sequence[ResultFile], names: Sequence[str], references: Sequence[str]
) -> NDArray[np.int64]:
    """Wrong words (N, K) in N utterances of K files."""
    return np.array(
        [
            [count_errors([r], [file.results[name].text]).errors for file in side]
            for name, r in zip(names, references)
        ]
    )


def _segment_test(first: ResultFile, second: ResultFile) -> SegmentTest:
    segments: list[int] = []
    for name, result in first.results.items():
        texts = (result.text, second.results[name].text)
        segments += segment_differences(result.reference, *texts)
    return matched_pairs_test(segments)


def _speakers_of_manifest(path: Path, names: Sequence[str]) -> dict[str, str | None]:
    """Speakers of utterances, in their order."""
    known = {utterance.id: utterance.speaker for utterance in read_manifest(path)}
    missing = [name for name in names if name not in known]
    if missing:
        more = ", ..." if len(missing) > _SHOWN else ""
        raise InputError(
            f"--by-speaker: {path} lacks {len(missing)} of the utterances "
            f"({', '.join(missing[:_SHOWN])}{more}); name the manifest that was evaluated"
        )
    return {name: known[name] for name in names}


def _numbers(speakers: dict[str, str | None], path: Path) -> NDArray[np.int64]:
    """Number (N,) of the speaker of each utterance; ``path`` is what names them."""
    for name, speaker in speakers.items():
        if speaker is None:
            raise InputError(
                f"--by-speaker: {path} names no speaker of {name!r}; the manifest must have them"
            )
    known = {speaker: i for i, speaker in enumerate(dict.fromkeys(speakers.values()))}
    if len(known) < 2:
        raise InputError(f"--by-speaker: {path} has only one speaker; leave the option out")
    return np.array([known[speaker] for speaker in speakers.values()])


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
