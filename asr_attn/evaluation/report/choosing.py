"""Which utterances a report shows in detail."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asr_attn.evaluation.report.subjects import Subject

SURPRISING = 1.0
"""Bits from which on a word is surprising: what turned out had less than an even chance."""


def choose(subjects: Sequence[Subject], count: int) -> dict[int, list[str]]:
    """Choose utterances to look at and to hear.

    The lists take turns: the most errors per utterance, the most surprising ones, those of doubt,
    of two recognisers those in which their errors differ most, and, as every fourth at most, some
    without errors, evenly over the set. An utterance that several lists name takes one place.

    Args:
        subjects: one or two recognisers, of the same N utterances.
        count: how many utterances.

    Returns:
        Number of each utterance that is chosen, in the order of the choice, and why: names of
        lists ("errors", "surprising", "doubted", "differing", "right").
    """
    lists = _lists(subjects)
    turns = {name: iter(order) for name, order in lists.items()}
    chosen: dict[int, list[str]] = {}
    while turns and len(chosen) < count:
        for name in list(turns):
            if len(chosen) == count:
                break
            number = next((i for i in turns[name] if i not in chosen), None)
            if number is None:
                del turns[name]
            else:
                chosen[number] = []
    for name, order in lists.items():
        for i in set(order) & set(chosen):
            chosen[i].append(name)
    return chosen


def _lists(subjects: Sequence[Subject]) -> dict[str, list[int]]:
    """Utterances by what makes them worth a look, the foremost first."""
    errors = np.stack([subject.evaluation.scores.errors for subject in subjects])
    surprise = np.stack([subject.surprise for subject in subjects]).max(axis=0)
    worst = errors.max(axis=0)
    doubted = [any(s.transcripts[i].doubts for s in subjects) for i in range(len(worst))]
    found = {
        "errors": _foremost(worst, worst > 0),
        "surprising": _foremost(surprise, surprise > SURPRISING),
        "doubted": [i for i, some in enumerate(doubted) if some],
    }
    if len(subjects) == 2:
        apart = np.abs(errors[0] - errors[1])
        found["differing"] = _foremost(apart, apart > 0)
    found["right"] = _spread(np.flatnonzero(worst == 0))
    return found


def _foremost(values: NDArray[np.generic], some: NDArray[np.bool_]) -> list[int]:
    """Numbers of ``some`` utterances by their values, the greatest first."""
    order = np.argsort(-values.astype(np.float64), kind="stable")
    return [int(i) for i in order if some[i]]


def _spread(numbers: NDArray[np.intp]) -> list[int]:
    """The numbers in an order whose beginning is spread evenly over all of them."""
    order = sorted(range(len(numbers)), key=lambda k: int(f"{k:032b}"[::-1], 2))
    return [int(numbers[k]) for k in order]
