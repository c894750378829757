import re

import pytest

from asr_attn.errors import InputError
from asr_attn.evaluation.error_rates import count_errors
from asr_attn.evaluation.normalization import MEANINGS, text_form
from asr_attn.evaluation.text_changes import marked_changes


def test_texts_stay_as_they_are_unless_told_otherwise():
    assert text_form("none").apply(" A,  b!") == " A,  b!"
    assert text_form("none").label == "none/1"


def test_basic_ignores_case_punctuation_and_ways_to_encode():
    form = text_form("basic")
    assert form.apply("Cafe\u0301, “NO”: ﬁne!") == form.apply("café no fine") == "café no fine"


def test_characters_count_without_regard_to_spaces():
    form = text_form("characters")
    assert form.apply("今日は、 いい天気。") == "今 日 は い い 天 気"
    assert form.apply("e\u0323\u0301 x") == form.apply("ẹ\u0301x")  # marks belong to their letter
    counts = count_errors([form.apply("今日はいい天気")], [form.apply("今日 は いい 電気")])
    assert (counts.errors, counts.total) == (1, 7)


@pytest.mark.parametrize("name", ["english", "multilingual"])
def test_whispers_forms_are_those_of_the_package(name):
    pytest.importorskip("whisper_normalizer", reason="pip install asr-attn[whisper]")
    form = text_form(name)
    assert re.fullmatch(rf"{name}/whisper-normalizer-[\d.]+", form.label)
    same = {
        "english": ("Mr. Smith's colour won't fade", "mister smith's color will not fade"),
        "multilingual": ("¡Qué día!  (ruido)", "qué día"),
    }
    one, other = same[name]
    assert form.apply(one) == form.apply(other)


def test_an_unknown_form_is_refused():
    with pytest.raises(InputError, match=f"loud.*known: {', '.join(MEANINGS)}"):
        text_form("loud")


def test_marked_changes_hold_both_texts():
    before, after = "Well, I paid 5 dollars twice", "well i paid $5 twice"
    marked = marked_changes(before, after)
    assert marked == "[-Well, I-] {+well i+} paid [-5 dollars-] {+$5+} twice"
    assert re.sub(r"\{\+.*?\+\} ?", "", marked).replace("[-", "").replace("-]", "") == before
    assert re.sub(r"\[-.*?-\] ?", "", marked).replace("{+", "").replace("+}", "") == after
    assert marked_changes("a b", "a b") == "a b"
