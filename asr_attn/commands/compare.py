"""``asr-attn compare``: whether one recogniser is better than another."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asr_attn.commands.terminal import opened, refuse_overwriting
from asr_attn.errors import InputError
from asr_attn.evaluation.comparison import (
    Comparison,
    conclusion,
    matched_pairs_test,
    segment_differences,
)
from asr_attn.evaluation.comparison import compare as compare_errors
from asr_attn.evaluation.error_rates import count_errors
from asr_attn.evaluation.result_files import ResultFile, read_results, require_same

FEW_SPEAKERS = 20
"""Speakers below which a bootstrap over them understates the spread."""


def compare(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: the files cannot be used, or are not of the same utterances.
    """
    paths_a, paths_b = _sides(args)
    refuse_overwriting({"--output": args.output}, [*paths_a, *paths_b])
    side_a, side_b = ([read_results(path) for path in paths] for paths in (paths_a, paths_b))
    require_same([*side_a, *side_b])
    names = list(side_a[0].results)
    references = [side_a[0].results[name].reference for name in names]
    words = np.array([len(reference.split()) for reference in references])
    if not words.sum():
        raise InputError(f"{paths_a[0]}: the references hold no words, so there is no error rate")
    test = None
    if len(side_a) == len(side_b) == 1:
        segments: list[int] = []
        for name, reference in zip(names, references):
            texts = (side_a[0].results[name].text, side_b[0].results[name].text)
            segments += segment_differences(reference, *texts)
        test = matched_pairs_test(segments)
    speakers = _speakers(side_a[0], names) if args.by_speaker else None
    result = compare_errors(
        _errors(side_a, names, references),
        _errors(side_b, names, references),
        words,
        test,
        speakers,
        args.draws,
        args.seed,
    )
    sentence = conclusion(result, len(names))
    if speakers is not None and (count := int(speakers.max()) + 1) < FEW_SPEAKERS:
        sentence += f" An interval of only {count} speakers is narrower than it should be."
    with opened(args.output) as stream:
        if args.format == "json":
            figures = {
                "a": [str(path) for path in paths_a],
                "b": [str(path) for path in paths_b],
                "normalizer": side_a[0].normalizer,
                "utterances": len(names),
                "words": int(words.sum()),
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
        raise InputError("compare needs two files, or --a FILE... --b FILE...; see --help")
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


def _speakers(file: ResultFile, names: Sequence[str]) -> NDArray[np.int64]:
    """Number (N,) of the speaker of each utterance."""
    speakers = [file.results[name].speaker for name in names]
    if None in speakers:
        raise InputError(
            f"--by-speaker: {file.path} names no speaker of {names[speakers.index(None)]!r}; the "
            "manifest must have them"
        )
    known = {speaker: i for i, speaker in enumerate(dict.fromkeys(speakers))}
    if len(known) < 2:
        raise InputError(f"--by-speaker: {file.path} has only one speaker")
    return np.array([known[speaker] for speaker in speakers])


def _to_text(result: Comparison, utterances: int, words: int, sentence: str) -> str:
    low, high = result.interval.low, result.interval.high
    seeds = f", mean of {max(result.seeds)} seeds" if max(result.seeds) > 1 else ""
    lines = [
        f"{utterances} utterances, {words} words{seeds}",
        f"WER of A  {100 * result.rate_a:.2f} %",
        f"WER of B  {100 * result.rate_b:.2f} %",
        f"B less A  {100 * result.difference:+.2f} points, 95 % interval {100 * low:+.2f} to "
        f"{100 * high:+.2f}; p = {result.p:.2g} (paired bootstrap)",
    ]
    test = result.segment_test
    if test is not None and test.z is not None:
        lines.append(
            f"matched-pairs sentence-segment word error test: {test.segments} segments, "
            f"Z = {test.z:.2f}, p = {test.p:.2g}"
        )
    return "\n".join([*lines, sentence]) + "\n"
