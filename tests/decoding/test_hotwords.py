from dataclasses import dataclass

import pytest
import torch

from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.hotwords import (
    DEFAULT_BOOST,
    Hotword,
    HotwordScorer,
    fit_hotword,
    parse_hotword,
    read_hotwords,
)
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.errors import InputError
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.text.tokenizer import CharTokenizer, WordTokenizer

LETTERS = CharTokenizer.train(["abcdefghijklmnopqrstuvwxyz '"])
PLAIN = NormalizerConfig()


@dataclass(frozen=True)
class Undecided:
    """A scorer for which letters are equally likely; memory holds nothing for it."""

    name = "undecided"
    gain = 0.0

    def select(self, index: torch.Tensor) -> "Undecided":
        return self

    def start(self, memory: torch.Tensor, lengths: torch.Tensor) -> "Undecided":
        return self

    def score(self, tokens: torch.Tensor, state: "Undecided"):
        return torch.zeros(len(tokens), len(LETTERS)).log_softmax(dim=-1), self


def test_a_search_writes_the_hotword():
    memory, lengths = torch.zeros(2, 9, 1), torch.tensor([9, 9])
    scorers = [(Undecided(), 1.0), (HotwordScorer([Hotword("new york", 40.0)], LETTERS), 1.0)]
    config = SearchConfig(beam=3, length_exponent=0.0)
    found = beam_search(scorers, memory, lengths, config, nbest=100)
    assert [LETTERS.decode(h[0].tokens) for h in found] == ["new york"] * 2


@pytest.mark.parametrize(
    ("text", "phrase", "boost"),
    [
        ("New York:2.5", "New York", 2.5),
        ("new york", "new york", DEFAULT_BOOST),
        (" re: invent ", "re: invent", DEFAULT_BOOST),
        ("re: invent : -1e1", "re: invent", -10.0),
        ("10:30:2", "10:30", 2.0),
        ("colon:", "colon:", DEFAULT_BOOST),
    ],
)
def test_parses_the_boost_after_the_last_colon(text, phrase, boost):
    assert parse_hotword(text) == Hotword(phrase, boost)


def test_another_default():
    assert parse_hotword("ten", 1.5) == Hotword("ten", 1.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [(":3", "no phrase"), ("", "no phrase"), ("nan bread:nan", "from -1000 to 1000")],
)
def test_refuses_what_is_no_hotword(text, message):
    with pytest.raises(InputError, match=message):
        parse_hotword(text)


def test_phrases_are_written_as_the_recogniser_writes():
    fitted = fit_hotword(Hotword("  O\u2019Neill, \tJr.", 2.0), PLAIN, LETTERS)
    assert fitted == Hotword("o'neill jr", 2.0)


@pytest.mark.parametrize(
    ("phrase", "message"),
    [("Caf\u00e9 7\u00e9", r"'Caf\u00e9 7\u00e9'.*'\u00e9' '7'"), ("?!", r"'\?!' has no letters")],
)
def test_refuses_phrases_that_cannot_be_written(phrase, message):
    with pytest.raises(InputError, match=message):
        fit_hotword(Hotword(phrase), PLAIN, LETTERS)


def test_words_that_cannot_be_written_are_called_words():
    with pytest.raises(InputError, match=r"'new oslo' has words that .* \('oslo'\)"):
        fit_hotword(Hotword("new oslo"), PLAIN, WordTokenizer(("new", "york")))


def test_reads_a_list(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\ufeff# names\nNew York:3\r\n\n  # more\nAda\nnew york:3\n", encoding="utf-8")
    found = read_hotwords(path, PLAIN, LETTERS, default=1.0)
    assert found == (Hotword("new york", 3.0), Hotword("ada", 1.0))


def test_names_all_faults_with_their_lines(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("ada\nna\u00efve\n:2\nADA:7\nbob:inf\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_hotwords(path, PLAIN, LETTERS)
    lines = str(caught.value).split("\n")
    for line, number, part in zip(
        lines, (2, 3, 4, 5), ("'\u00ef'", "no phrase", "'ada'", "inf"), strict=True
    ):
        assert line.startswith(f"{path}:{number}: ")
        assert part in line


def test_shows_twenty_faults_of_many(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("!\n" * 25, encoding="utf-8")
    with pytest.raises(InputError, match=r":20: .*\nand 5 more$"):
        read_hotwords(path, PLAIN, LETTERS)


@pytest.mark.parametrize("text", ["", "\n # nothing\n\n"])
def test_an_empty_list_is_a_fault(tmp_path, text):
    path = tmp_path / "names.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"names\.txt lists no hotwords; write"):
        read_hotwords(path, PLAIN, LETTERS)


def test_says_why_a_list_cannot_be_read(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    for name, message in [("latin.txt", "not UTF-8"), ("none.txt", "No such"), ("", "folder")]:
        with pytest.raises(InputError, match=message):
            read_hotwords(tmp_path / name, PLAIN, LETTERS)
