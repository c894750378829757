"""What is amiss with data is told before the training, all of it at once."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from asr_attn.errors import ConfigError, InputError, ManifestError
from asr_attn.settings import DataConfig
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.training import faults
from asr_attn.training.faults import check_data
from asr_attn.training.preparation import load_data


@pytest.fixture
def data(tmp_path):
    """Three manifests of two utterances each."""
    paths = {}
    for split in ("train", "dev", "test"):
        lines = []
        for number in range(2):
            name = f"{split}{number}"
            soundfile.write(tmp_path / f"{name}.wav", np.zeros(8000), 8000)
            record = {"id": name, "audio": f"{name}.wav", "text": "a b", "duration": 1.0}
            lines.append(json.dumps(record) + "\n")
        paths[split] = tmp_path / f"{split}.jsonl"
        paths[split].write_text("".join(lines), encoding="utf-8")
    return DataConfig(**{split: str(path) for split, path in paths.items()}, hint="run prepare.py")


def load(config):
    return load_data(config, NormalizerConfig())


def check(config):
    train, dev, test = load(config)
    check_data(train, dev, config, test=test)


def test_sound_data_pass(data):
    check(data)


def test_missing_manifests_are_told_together(data, tmp_path):
    for path in tmp_path.glob("*.jsonl"):
        path.unlink()
    with pytest.raises(InputError) as refusal:
        load(data)
    told = str(refusal.value).splitlines()
    assert [line.split("=")[0] for line in told] == ["data.train", "data.dev", "data.test"]
    assert all("there is no such manifest; run prepare.py" in line for line in told)


def test_missing_audio_of_all_manifests_is_told_together(data, tmp_path):
    for name in ("train0", "train1", "test1"):
        (tmp_path / f"{name}.wav").unlink()
    with pytest.raises(InputError) as refusal:
        load(data)
    told = str(refusal.value)
    for name in ("train0", "train1", "test1"):
        assert f"there is no audio file {name}.wav" in told
    assert "dev0" not in told
    assert "run prepare.py" in told


def test_one_fault_keeps_its_kind(data, tmp_path):
    (tmp_path / "dev0.wav").unlink()
    with pytest.raises(ManifestError, match=r"dev0\.wav"):
        load(data)
    with pytest.raises(ConfigError, match=r"data\.dev is not set"):
        load(DataConfig(train=data.train))


def test_files_of_the_test_set_are_looked_at_too(data, tmp_path):
    soundfile.write(tmp_path / "test1.wav", np.zeros(2000), 8000)
    (tmp_path / "train0.wav").write_bytes(b"no sound")
    with pytest.raises(InputError) as refusal:
        check(data)
    told = str(refusal.value)
    assert "2 of 6 utterances" in told
    assert "test1 (test1.wav): ends at 1.00 s, but its file is 0.25 s long" in told
    assert "train0 (train0.wav)" in told


def test_faults_name_every_manifest_of_the_training(data, tmp_path):
    further = tmp_path / "further.jsonl"
    line = {"id": "more", "audio": "train0.wav", "text": "a b", "duration": 10.0}
    further.write_text(json.dumps(line) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"train\.jsonl, .*further\.jsonl, .*dev\.jsonl"):
        check(replace(data, also_train=(str(further),), max_duration=5))


def test_long_utterances_are_no_fault_of_a_test_set(data, tmp_path):
    soundfile.write(tmp_path / "test1.wav", np.zeros(80_000), 8000)
    path = tmp_path / "test.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("1.0}", "10.0}"), encoding="utf-8")
    soundfile.write(tmp_path / "test0.wav", np.zeros(80_000), 8000)
    config = replace(data, max_duration=5)
    check(config)
    path.replace(tmp_path / "train.jsonl")
    with pytest.raises(InputError, match=r"10\.0 s long, over data\.max_duration=5"):
        check(replace(config, test=None))


def test_headers_alone_are_read_unless_they_state_too_little(data, tmp_path, monkeypatch):
    """Counting the packets of thousands of hours would take long, each time a training starts."""
    counted = []
    original = faults.audio_duration
    monkeypatch.setattr(
        faults, "audio_duration", lambda path: counted.append(path.name) or original(path)
    )
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 8000)
    for name in ("train0", "train1"):
        soundfile.write(tmp_path / f"{name}.flac", noise, 8000)
        (tmp_path / f"{name}.wav").unlink()
    states_half = bytearray((tmp_path / "train1.flac").read_bytes())
    states_half[18:26] = (int.from_bytes(states_half[18:26], "big") - 4000).to_bytes(8, "big")
    (tmp_path / "train1.flac").write_bytes(states_half)
    manifest = tmp_path / "train.jsonl"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(".wav", ".flac"), "utf-8")
    check(data)
    assert counted == ["train1.flac"]
