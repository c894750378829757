import re
import unicodedata

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


def test_whispers_form_for_english_is_that_of_the_package():
    english = pytest.importorskip("whisper_normalizer.english", reason="asr-attn[whisper]")
    form = text_form("english")
    assert re.fullmatch(r"english/2-whisper-normalizer-[\d.]+", form.label)
    text = "Mr. Smith's colour won't fade (noise), twenty-one $5"
    assert form.apply(text) == english.EnglishTextNormalizer()(text).strip()
    assert form.apply("Mr. Smith's colour") == form.apply("mister smith's color")
    assert form.apply("one\u200btwo \U0001f469\u200d\U0001f4bb") == form.apply("one two")


@pytest.mark.parametrize(
    "text",
    [
        "¡Qué día!  (ruido)",
        "Ça [bruit] <x> élève, d'où?",
        "Straße Ωμέγα ЙОД",
        "今日は、いい天気。",
        "Tiếng Việt: 5 €",
        "한국어 좋아요",
        "السلام عليكم",
    ],
)
def test_without_combining_marks_multilingual_is_whispers_form(text):
    basic = pytest.importorskip("whisper_normalizer.basic", reason="asr-attn[whisper]")
    assert text_form("multilingual").apply(text) == basic.BasicTextNormalizer()(text).strip()
    assert text_form("multilingual").label == "multilingual/2"


# pairs of different words whose letters without marks are the same, and what script they are of
DIFFERENT = [
    ("कल काल किला कुल", "कील कोल काला केला"),  # Devanagari
    ("বল বালি", "বেল বলা"),  # Bengali
    ("பல் பால்", "பலா பாலை"),  # Tamil
    ("ข้าว ไก่", "ขาว ไก"),  # Thai, tones
    ("ខ្មែរ កា", "ខមរ កី"),  # Khmer
    ("မြန်မာ", "မနမ"),  # Myanmar
    ("ಕನ್ನಡ", "ಕನನಡ"),  # Kannada
    ("ไทย น้ำ", "ไทย นำ"),
    ("ọ́bẹ̀ ọ́bẹ́", "ọbẹ ọ́bẹ"),  # Yoruba, whose tones have no composed letters
    ("བོད་", "བད་"),  # Tibetan
    ("සිංහල", "සහල"),  # Sinhala
    ("か\u3099", "か"),
]


@pytest.mark.parametrize(("said", "heard"), DIFFERENT)
@pytest.mark.parametrize("name", ["multilingual", "basic"])
def test_words_that_differ_by_marks_are_different(name, said, heard):
    form = text_form(name)
    assert count_errors([form.apply(said)], [form.apply(heard)]).errors > 0
    assert len(form.apply(said).split()) == len(said.replace("་", " ").split())
    assert form.apply(unicodedata.normalize("NFD", said)) == form.apply(said)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("مَرْحَبًا بِكُمْ", "مرحبا بكم"),  # harakat
        ("مـــرحبا", "مرحبا"),  # tatweel
        ("שָׁלוֹם", "שלום"),  # niqqud
        ("за\u0301мок", "замок"),  # noqa: RUF001 - stress
        ("I \u2764\ufe0f it", "i it"),
        ("one\u200btwo", "one two"),
        ("\U0001f469\u200d\U0001f4bb yes \u0301", "yes"),
    ],
)
def test_multilingual_takes_out_what_ordinary_writing_leaves_out(one, other):
    form = text_form("multilingual")
    assert form.apply(one) == form.apply(other) == other


def test_hamza_and_joiners_stay():
    form = text_form("multilingual")
    assert form.apply("سأل") != form.apply("سال")
    assert form.apply("سأل") == form.apply("سا\u0654ل")
    assert form.apply("می\u200cخواهم \u200c") == "می\u200cخواهم"  # noqa: RUF001
    assert text_form("characters").apply("می\u200cخ") == "م ی\u200c خ"


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
