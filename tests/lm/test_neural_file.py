import json
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from asr_attn import cli
from asr_attn.errors import CheckpointError, InputError
from asr_attn.lm.arpa import write_arpa
from asr_attn.lm.loading import load_scorer
from asr_attn.lm.neural import TrainedLm
from asr_attn.lm.neural_file import LM_FILE, is_neural, load_lm, save_lm
from asr_attn.lm.neural_scorer import NeuralScorer
from asr_attn.lm.scorer import NgramScorer
from asr_attn.lm.word_scorer import WordScorer
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.text.tokenizer import EOS
from tests.lm.test_neural import by_numpy, model_of

KEY = "asr_attn_language_model"


@pytest.fixture(params=["lstm", "transformer"])
def model(request):
    made = model_of(request.param, " abcdefgh")
    return TrainedLm(
        made.network, made.config, made.tokenizer, NormalizerConfig(False, True), {"tokens": 7}
    )


@pytest.fixture
def file(model, tmp_path):
    path = tmp_path / "run" / LM_FILE
    save_lm(path, model)
    return path


def changed(path: Path, target: Path, change) -> Path:
    """A copy whose description and tensors were changed."""
    with safetensors.safe_open(str(path), framework="pt") as opened:
        description = json.loads(opened.metadata()[KEY])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    change(description, tensors)
    safetensors.torch.save_file(tensors, str(target), {KEY: json.dumps(description)})
    return target


@pytest.mark.parametrize("folder", [False, True])
def test_round_trip(model, file, folder):
    back = load_lm(file.parent if folder else file)
    assert (back.config, back.tokenizer) == (model.config, model.tokenizer)
    assert (back.normalizer, back.info) == (model.normalizer, model.info)
    assert not back.network.training
    tokens = torch.tensor([[EOS, 3, 7, 5]])
    assert torch.equal(back.network(tokens), model.network(tokens))


def test_damaged_and_foreign_files_are_one_sentence(file, model_file, tmp_path):
    whole = file.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "head.safetensors").write_bytes(whole[:5])
    (tmp_path / "text.safetensors").write_text("no model", encoding="utf-8")
    safetensors.torch.save_file({"x": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    (tmp_path / "empty").mkdir()
    for name, change in {
        "new": lambda d, _: d.update(format=99),
        "nan": lambda _, t: t["output.bias"].fill_(torch.nan),
        "kind": lambda d, _: d["model"].update(name="gru"),
        "size": lambda d, _: d["model"].update(hidden_size=16),
        "key": lambda d, _: d["model"].update(width=1),
        "lacking": lambda d, _: d.pop("tokenizer"),
        "characters": lambda d, _: d["tokenizer"].update(characters=[1]),
        "spelling": lambda d, _: d.update(normalizer=3),
    }.items():
        changed(file, tmp_path / f"{name}.safetensors", change)
    for path, words in {
        "cut.safetensors": "is not a whole language model",
        "head.safetensors": "is not a whole language model",
        "text.safetensors": "is not a whole language model",
        "other.safetensors": "a file of another kind, not a language model of asr_attn",
        "empty": f"this folder has no {LM_FILE}",
        "gone.safetensors": "there is no such language model",
        str(model_file): "is a recogniser, not a language model",
        "new.safetensors": "has format version 99",
        "nan.safetensors": "NaN or infinite",
        "kind.safetensors": "'gru' is not known",
        "size.safetensors": "do not fit together",
        "key.safetensors": "do not fit together",
        "lacking.safetensors": "do not fit together",
        "characters.safetensors": "tokenizer is damaged",
        "spelling.safetensors": "do not fit together",
    }.items():
        with pytest.raises(CheckpointError, match=words) as caught:
            load_lm(tmp_path / path)
        assert str(caught.value).startswith(str(tmp_path / path))
        assert "\n" not in str(caught.value)


def test_what_cannot_be_written_keeps_what_there_was(model, file):
    before = file.read_bytes()
    network = model_of(model.config.name, " abcdefgh", seed=1).network
    broken = TrainedLm(network, model.config, model.tokenizer, model.normalizer, {"bad": {1, 2}})
    with pytest.raises(TypeError):
        save_lm(file, broken)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [LM_FILE]
    with pytest.raises(InputError, match="cannot be written"):
        save_lm(file / "below", model)


def test_scorers_are_found_by_what_a_file_is(file, tiny_model, trained, tmp_path):
    plain = tmp_path / "model.bin"
    plain.write_bytes(file.read_bytes())
    for path in (file, file.parent, plain):
        assert isinstance(load_scorer(path, tiny_model.tokenizer), NeuralScorer)
    sentences = [list("abc"), list("cab"), [*"dad", "<space>", *"hefg"]] * 2
    for name, text, kind in (
        ("tokens.arpa", sentences, NgramScorer),
        ("words.arpa", [["abc", "bad"], ["cab"]], WordScorer),
    ):
        path = tmp_path / name
        write_arpa(path, trained(text, 2))
        assert not is_neural(path)
        assert isinstance(load_scorer(path, tiny_model.tokenizer), kind)
    assert not is_neural(tmp_path / "gone.arpa")


def test_command_scores_a_text(model, file, tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("a  bad cab\n\nfade Q\n", encoding="utf-8")
    code = cli.main(["lm", "score", str(file.parent), str(text), "--format", "json"])
    figures = json.loads(capsys.readouterr().out)
    assert code == 0
    total = 0.0
    for sentence in ("a bad cab", "fade Q"):
        tokens = model.tokenizer.encode(sentence)
        row = by_numpy(model, tokens)
        total += sum(row[u, token] for u, token in enumerate([*tokens, EOS]))
    assert figures["log10_prob"] == pytest.approx(total / np.log(10), rel=1e-5)
    assert figures["perplexity_per_word"] == pytest.approx(np.exp(-total / 7), rel=1e-5)
    assert figures["perplexity"] == pytest.approx(np.exp(-total / 17), rel=1e-5)
    counts = [figures[name] for name in ("sentences", "tokens", "unknown", "words")]
    assert counts == [2, 15, 1, 5]
    assert (figures["kind"], figures["units"]) == (model.config.name, "tokens")
    assert cli.main(["lm", "score", str(file), str(text)]) == 0
    assert "perplexity per word" in capsys.readouterr().out
    assert cli.main(["lm", "score", str(file), str(text), "--units", "words"]) == 2
    assert "leave out --units, --model and --normalize" in capsys.readouterr().err


def test_command_has_a_perplexity_per_word_of_characters(tmp_path, capsys):
    text, arpa = tmp_path / "text.txt", tmp_path / "characters.arpa"
    text.write_text("ab ab\nba b\n" * 3, encoding="utf-8")
    arguments = ["lm", "train", text, "--order", "2", "--units", "characters", "--output", arpa]
    assert cli.main([str(a) for a in arguments]) == 0
    assert cli.main(["lm", "score", str(arpa), str(text), "--format", "json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    # the same probability, spread over 33 characters and ends, or over 18 words and ends
    assert figures["perplexity"] ** 33 == pytest.approx(figures["perplexity_per_word"] ** 18)
    assert figures["words"] == 12
