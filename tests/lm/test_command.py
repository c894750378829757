import gzip
import json

import pytest

from asr_attn import cli
from asr_attn.lm.arpa import read_arpa
from asr_attn.lm.ngram import NgramModel
from asr_attn.lm.scorer import NgramScorer
from asr_attn.lm.word_scorer import WordScorer

SENTENCES = ["A bad cab.", "face a bed", "a bad face", "dad, a cab", "bad dad"] * 3


@pytest.fixture
def asr(capsys):
    """Runs a command: exit code, standard output, standard error."""

    def run(*arguments):
        code = cli.main([str(argument) for argument in ("lm", *arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return run


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    return path


def test_words(asr, text, tmp_path):
    output = tmp_path / "new" / "words.arpa.gz"
    code, out, err = asr("train", text, "--order", 3, "--output", output, "--normalize")
    assert (code, out) == (0, "")
    assert "from 42 tokens in 15 sentences" in err
    assert "n-grams of length 1 to 3: 9, " in err
    names = {"<unk>", "<s>", "</s>", "a", "bad", "cab", "face", "bed", "dad"}
    assert set(read_arpa(output).symbols) == names
    other = tmp_path / "other.txt"
    other.write_text("a cab\nbad zebra\n", encoding="utf-8")
    code, out, _ = asr("score", output, other, "--format", "json")
    assert code == 0
    figures = json.loads(out)
    assert (figures["sentences"], figures["tokens"], figures["unknown"]) == (2, 4, 1)
    assert figures["units"] == "words"
    assert 1 < figures["perplexity_without_unknown"] < figures["perplexity"]
    code, out, _ = asr("score", output, other)
    assert [line.split("  ")[0] for line in out.splitlines()] == [
        "perplexity", "without unknown words", "unknown words", "words", "sentences",
    ]  # fmt: skip
    assert "1 (25.00 %)" in out


def test_characters_are_found_out(asr, text, tmp_path):
    output = tmp_path / "characters.arpa"
    arguments = ("--order", 4, "--units", "characters", "--output", output)
    assert asr("train", text, *arguments)[0] == 0
    assert "<space>" in read_arpa(output).symbols
    code, out, _ = asr("score", output, text, "--format", "json")
    assert code == 0
    figures = json.loads(out)
    assert (figures["units"], figures["tokens"]) == ("characters", sum(map(len, SENTENCES)))


def test_models_for_a_recogniser(asr, text, tmp_path, model_file, tiny_model):
    tokens, words = tmp_path / "tokens.arpa", tmp_path / "words.arpa"
    spelling = ("--model", model_file)
    for output, units in ((tokens, "tokens"), (words, "words")):
        arguments = ("--order", 3, "--units", units, *spelling, "--output", output)
        assert asr("train", text, *arguments)[0] == 0
    # all tokens are known, those that the text lacks among them
    assert set(tiny_model.tokenizer.characters) - {" "} < set(read_arpa(tokens).symbols)
    NgramScorer(NgramModel.load(tokens), tiny_model.tokenizer)
    WordScorer(NgramModel.load(words), tiny_model.tokenizer)
    code, out, _ = asr("score", tokens, text, "--units", "tokens", *spelling, "--format", "json")
    assert code == 0
    assert json.loads(out)["unknown"] == 0


def test_manifests_and_several_files(asr, text, tmp_path):
    manifest, packed = tmp_path / "list.jsonl", tmp_path / "more.txt.gz"
    manifest.write_text('{"id": "a", "text": "a bed"}\n', encoding="utf-8")
    packed.write_bytes(gzip.compress(b"a cab\n"))
    output = tmp_path / "all.arpa"
    code, _, err = asr("train", text, manifest, packed, "--order", 2, "--output", output)
    assert code == 0
    assert "in 17 sentences" in err


def test_pruning_and_little_memory(asr, text, tmp_path):
    sizes = []
    for extra in ((), ("--memory", 10), ("--prune", 0, 0, 3)):
        output = tmp_path / "a.arpa"
        assert asr("train", text, "--order", 3, *extra, "--output", output)[0] == 0
        sizes.append(len(read_arpa(output).orders[2]))
    assert sizes[0] == sizes[1] > sizes[2]


def test_compiled_models_score_the_same(asr, text, tmp_path):
    arpa, trained, packed = (tmp_path / name for name in ("a.arpa", "trained.npz", "packed.npz"))
    for output in (arpa, trained):
        assert asr("train", text, "--order", 3, "--output", output)[0] == 0
    assert asr("pack", arpa, "--output", packed)[0] == 0
    figures = []
    for model in (arpa, trained, packed):
        code, out, _ = asr("score", model, text, "--format", "json")
        assert code == 0
        figures.append(json.loads(out)["perplexity"])
    assert figures[1:] == pytest.approx(figures[:1] * 2, rel=1e-5)


def test_entropy_and_vocabulary_make_small_models(asr, text, tmp_path):
    output = tmp_path / "small.arpa"
    arguments = ("--order", 3, "--entropy", 0.9, "--vocabulary", 2, "--normalize")
    assert asr("train", text, *arguments, "--output", output)[0] == 0
    assert set(read_arpa(output).symbols) == {"<unk>", "<s>", "</s>", "a", "bad"}
    assert [len(order) for order in read_arpa(output).orders] == [5, 0, 0]


def test_mistakes_are_one_sentence(asr, text, tmp_path):
    empty, output = tmp_path / "empty.txt", tmp_path / "a.arpa"
    empty.write_text("\n \n", encoding="utf-8")
    made = tmp_path / "made.arpa"
    assert asr("train", text, "--order", 2, "--output", made)[0] == 0
    to = ("--output", output)
    for arguments, words in [
        (("train", text, "--order", 0, *to), "whole number from 1 to 100"),
        (("train", text, "--order", "two", *to), "two"),
        (("train", text, *to), "--order"),
        (("train", text, "--order", 2), "--output"),
        (("train", empty, "--order", 2, *to), f"{empty}: there are no words"),
        (("train", tmp_path / "no.txt", "--order", 2, *to), "no.txt: there is no such text"),
        (("train", tmp_path, "--order", 2, *to), "is a folder"),
        (("train", text, "--order", 2, "--output", text), "is read by this command"),
        (("train", text, "--order", 2, "--output", tmp_path), "is a folder"),
        (("train", text, "--order", 2, "--units", "tokens", *to), "give --model"),
        (("train", text, "--order", 2, "--prune", 1, *to), "first number must be 0"),
        (("train", text, "--order", 2, "--memory", 1, *to), "--memory 1 is too little"),
        (("train", text, "--order", 2, "--model", tmp_path / "no", *to), "no such model file"),
        (("train", text, "--order", 2, "--entropy", 2, *to), "number from 0 to 1"),
        (("train", text, "--order", 2, "--vocabulary", -2, *to), "whole number from 0"),
        (("pack", made, *to), "ends in .npz"),
        (("pack", tmp_path / "no.arpa", "--output", tmp_path / "a.npz"), "no such language model"),
        (("score", made, empty), "no words"),
        (("score", made, tmp_path / "no.txt"), "no.txt: there is no such text"),
        (("score", tmp_path / "no.arpa", text), "no.arpa: there is no such language model"),
        (("score", text, text), "is not an ARPA file"),
        ((), "COMMAND"),
    ]:
        code, out, err = asr(*arguments)
        assert (code, out) == (2, "")
        assert words in err
        assert err.startswith("asr-attn: ")
        assert err.count("\n") == 1
    assert not output.exists()


@pytest.mark.parametrize("command", ["train", "score", "pack"])
def test_help_has_examples(asr, command):
    code, out, _ = asr(command, "--help")
    assert code == 0
    assert "examples:" in out
    assert "exit codes:" in out


@pytest.mark.parametrize(
    "lines", ["u-001 a bad cab\nu-002 face\n", "a bad cab (u-1)\nface (u-2)\n"]
)
def test_ids_in_a_text_are_told(asr, text, tmp_path, lines):
    named, output = tmp_path / "named.txt", tmp_path / "words.arpa"
    assert "ids of utterances" not in asr("train", text, "--order", 2, "--output", output)[2]
    named.write_text(lines, encoding="utf-8")
    told = f"{named}: the lines hold what looks like ids of utterances"
    assert told in asr("score", output, named)[2]
    assert told in asr("train", named, "--order", 1, "--output", output)[2]
