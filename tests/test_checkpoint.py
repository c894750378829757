import errno
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch

from asr_attn.audio.features import FeaturesConfig
from asr_attn.checkpoint import TrainedModel, load_model, save_model
from asr_attn.errors import CheckpointError, InputError
from asr_attn.models.asr import AsrModel
from asr_attn.models.confidence import Calibration
from asr_attn.recognizer import Recognizer
from asr_attn.text.build import TokenizerConfig, build_tokenizer
from asr_attn.text.normalizer import NormalizerConfig

TOKENIZERS = [
    TokenizerConfig(),
    TokenizerConfig("bpe", 14),
    TokenizerConfig("unigram", 11),
    TokenizerConfig("bytes"),
    TokenizerConfig("words", 6),
]


def refused(path: Path, *words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for word in words:
        assert word in message


def contents(path: Path) -> tuple[dict, dict[str, torch.Tensor]]:
    with safetensors.safe_open(str(path), framework="pt") as file:
        description = json.loads(file.metadata()["asr_attn"])
    # copies: what is loaded may be a view of the file, which is about to be overwritten
    return description, {k: v.clone() for k, v in safetensors.torch.load_file(str(path)).items()}


def rewrite(path: Path, description: object, tensors: dict[str, torch.Tensor]) -> None:
    text = description if isinstance(description, str) else json.dumps(description)
    path.write_bytes(safetensors.torch.save(tensors, {"asr_attn": text}))


def test_round_trip_is_exact(tiny_model, model_file):
    loaded = load_model(model_file)
    before, after = tiny_model.network.state_dict(), loaded.network.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype
        assert torch.equal(tensor, after[name])
    assert loaded.features == tiny_model.features
    assert loaded.config == tiny_model.config
    assert loaded.tokenizer == tiny_model.tokenizer
    assert loaded.normalizer == tiny_model.normalizer
    assert loaded.info == tiny_model.info
    assert not loaded.network.training
    sound = 0.1 * torch.randn(8000, generator=torch.Generator().manual_seed(0))
    for beam in (1, 3):
        expected = Recognizer(tiny_model).transcribe(sound, beam=beam)
        assert Recognizer(loaded).transcribe(sound, beam=beam) == expected


@pytest.mark.parametrize("config", TOKENIZERS, ids=lambda config: config.name)
def test_every_kind_of_tokenizer_comes_back(tiny_model, tmp_path, config):
    tokenizer = build_tokenizer(config, ["né de 的", "de né né", "的 né x"] * 3)
    network = AsrModel(tiny_model.features, tiny_model.config, len(tokenizer))
    model = replace(tiny_model, network=network, tokenizer=tokenizer)
    save_model(tmp_path / "m.safetensors", model)
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.tokenizer == tokenizer
    assert loaded.tokenizer.encode("的 né xy") == tokenizer.encode("的 né xy")
    first = (tmp_path / "m.safetensors").read_bytes()
    save_model(tmp_path / "m.safetensors", loaded)
    assert (tmp_path / "m.safetensors").read_bytes() == first


def test_settings_that_are_not_the_defaults_come_back(tiny_model, tmp_path):
    features = FeaturesConfig(sample_rate=8000, n_mels=16, min_hz=50, max_hz=3000.0)
    normalizer = NormalizerConfig(lowercase=False, keep_punctuation=True)
    calibration = Calibration(("a", "b"), (0.1, -2.0), (1.0, 3.0), (0.5, 0.0), -0.3)
    model = TrainedModel(
        tiny_model.network,
        features,
        tiny_model.config,
        tiny_model.tokenizer,
        normalizer,
        calibration=calibration,
    )
    save_model(tmp_path / "m.safetensors", model)
    loaded = load_model(tmp_path / "m.safetensors")
    assert (loaded.features, loaded.normalizer, loaded.info) == (features, normalizer, {})
    assert loaded.calibration == calibration


def test_folder_of_a_run_stands_for_its_model(model_file, tmp_path):
    assert load_model(model_file.parent).config == load_model(str(model_file)).config
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no model.safetensors")


def test_holds_and_runs_no_pickle(model_file, monkeypatch):
    data = model_file.read_bytes()
    assert int.from_bytes(data[:8], "little") < len(data)
    assert json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])  # plain JSON, then numbers
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, None)
    monkeypatch.setattr(torch, "load", None)
    load_model(model_file)


def test_a_pickle_is_refused_unopened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    refused(path, "not a whole model file")
    torch.save({"state_dict": {}, "trap": Trap()}, path)
    refused(path, "not a whole model file")
    assert not (tmp_path / "sprung").exists()


def test_truncated_files_are_refused(model_file):
    data = model_file.read_bytes()
    for size in (0, 1, 8, 100, len(data) // 2, len(data) - 1):
        model_file.write_bytes(data[:size])
        refused(model_file, "not a whole model file")


def test_missing_and_foreign_files_are_refused(tmp_path):
    refused(tmp_path / "nothing.safetensors", "no such model file")
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(2)}, str(path))
    refused(path, "not of asr_attn")
    path.write_text("weights", encoding="utf-8")
    refused(path, "not a whole model file")


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_other_format_versions_are_refused(model_file, version):
    description, tensors = contents(model_file)
    rewrite(model_file, {**description, "format": version}, tensors)
    refused(model_file, f"format version {version}", "version 1")


def edits(description: dict) -> dict[str, object]:
    """Descriptions that no training wrote."""

    def edited(part: str, **changes: object) -> dict:
        return {**description, part: {**description[part], **changes}}

    encoder, decoder = description["model"]["encoder"], description["model"]["decoder"]
    return {
        "no features": {k: v for k, v in description.items() if k != "features"},
        "features a list": {**description, "features": []},
        "features a text": {**description, "features": "x"},
        "unknown key": edited("features", hop=10),
        "wrong type": edited("features", n_mels="many"),
        "wrong value": edited("features", n_mels=-1),
        "another size": edited("features", n_mels=17),
        "unknown encoder": edited("model", encoder={**encoder, "name": "ear"}),
        "no encoder": edited("model", encoder=None),
        "encoder without name": edited("model", encoder={}),
        "layers": edited("model", encoder={**encoder, "recurrent_layers": 3}),
        "huge": edited("model", decoder={**decoder, "hidden_size": 10**12}),
        "unknown setting": edited("model", decoder={**decoder, "depth": 3}),
        "tokenizer kind": edited("tokenizer", kind="words"),
        "tokenizer order": edited("tokenizer", characters=["b", "a"]),
        "fewer tokens": edited("tokenizer", characters=["a", "b"]),
        "tokenizer null": {**description, "tokenizer": None},
        "normalizer": {**description, "normalizer": {"upper": True}},
        "normalizer null": {**description, "normalizer": None},
        "not an object": [1],
        "not JSON": "{",
    }


def test_edited_settings_are_refused(model_file):
    description, tensors = contents(model_file)
    for edit in edits(description).values():
        rewrite(model_file, edit, tensors)
        refused(model_file)


def test_edited_weights_are_refused(model_file):
    description, tensors = contents(model_file)
    first = next(iter(tensors))
    for changed in (
        {k: v for k, v in tensors.items() if k != first},
        {**tensors, "more": torch.zeros(1)},
        {**tensors, first: torch.zeros(3, 3, 3)},
    ):
        rewrite(model_file, description, changed)
        refused(model_file, "do not fit together")
    rewrite(model_file, description, {**tensors, first: tensors[first] * float("nan")})
    refused(model_file, "NaN or infinite")


def test_unreadable_file_says_so(model_file, monkeypatch):
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(safetensors, "safe_open", denied)
    refused(model_file, "permission denied")


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_crash_while_saving_leaves_the_earlier_file(tiny_model, model_file, monkeypatch, stop):
    before = model_file.read_bytes()
    write = Path.write_bytes

    def half(self: Path, data: bytes) -> int:
        write(self, data[: len(data) // 2])
        raise stop

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises((InputError, KeyboardInterrupt)) as caught:
        save_model(model_file, tiny_model)
    monkeypatch.undo()
    if isinstance(stop, OSError):
        assert "disk is full" in str(caught.value)
    assert model_file.read_bytes() == before
    assert [path.name for path in model_file.parent.iterdir()] == [model_file.name]
    load_model(model_file)
