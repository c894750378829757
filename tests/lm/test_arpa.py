import gzip
import math

import numpy as np
import pytest
import torch

from asr_attn.errors import InputError, InputWarning
from asr_attn.lm import arpa, arpa_reader
from asr_attn.lm.arpa import read_arpa, write_arpa
from asr_attn.lm.arpa_reader import packed_keys
from asr_attn.lm.ngram import NgramModel
from tests.lm.brute_force import table_of
from tests.lm.test_ngram import BY_HAND


@pytest.mark.parametrize("name", ["a.arpa", "a.arpa.gz"])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_reading_gives_what_was_written(random_text, trained, tmp_path, name, order, monkeypatch):
    monkeypatch.setattr(arpa, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(arpa_reader, "_LINES_AT_ONCE", 10)
    ngrams = trained(random_text(order, 50, 6), order)
    path = tmp_path / name
    write_arpa(path, ngrams)
    again = read_arpa(path)
    assert again.symbols == ngrams.symbols
    expected, found = table_of(ngrams), table_of(again)
    assert list(found) == list(expected)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-6)
    first = path.read_bytes()
    write_arpa(path, again)
    assert path.read_bytes() == first
    assert (first[:2] == b"\x1f\x8b") == name.endswith(".gz")


def test_other_ways_to_write_the_same(tmp_path):
    path, other = tmp_path / "a.arpa", tmp_path / "b.arpa"
    path.write_text(BY_HAND, encoding="utf-8")
    text = "made by hand\n\n" + BY_HAND.replace("\t", " ").replace("\n\n", "\n").replace(
        "\n", "\r\n"
    )
    other.write_bytes(gzip.compress(text.encode()))  # found by what is inside, not by its name
    assert table_of(read_arpa(path)) == table_of(read_arpa(other))


def test_spaces_of_other_kinds_are_parts_of_words(tmp_path):
    path = tmp_path / "a.arpa"
    path.write_text(BY_HAND.replace("b", "b\u00a0\u3000\x85\u2028c"), encoding="utf-8")
    assert read_arpa(path).symbols[-1] == "b\u00a0\u3000\x85\u2028c"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("ngram 1=5", "ngram 1=6", 12, "promises 6 1-grams but there are 5"),
        ("ngram 1=5", "ngram 1=4", 12, "promises 4 1-grams but there are 5"),
        ("ngram 3=1", "ngram 4=1", 4, "should be ngram 3=COUNT"),
        ("ngram 3=1", "ngram 3=one", 4, "should be ngram 3=COUNT"),
        ("ngram 3=1\n", "", 13, "should be a log-probability, 2 symbols;"),
        ("ngram 3=1", "ngram 3=1\nngram 4=1", 22, "\\4-grams: should follow the 3-grams, not"),
        ("<s> a b", "<s> a b\n\n\\4-grams:", 21, "\\end\\ should follow the 3-grams, not '\\4-"),
        ("\\3-grams:\n-0.03125\t<s> a b\n", "", 19, "\\3-grams: should follow the 2-grams"),
        ("\\1-grams:\n", "", 6, "\\1-grams: should follow the counts"),
        ("ngram 1=5\nngram 2=3\nngram 3=1\n", "", 3, "no line ngram 1=COUNT"),
        ("\\end\\\n", "", 21, "not the end of the file"),
        ("\\end\\\n", "\\end\\\n\nmore", 23, "'more' comes after"),
        ("-0.25\ta b\t-1", "-0.25\ta", 15, "'-0.25 a' should be a log-probability, 2"),
        ("-0.25\ta b\t-1", "-0.25\ta\t-1", 15, "-1 is not among the 1-grams"),
        ("-0.25\ta b\t-1", "-0.25\ta b\t-1\t3", 15, "should be a log-probability, 2 symbols and"),
        ("<s> a b", "<s> a b\t-1", 19, "should be a log-probability, 3 symbols;"),
        ("-0.25\ta b", "0.25\ta b", 15, "'0.25' is not a number that is not above 0"),
        ("-0.25\ta b", "nan\ta b", 15, "'nan' is not a number that is not above 0"),
        ("a b\t-1", "a b\t-x", 15, "back-off '-x' is not a number"),
        ("a b\t-1", "a c\t-1", 15, "c is not among the 1-grams"),
        ("-1\tb\t", "-1\ta\t", 11, "a is listed twice"),
        ("b </s>", "a b", 16, "same n-gram as line 15"),
        ("<s> a b", "b a b", 19, "context 'b a' is not among the shorter"),
    ],
)  # fmt: skip
def test_faults_are_named_with_their_line(tmp_path, old, new, line, words):
    assert BY_HAND.count(old) == 1
    path = tmp_path / "a.arpa"
    path.write_text(BY_HAND.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_arpa(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_missing_sentence_ends(tmp_path):
    path = tmp_path / "a.arpa"
    path.write_text(BY_HAND.replace("<s>", "s").replace("</s>", "e"), encoding="utf-8")
    with pytest.raises(InputError, match="lack <s> and </s>"):
        read_arpa(path)


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.arpa.gz"
    with pytest.raises(InputError, match="no such language model"):
        read_arpa(path)
    with pytest.raises(InputError, match="is a folder"):
        read_arpa(tmp_path)
    whole = gzip.compress(BY_HAND.encode() * 50)
    for data, words in [
        (b"", "not an ARPA file"),
        (b"RIFF \x00\n more", "not an ARPA file"),
        (b"\\data\\\nngram 1=\xff\n", "a.arpa.gz:2: byte 9 is not UTF-8"),
        (gzip.compress(BY_HAND.encode())[:-12], "cut short"),
        (whole[:20] + b"\x00\x00" + whole[22:], "damaged gzip"),
        (gzip.compress(BY_HAND.encode())[:-8] + bytes(8), "damaged gzip"),
    ]:
        path.write_bytes(data)
        with pytest.raises(InputError, match=words):
            read_arpa(path)


def test_a_failed_write_leaves_the_old_file(tmp_path, random_text, trained, monkeypatch):
    path = tmp_path / "a.arpa"
    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(arpa, "_lines", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_arpa(path, trained(random_text(1, 10, 5), 2))
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.arpa"]
    with pytest.raises(InputError, match="is a folder"):
        write_arpa(tmp_path, trained([["a"]], 1))


def test_keys_of_many_symbols_still_tell_n_grams_apart():
    words = np.random.default_rng(0).integers(0, 9, (500, 4))
    for size in (9, 1 << 30):
        keys = packed_keys(words, size)
        assert len(np.unique(keys)) == len(np.unique(words, axis=0))
        assert np.isin(keys, packed_keys(words[::2], size)).sum() >= 250


SRILM = """\

\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-0.6\t</s>
-99\t<s>\t-0.3
-0.5\ta\t-0.25
-0.7 b  -0.1

-99\tc

\\2-grams:
-0.2\t<s> a
-0.4\ta\tb

-0.1  b   </s>

\\end\\
"""
"""As SRILM writes it, without <unk>; with blank lines, tabs and spaces at will."""

SENTENCES = ["a b", "b a a", "a zebra b", "c", ""]


def _plain_scores(text, sentence):
    """Log10 probabilities of a model of pairs, read in the simplest way; the package not used."""
    probs, weights, k = {"<unk>": -100.0}, {}, 0
    for line in text.replace("<UNK>", "<unk>").split("\n"):
        fields = line.split()
        if line.startswith("\\"):
            k = int(line[1]) if line[1].isdigit() else 0
        elif k and fields:
            gram = " ".join(fields[1 : k + 1])
            probs[gram] = max(float(fields[0]), -99.0)
            weights[gram] = float(fields[k + 1]) if len(fields) > k + 1 else 0.0
    words = [word if word in probs else "<unk>" for word in sentence.split()]
    scores = []
    for before, word in zip(["<s>", *words], [*words, "</s>"]):
        pair = f"{before} {word}"
        single = weights.get(before, 0.0) + probs[word]
        scores.append(probs.get(pair, single))
    return scores


def _model_scores(path, sentence):
    model = NgramModel.load(path)
    state, scores = model.start(1), []
    for token in model.encode([*sentence.split(), "</s>"]):
        log_prob, state = model.step(state, torch.tensor([token]))
        scores.append(float(log_prob[0]) / math.log(10))
    return scores


WAYS = {
    "as it is": lambda text: text.encode(),
    "byte order mark": lambda text: b"\xef\xbb\xbf" + text.lstrip().encode(),
    "compressed": lambda text: gzip.compress(text.encode()),
    "CR LF": lambda text: text.replace("\n", "\r\n").encode(),
    "-inf": lambda text: text.replace("-99", "-inf").encode(),
    "unknown in capitals": lambda text: (
        text.replace("ngram 1=5", "ngram 1=6").replace("-99\tc", "-99\tc\n-2.5\t<UNK>\t-0.2")
    ).encode(),
    "counts with spaces": lambda text: text.replace("ngram 1=5", "ngram\t1 = 5").encode(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore::asr_attn.errors.InputWarning")
def test_files_of_other_programs_score_as_they_say(tmp_path, way):
    path, data = tmp_path / "a.arpa", WAYS[way](SRILM)
    path.write_bytes(data)
    plain = gzip.decompress(data) if way == "compressed" else data
    text = plain.decode("utf-8-sig").replace("\r", "")
    for sentence in SENTENCES:
        np.testing.assert_allclose(
            _model_scores(path, sentence), _plain_scores(text, sentence), atol=1e-4
        )


@pytest.mark.parametrize("way", ["as it is", "unknown in capitals"])
@pytest.mark.filterwarnings("ignore::asr_attn.errors.InputWarning")
def test_scores_are_those_of_kenlm(tmp_path, way):
    kenlm = pytest.importorskip("kenlm")
    path = tmp_path / "a.arpa"
    # KenLM wants tabs, and no empty lines within a section
    text = SRILM.replace("-0.7 b  -0.1\n\n", "-0.7\tb\t-0.1\n").replace("a\tb\n\n", "a b\n")
    path.write_bytes(WAYS[way](text.replace("-0.1  b   </s>", "-0.1\tb </s>").lstrip()))
    model = kenlm.Model(str(path))
    for sentence in SENTENCES:
        expected = [score for score, _, _ in model.full_scores(sentence)]
        np.testing.assert_allclose(_model_scores(path, sentence), expected, atol=1e-4)


def test_a_file_without_an_unknown_word_is_noted(tmp_path):
    path = tmp_path / "a.arpa"
    path.write_text(SRILM, encoding="utf-8")
    with pytest.warns(InputWarning, match=r"a\.arpa has no <unk>: .* log10 probability of -100"):
        read_arpa(path)
    path.write_text(SRILM, encoding="utf-16")
    with pytest.raises(InputError, match="is UTF-16"):
        read_arpa(path)


def test_both_spellings_of_the_unknown_word_are_words_apart(tmp_path):
    path = tmp_path / "a.arpa"
    path.write_text(BY_HAND.replace("\tb", "\t<UNK>").replace(" b", " <UNK>"), encoding="utf-8")
    assert read_arpa(path).symbols == ("<unk>", "<s>", "</s>", "a", "<UNK>")
