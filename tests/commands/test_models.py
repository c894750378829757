import json

import pytest
import safetensors.torch
import torch

from asr_attn import zoo
from asr_attn.checkpoint import load_model, save_model

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


@pytest.mark.parametrize("name", zoo.packaged_models())
def test_every_model_of_the_package_has_a_card_and_is_small(name):
    path = zoo.packaged_model(name)
    assert path is not None
    assert path.stat().st_size < MEGABYTES * 1e6
    assert load_model(name).network.parameter_count() > 0
    card = zoo.model_card(name)
    for heading in ("## Data and licence", "## Figures", "## Limits"):
        assert heading in card
