from pathlib import Path

import pytest

from asr_attn.data.manifest import Utterance
from asr_attn.evaluation.normalization import text_form
from asr_attn.evaluation.text_warnings import (
    case_warnings,
    emptied_warnings,
    language_warnings,
    mark_warnings,
)


def test_references_that_normalise_to_nothing_are_named():
    before, after = ["a.", "...", "", "?!", " ", "-", "&"], ["a", ".", "", " ", "", "", ""]
    (warning,) = emptied_warnings("1234567", before, after)
    assert "no letter or digit of 4 references" in warning
    assert "2 ('...'), 4 ('?!'), 6 ('-'), ...;" in warning
    assert list(emptied_warnings("ab", ["a", ""], ["a", ""])) == []
    assert list(emptied_warnings("ab", ["...", ""], ["", ""])) == []


@pytest.mark.parametrize(
    ("references", "hypotheses", "said"),
    [
        (["A CAT", "", "SAT."], ["a cat", "sat", ""], "references are in capitals and the hyp"),
        (["a cat", "2"], ["A DOG", ""], "hypotheses are in capitals and the references in small"),
        (["A CAT", "Sat"], ["a cat", "sat"], ""),
        (["a cat"], ["the cat"], ""),
        (["A CAT"], ["A DOG"], ""),
        (["\u732b", "2"], ["a", "2"], ""),  # a script that has no case
        (["A CAT"], [""], ""),
    ],
)
def test_capitals_on_one_side_alone_are_told(references, hypotheses, said):
    warnings = list(case_warnings(references, hypotheses))
    assert len(warnings) == bool(said)
    assert said in "".join(warnings)


@pytest.mark.parametrize("english", ["en", "EN-us", "en_GB", "eng", "English", None])
def test_texts_of_other_languages_are_no_texts_for_a_form_for_english(english):
    utterances = [
        Utterance(str(i), Path("a.wav"), "x", 1.0, language=language)
        for i, language in enumerate([english, "de", "fr", "de", "enm"])
    ]
    (warning,) = language_warnings(utterances, "english")
    assert "4 of 5 utterances are of other languages (de, fr, enm)" in warning
    assert list(language_warnings(utterances, "multilingual")) == []
    assert list(language_warnings(utterances[:1], "english")) == []


def test_lost_vowel_signs_are_told():
    pytest.importorskip("whisper_normalizer")
    said = ["काला", "a café", "น้ำ", "שָׁלוֹם"]
    (warning,) = mark_warnings(said, map(text_form("english").apply, said), "english")
    assert "--normalizer english takes vowel signs or other marks out of 2 references" in warning
    for name in ("basic", "multilingual", "characters", "none"):
        assert list(mark_warnings(said, map(text_form(name).apply, said), name)) == []
