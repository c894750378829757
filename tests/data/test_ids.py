from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr_attn.data.ids import Ids


class Alike(str):
    """A text whose hash is that of all others."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7


def found(names: list[str]) -> list[tuple[str, int, int]]:
    ids = Ids()
    for name in names:
        ids.add(name)
    return list(ids.repeated((name, place) for place, name in enumerate(names)))


@pytest.mark.parametrize("kind", [str, Alike])
@given(st.lists(st.text("ab", max_size=3), max_size=30))
def test_each_id_that_was_there_before_is_found(kind, names):
    expected = [
        (name, place, names.index(name))
        for place, name in enumerate(names)
        if Counter(names[:place])[name]
    ]
    assert found([kind(name) for name in names]) == expected


def test_names_are_not_asked_for_again_if_all_differ():
    ids = Ids()
    for name in "abc":
        ids.add(name)

    def again():
        raise AssertionError
        yield

    assert list(ids.repeated(again())) == []
