"""Types of numeric command-line options: what is no sensible number is told in one sentence."""

import argparse
import math
from collections.abc import Callable

MOST = 10**9
"""Largest whole number of an option that has no bound of its own."""


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """The type of options that are whole numbers from ``least`` to ``most``."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:  # so is that a number has thousands of digits
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"{_short(text)} is not a whole number from {least} to {most}"
            )
        return value

    return convert


def real(least: float, most: float) -> Callable[[str], float]:
    """The type of options that are numbers from ``least`` to ``most``; not nan, not inf."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and least <= value <= most):
            raise argparse.ArgumentTypeError(
                f"{_short(text)} is not a number from {least:.10g} to {most:.10g}"
            )
        return value

    return convert


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


positive_int = whole(1)
"""A whole number above 0."""
count = whole(0)
"""A whole number from 0 on."""
seed = whole(0, 2**32 - 1)
"""The seed of a random generator."""
number = real(-1e9, 1e9)
"""A finite number, such as the weight of a score."""
seconds = real(0.0, 1e6)
"""A number of seconds; 0 is one."""
batch_seconds = real(0.001, 1e6)
"""A number of seconds above 0."""
