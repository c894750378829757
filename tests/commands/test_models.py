import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from asr_attn import zoo
from asr_attn.checkpoint import load_model, save_model
from asr_attn.models.confidence import Calibration
from asr_attn.text.characters import CharTokenizer
from asr_attn.text.normalizer import NormalizerConfig

MEGABYTES = 20
"""The most that a packaged model may take."""


@pytest.fixture
def shelf(monkeypatch, tmp_path, model_file):
    """A package with one model."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    (folder / "tones.safetensors").write_bytes(model_file.read_bytes())
    card = "# Tones\n\nTones of a test,\nand more.\n\n## Limits\n\nNoise.\n"
    (folder / "tones.md").write_text(card, encoding="utf-8")
    monkeypatch.setattr(zoo, "_FOLDER", folder)
    return folder


def test_packaged_models_are_listed_shown_and_used_by_their_names(
    asr, refused, shelf, recordings, monkeypatch, tmp_path
):
    code, out, _ = asr("models")
    assert code == 0
    assert out.split() == [
        *("tones", f"{(shelf / 'tones.safetensors').stat().st_size / 1e6:.1f}", "MB"),
        *["Tones", "of", "a", "test,", "and", "more."],
    ]
    wav = min(recordings.glob("*.wav"))
    _, out, _ = asr("models", "tones")
    assert out == (shelf / "tones.md").read_text(encoding="utf-8")
    (found,) = json.loads(asr("models", "--format", "json")[1])
    assert (found["name"], found["summary"]) == ("tones", "Tones of a test, and more.")
    assert "there are: tones" in refused("models", "digit")
    by_name = asr("transcribe", "tones", wav)
    assert by_name == asr("transcribe", shelf / "tones.safetensors", wav)
    assert "comes with asr_attn: tones" in refused("transcribe", "tone", wav)
    # a file of that name is meant rather than the packaged model
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tones").write_bytes(b"not a model")
    assert "not a whole model file" in refused("transcribe", "tones", wav)


def test_a_packed_model_has_half_the_size_and_the_weights_rounded(asr, refused, model_file):
    output = model_file.parent / "small.safetensors"
    code, _, err = asr("pack", model_file, "--output", output)
    assert code == 0
    assert "parameters" in err
    for source in (model_file, model_file.parent):
        assert "is read by this command" in refused("pack", source, "--output", model_file)
    assert "is a folder" in refused("pack", model_file, "--output", model_file.parent)
    weights = safetensors.torch.load_file(str(output))
    before = load_model(model_file).network.state_dict()
    packed = load_model(output).network.state_dict()
    for name, tensor in before.items():
        if tensor.is_floating_point():
            assert weights[name].dtype == torch.float16
            assert packed[name].dtype == tensor.dtype
            assert torch.equal(packed[name], tensor.half().float())
    model = load_model(model_file)
    with torch.no_grad():
        next(model.network.parameters()).view(-1)[0] = 1e6
    save_model(model_file, model)
    assert "above 65504" in refused("pack", model_file, "--output", output)


@pytest.fixture
def best(model_file):
    """A folder with three models of one training."""
    folder = model_file.parent / "best"
    for epoch in (3, 5, 7):
        model = load_model(model_file)
        torch.manual_seed(epoch)
        with torch.no_grad():
            for weights in model.network.parameters():
                weights += 0.01 * torch.randn_like(weights)
        info = {"seed": 0, "epoch": epoch, "dev_wer": 0.1, "dev_wer_interval": [0, 1]}
        calibration = Calibration((), (), (), (), 0.5) if epoch == 3 else None
        path = folder / f"epoch={epoch:04d}.safetensors"
        save_model(path, replace(model, info=info, calibration=calibration))
    return folder


def test_an_average_has_the_means_of_the_weights(asr, best, tmp_path):
    output = tmp_path / "mean.safetensors"
    code, out, err = asr("average", best, "--output", output)
    assert (code, out) == (0, "")
    assert "mean.safetensors: " in err
    files = sorted(best.iterdir())
    parts = [safetensors.numpy.load_file(file) for file in files]
    for name, values in safetensors.numpy.load_file(output).items():
        expected = np.mean([part[name] for part in parts], axis=0, dtype=np.float64)
        np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-8)
    model = load_model(output)
    assert model.info == {"seed": 0, "averaged": 3}
    assert model.calibration is None
    before = safetensors.numpy.load_file(output)
    assert asr("average", *reversed(files), "--output", output)[0] == 0
    for name, values in safetensors.numpy.load_file(output).items():
        np.testing.assert_allclose(values, before[name], rtol=1e-6, atol=1e-8)


def test_models_that_have_no_average_are_refused(refused, best, model_file, tmp_path):
    output = tmp_path / "mean.safetensors"
    one, two, _ = sorted(best.iterdir())
    assert "takes two models" in refused("average", one, "--output", output)
    assert "has the same weights as" in refused("average", best, two, "--output", output)
    # a run that was stopped has a copy of its best model
    shutil.copyfile(two, model_file.parent / "model.safetensors")
    assert "has the same weights" in refused("average", model_file.parent, best, "--output", output)
    assert "is read by this command" in refused("average", best, "--output", two)
    assert "is a folder" in refused("average", best, "--output", best)
    assert "has no model files" in refused("average", one, tmp_path, "--output", output)
    model = load_model(model_file)
    with torch.no_grad():
        for weights in model.network.parameters():
            weights.copy_(torch.randn_like(weights))
    save_model(model_file, model)
    assert "is of another training" in refused("average", one, model_file, "--output", output)
    decoder = replace(model.config.decoder, dropout=0.7)
    tokenizer = CharTokenizer.train(["abcdefgi "])
    others = [
        (replace(model, features=replace(model.features, min_hz=30.0)), "settings features.min_hz"),
        (replace(model, config=replace(model.config, decoder=decoder)), "settings model.decoder"),
        (replace(model, tokenizer=tokenizer), "tokenizers"),
        (replace(model, normalizer=NormalizerConfig(lowercase=False)), "normalizers"),
    ]
    for other, part in others:
        save_model(model_file, other)
        assert f"their {part}" in refused("average", one, model_file, "--output", output)
    assert not output.exists()


@pytest.mark.parametrize("name", zoo.packaged_models())
def test_every_model_of_the_package_has_a_card_and_is_small(name):
    path = zoo.packaged_model(name)
    assert path is not None
    assert path.stat().st_size < MEGABYTES * 1e6
    assert load_model(name).network.parameter_count() > 0
    card = zoo.model_card(name)
    for heading in ("## Data and licence", "## Figures", "## Limits"):
        assert heading in card


def test_a_folder_called_as_a_model_does_not_hide_it(asr, model_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    expected = load_model(zoo.packaged_model("digits"))
    assert load_model("digits").tokenizer.to_dict() == expected.tokenizer.to_dict()
    code, _, _ = asr("pack", "digits", "--output", "packed.safetensors")
    assert code == 0
    # a folder that holds a model is what is meant
    shutil.copy(model_file, tmp_path / "digits")
    own = load_model("digits").tokenizer.to_dict()
    assert own == load_model(model_file).tokenizer.to_dict()
    assert own != expected.tokenizer.to_dict()
