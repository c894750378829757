import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asr_attn.text.normalizer import NormalizerConfig, normalize

PLAIN = NormalizerConfig()
ALL_CONFIGS = [NormalizerConfig(low, keep) for low in (True, False) for keep in (True, False)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\n\u00a0\u3000 ", ""),
        ("Hello,  World!", "hello world"),
        ("well,then", "well then"),
        ("Don't", "don't"),
        ("Don\u2019t", "don't"),
        ("don\u2018t don\u00b4t don`t don\uff07t", "don't don't don't don't"),
        ("L\u2019été", "l'été"),
        ("l'e\u0301te\u0301", "l'été"),  # decomposed accents are composed
        ("e-mail re\u2010do re\u2011do", "e-mail re-do re-do"),
        ("'quoted' \u2018words\u2019", "quoted words"),
        ("rock 'n' roll - goin' -5", "rock n roll goin 5"),
        ("word--word word\u2014word 1\u20132", "word word word word 1 2"),
        ("it'-s a-'b", "it s a b"),
        ("snake_case a/b (c) [d] {e}", "snake case a b c d e"),
        ("$5 + 3% = x\u00b2", "5 3 x2"),
        ("¿Qué? «Oui» „Ja“ 「はい」。", "qué oui ja はい"),
        ("\ufb01n \uff21\uff22", "fin ab"),  # ligature, full width
        ("soft\u00adhyphen zero\u200bwidth \ufeffmark", "softhyphen zero width mark"),
        ("\u1780\u17b6\u200b\u1781", "\u1780\u17b6 \u1781"),  # between words of Khmer
        ("yes \u2764\ufe0f no 1\ufe0f\u20e3", "yes no 1"),  # variation selectors, a keycap
        ("a \u0301 b,\u0902 -\u0301 c", "a b c"),  # marks without a letter
        ("\U0001f469\u200d\U0001f4bb hi", "hi"),  # joiners of emoji
        ("\u0cb0\u200d\u0ccd\u0caf", "\u0cb0\u200d\u0ccd\u0caf"),  # a joiner before a virama
        ("か\u3099 ｶﾞ 각 \u3164", "が ガ 각"),
        ("\u1112\u1161\u11ab", "\ud55c"),
        ("नमस्ते दुनिया।", "नमस्ते दुनिया"),  # vowel signs are marks, not letters
        ("\u0645\u06cc\u200c\u062e\u0648\u200c .", "\u0645\u06cc\u200c\u062e\u0648"),
        ("ΟΔΟΣ", "οδος"),
        ("Straße", "straße"),
        ("\u02bcane o\u02bcz", "\u02bcane o\u02bcz"),
        ("one\rtwo\x0bthree\x00", "one two three"),
        ("...", ""),
        ("J\u030c", "\u01f0"),  # only the small letter has a composed form
        ("col\u00b7lecci\u00f3 co\u0140lega \u00b7", "col\u00b7lecció col\u00b7lega"),
    ],
)
def test_plain(text, expected):
    assert normalize(text, PLAIN) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (NormalizerConfig(lowercase=False), "Don't SHOUT he said"),
        (NormalizerConfig(keep_punctuation=True), "don't shout, he said..."),
        (NormalizerConfig(lowercase=False, keep_punctuation=True), "Don't SHOUT, he said..."),
    ],
)
def test_settings(config, expected):
    assert normalize(" Don\u2019t  SHOUT, he said\u2026 ", config) == expected


@given(st.text(), st.sampled_from(ALL_CONFIGS))
@example("\u0130I\u0307", PLAIN)
@example("a,\u0301 \u1ffd", PLAIN)
def test_doing_it_twice_changes_nothing(text, config):
    once = normalize(text, config)
    assert normalize(once, config) == once


@given(st.text(), st.sampled_from(ALL_CONFIGS))
def test_result_is_tidy(text, config):
    result = normalize(text, config)
    assert unicodedata.is_normalized("NFC", result)
    assert result == " ".join(result.split())
    if not config.keep_punctuation:
        allowed = set("LMN")
        for character in set(result) - set(" '-\u00b7\u200c\u200d"):
            assert unicodedata.category(character)[0] in allowed
    for word in result.split():
        assert unicodedata.category(word[0]) not in ("Mn", "Mc", "Cf")


@given(st.text(st.characters(categories=["Ll"], max_codepoint=0x17F)))
def test_plain_words_stay(word):
    assert normalize(word, PLAIN) == unicodedata.normalize("NFKC", word).rstrip("\u00b7")


def test_canonically_equal_texts_become_equal():
    text = "Ça élève où naïf Ångström tiếng Việt 한국어"
    forms = {
        normalize(unicodedata.normalize(form, text), PLAIN)
        for form in ("NFC", "NFD", "NFKC", "NFKD")
    }
    assert len(forms) == 1
