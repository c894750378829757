"""Numeric options of all commands, at the edges of what can be written for them."""

import argparse
from collections.abc import Iterator

import pytest

from asr_attn.cli import _parser
from asr_attn.commands.numbers import real, whole

ODD = ("nan", "inf", "-inf", "1e300", "many", "", "9" * 5000)


def options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """All options of a parser and of its commands, each with the name of its command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from options(command)
        else:
            yield parser.prog, action


NUMERIC = [
    pytest.param(action, id=f"{prog} {action.dest}")
    for prog, action in options(_parser())
    if (isinstance(action.default, int | float) and not isinstance(action.default, bool))
    or getattr(action.type, "__qualname__", "").startswith(("whole.", "real."))
]


def test_numbers_have_one_kind_of_type() -> None:
    found = {action.type for _, action in options(_parser())}
    assert not found & {int, float, complex}
    assert len(NUMERIC) > 20


@pytest.mark.parametrize("action", NUMERIC)
@pytest.mark.parametrize("text", ODD)
def test_what_is_no_sensible_number_is_refused(action: argparse.Action, text: str) -> None:
    assert callable(action.type)
    with pytest.raises(argparse.ArgumentTypeError, match="number from") as caught:
        action.type(text)
    assert len(str(caught.value)) < 120


def test_bounds_belong_to_the_range() -> None:
    assert [whole(0, 3)(text) for text in ("0", "3", " 2 ")] == [0, 3, 2]
    assert [real(-1, 1)(text) for text in ("-1", "1.0", "5e-1")] == [-1.0, 1.0, 0.5]
    for text in ("-1", "4", "1.0"):
        with pytest.raises(argparse.ArgumentTypeError, match="whole number from 0 to 3"):
            whole(0, 3)(text)
    for text in ("-1.01", "1.01"):
        with pytest.raises(argparse.ArgumentTypeError, match="not a number from -1 to 1"):
            real(-1, 1)(text)
