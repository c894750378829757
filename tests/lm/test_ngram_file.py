import numpy as np
import pytest
import torch

from asr_attn.errors import InputError
from asr_attn.lm.loading import load_scorer
from asr_attn.lm.ngram import NgramModel
from asr_attn.lm.ngram_file import compile_ngrams, read_compiled, write_compiled
from asr_attn.lm.word_scorer import WordScorer
from asr_attn.text.tokenizer import CharTokenizer


@pytest.fixture
def ngrams(random_text, trained):
    return trained(random_text(3, 200, 15), 4, prune=(0, 0, 1))


@pytest.fixture
def file(ngrams, tmp_path):
    path = tmp_path / "words.npz"
    write_compiled(path, compile_ngrams(ngrams))
    return path


@pytest.mark.parametrize("order", [1, 2, 4])
def test_reads_back_the_same(random_text, trained, tmp_path, order):
    ngrams = trained(random_text(order, 150, 15), order, vocabulary=["ünï\u2028cöde", "\u2581"])
    path = tmp_path / "model.npz"
    write_compiled(path, compile_ngrams(ngrams))
    loaded, made = NgramModel.load(path, 20), NgramModel(ngrams, 20)
    assert loaded.symbols == made.symbols
    assert loaded.order == made.order == order
    states = torch.arange(len(made.suffix))
    assert torch.equal(loaded.score(states), made.score(states))
    assert torch.equal(loaded.start(1), made.start(1))
    for token in range(len(made.symbols)):
        tokens = torch.full_like(states, token)
        for found, expected in zip(loaded.step(states, tokens), made.step(states, tokens)):
            assert torch.equal(found, expected)


def test_the_same_model_is_the_same_file(ngrams, file, tmp_path):
    write_compiled(tmp_path / "again.npz", compile_ngrams(ngrams))
    assert (tmp_path / "again.npz").read_bytes() == file.read_bytes()


def test_a_search_takes_it(file):
    scorer = load_scorer(file, CharTokenizer.train(["w0123456789 "]))
    assert isinstance(scorer, WordScorer)


def test_damage_is_told(file):
    data = file.read_bytes()
    middle = len(data) // 2
    spoilt = bytearray(data)
    spoilt[middle] ^= 0xFF
    for harm in (bytes(spoilt), data[:middle], data[:30], data + b"more" * 20_000):
        file.write_bytes(harm)
        with pytest.raises(InputError, match=r"words\.npz"):
            read_compiled(file)


@pytest.mark.parametrize(
    ("name", "value"),
    [("suffix", 10**6), ("suffix", -1), ("following", 10**6), ("tokens", 10**6), ("lengths", 2)],
)
def test_parts_that_do_not_fit_are_told(file, name, value):
    with np.load(file) as archive:
        arrays = dict(archive)
    arrays[name][-1] = value
    np.savez(file, **arrays)
    with pytest.raises(InputError, match="is damaged"):
        read_compiled(file)


def test_other_files_are_told(file, tmp_path):
    with np.load(file) as archive:
        arrays = dict(archive)
    np.savez(file, **{**arrays, "format": np.array(2)})
    with pytest.raises(InputError, match="format version 2"):
        read_compiled(file)
    np.savez(file, pictures=np.zeros(3))
    with pytest.raises(InputError, match="no n-gram model"):
        read_compiled(file)
    np.savez(file, format=np.array([None, {}], dtype=object))
    with pytest.raises(InputError, match=r"words\.npz"):
        read_compiled(file)
