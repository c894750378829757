import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from asr_attn.checkpoint import load_model, save_model
from asr_attn.evaluation.runs import differences, find_runs


def make_run(folder, model_file, wer, facts=None, **settings):
    folder.mkdir(parents=True)
    config = {"data": {"name": "x"}, "model": {"encoder": {"name": "listener"}}, **settings}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "metrics.csv").write_text("epoch,seconds\n0,30.5\n1,29.5\n", encoding="utf-8")
    if wer is not None:
        info = {"dev_wer": wer, "dev_wer_interval": [wer - 0.01, wer + 0.01], **(facts or {})}
        save_model(folder / "model.safetensors", replace(load_model(model_file), info=info))


@pytest.fixture
def root(model_file, tmp_path):
    root = tmp_path / "all"
    make_run(root / "a", model_file, 0.2, seed=0, optimizer={"lr": 0.001}, run_dir="a")
    make_run(root / "deep" / "b", model_file, 0.1, seed=1, optimizer={"lr": 0.001}, run_dir="b")
    make_run(root / "c", model_file, None, seed=0, optimizer={"lr": 0.002, "own": 1})
    (root / "other").mkdir()
    (root / "other" / "config.json").write_text("[1]", encoding="utf-8")
    return root


def test_runs_are_ranked_by_their_error_rate(asr, root):
    code, out, _ = asr("runs", root, "--format", "json")
    assert code == 0
    found = json.loads(out)
    assert [f["wer"] for f in found] == [0.1, 0.2, None]
    assert found[0]["wer_interval"] == pytest.approx([0.09, 0.11])
    assert (found[0]["epochs"], found[0]["seconds"]) == (2, 60.0)
    assert differences(find_runs(root)) == ["optimizer.lr", "seed", "optimizer.own"]
    code, out, _ = asr("runs", root, "--setting", "seed")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["run", "WER", "95", "%", "epochs", "minutes", "seed"]
    assert lines[1] == ["deep/b", "10.00", "%", "9.00", "to", "11.00", "%", "2", "1.0", "1"]
    assert lines[3] == ["c", "none", "yet", "2", "1.0", "0"]


def test_a_setting_that_no_run_has_is_refused_and_a_part_shows_its_name(asr, root):
    code, out, err = asr("runs", root, "--setting", "optimizer.lrr")
    assert (code, out) == (2, "")
    assert "no run has this setting; did you mean optimizer.lr?" in err
    _, out, _ = asr("runs", root, "--setting", "model.encoder")
    assert out.count("listener") == 3


def test_runs_of_models_that_were_chosen_by_cer_are_ranked_by_it(asr, model_file, tmp_path):
    make_run(tmp_path / "a", model_file, 0.8, {"dev_cer": 0.3, "monitor": "cer"})
    make_run(tmp_path / "b", model_file, 0.9, {"dev_cer": 0.2, "monitor": "cer"})
    make_run(tmp_path / "c", model_file, None)
    names = ["b", "a", "c"]
    assert [run.folder.name for run in find_runs(tmp_path)] == names
    _, out, _ = asr("runs", tmp_path)
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines[1:]] == names
    assert "20.00" in lines[1]
    assert lines[0][4] == "CER"
    # WER is all that older models tell
    make_run(tmp_path / "old", model_file, 0.85)
    assert [run.folder.name for run in find_runs(tmp_path)] == ["a", "old", "b", "c"]


def test_folders_without_runs_are_refused(refused, tmp_path):
    assert "no such folder" in refused("runs", tmp_path / "none")
    assert "holds no runs" in refused("runs", tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_runs_on_other_disks_are_found_through_links(asr, root, model_file, tmp_path):
    make_run(tmp_path / "disk" / "d", model_file, 0.05)
    (root / "more").symlink_to(tmp_path / "disk")
    (root / "latest").symlink_to(root / "a")
    (tmp_path / "disk" / "up").symlink_to(root)
    code, out, _ = asr("runs", root, "--format", "json")
    assert code == 0
    folders = [one["folder"] for one in json.loads(out)]
    assert folders == [str(root / name) for name in ("more/d", "deep/b", "a", "c")]


def test_a_folder_that_cannot_be_looked_into_is_told(asr, root, monkeypatch):
    scandir = os.scandir

    def denied(path):
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    code, out, err = asr("runs", root, "--format", "json")
    assert (code, len(json.loads(out))) == (0, 2)
    assert err == (
        f"asr-attn: {root / 'deep'} cannot be looked into (Permission denied); runs in it are "
        "left out\n"
    )
