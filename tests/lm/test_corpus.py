import gzip
import lzma

import pytest

from asr_attn.errors import InputError
from asr_attn.lm.corpus import (
    read_lines,
    sentences,
    split_characters,
    split_tokens,
    split_words,
)
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.text.tokenizer import CharTokenizer

TEXT = "One two.\n\n   \n three\u00a0\tfour \r\n\u2028\n  FIVE"


def texts(*paths, **options):
    return [line.text for line in read_lines(paths, **options)]


def test_text_files_of_all_kinds(tmp_path):
    plain, packed, smaller = (tmp_path / name for name in ("a.txt", "b.gz", "c.txt.xz"))
    plain.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    packed.write_bytes(gzip.compress(TEXT.encode()))
    smaller.write_bytes(lzma.compress(TEXT.encode()))
    expected = ["One two.", "three four", "FIVE"]
    for path in (plain, packed, smaller):
        assert texts(path) == expected
    normalized = ["one two", "three four", "five"]
    assert texts(plain, packed, normalizer=NormalizerConfig()) == normalized * 2
    assert [line.number for line in read_lines([plain])] == [1, 4, 6]


def test_manifests(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "A b."}\n\n{"id": "x", "text": ""}\n{"text": "c"}\n', "utf-8")
    assert texts(path) == ["A b.", "c"]
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert texts(packed) == ["A b.", "c"]
    for line, words in [
        ("{", "a.jsonl:2: is not JSON"),
        ("[1]", 'a.jsonl:2: lacks a "text"'),
        ('{"text": 3}', 'a.jsonl:2: lacks a "text"'),
        ('{"text": "\\ud800"}', "a.jsonl:2: .*surrogate"),
    ]:
        path.write_text('{"text": "a"}\n' + line + "\n", "utf-8")
        with pytest.raises(InputError, match=words):
            texts(path)


def test_how_much_was_read_is_told(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"a b c\n" * 5000))
    told = []
    assert len(texts(path, path, on_read=told.append)) == 10_000
    assert sum(told) == 2 * path.stat().st_size


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="no such text file"):
        texts(tmp_path / "none.txt")
    with pytest.raises(InputError, match="is a folder"):
        texts(tmp_path)
    path = tmp_path / "a.txt"
    path.write_bytes(b"good\nbad \xff\n")
    with pytest.raises(InputError, match=r"a\.txt:2: byte 5 is not UTF-8"):
        texts(path)
    for suffix, compress in ((".gz", gzip.compress), (".xz", lzma.compress)):
        path = tmp_path / f"a{suffix}"
        whole = compress(bytes(range(65, 90)) * 100)
        for data in (whole[:-9], whole[:30] + b"\x55" + whole[31:], b"plain text"):
            path.write_bytes(data)
            with pytest.raises(InputError, match="cut short or damaged"):
                texts(path)


def test_symbols(tmp_path):
    assert split_words("a bc") == ["a", "bc"]
    assert split_characters("a bc") == ["a", "<space>", "b", "c"]
    tokenizer = CharTokenizer.train(["ab "])
    assert split_tokens(tokenizer)("a bc") == ["a", "<space>", "b", "<unk>"]
    path = tmp_path / "a.txt"
    path.write_text("fine\na <s> b\n", "utf-8")
    with pytest.raises(InputError, match=r"a\.txt:2: the word <s> has a meaning"):
        list(sentences(read_lines([path]), split_words))
    assert len(list(sentences(read_lines([path]), split_characters))) == 2
