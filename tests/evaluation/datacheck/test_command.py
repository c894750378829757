import json

import numpy as np
import pytest

from asr_attn.cli import main
from asr_attn.data.manifest import read_manifest

from .conftest import voice

DEFAULTS = ["--jobs", "1"]


def run(capsys, *arguments):
    code = main(["data", "check", *map(str, arguments), *DEFAULTS])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def splits(write):
    """A training set with faults of many kinds, and a test set."""
    train = [(f"good{i}", voice(i), {}) for i in range(4)]
    train += [
        ("missing", None, {}),
        ("quiet", np.zeros(8000), {}),
        ("loud", np.clip(12 * voice(10), -1, 1), {}),
        ("longer", voice(11), {"duration": 2.5}),
        ("late", voice(12), {"offset": 9.0}),
        ("copy", voice(0), {}),
        ("leaked", 0.3 * voice(20)[400:], {}),
    ]
    test = [(f"test{i}", voice(20 + i), {}) for i in range(3)]
    return write("train", train), write("test", test)


def test_clean_data(capsys, write):
    path = write("train", [(f"u{i}", voice(i), {"text": f"number {i}"}) for i in range(5)])
    code, out, _ = run(capsys, path)
    assert code == 0
    assert "Nothing is wrong." in out


def test_planted_faults_are_found_and_nothing_else(capsys, splits):
    code, out, _ = run(capsys, *splits, "--format", "json")
    assert code == 1
    report = json.loads(out)
    wrong = [f for f in report["findings"] if not f["note"]]
    assert [(f["kind"], f["split"], f["id"]) for f in wrong] == [
        ("unreadable", "train", "missing"),
        ("beyond-end", "train", "late"),
        ("leak", "train", "leaked"),
        ("silent", "train", "quiet"),
        ("duration", "train", "longer"),
        ("clipped", "train", "loud"),
        ("duplicate", "train", "copy"),
    ]
    assert [f["kind"] for f in report["findings"] if f["note"]] == ["text"]
    assert report["splits"]["test"]["utterances"] == 3
    assert report["splits"]["test"]["words"] == 9
    assert report["splits"]["test"]["vocabulary"] == 3


def test_no_more_than_wanted_are_shown(capsys, write):
    path = write("train", [(f"m{i}", None, {}) for i in range(5)] + [("good", voice(1), {})])
    _, out, _ = run(capsys, path, "--show", "2")
    assert sum(line.startswith("  train m") for line in out.splitlines()) == 2
    assert "(unreadable): 5" in out
    assert "and 3 more" in out


def test_cleaned_manifest(capsys, splits, tmp_path):
    output = tmp_path / "new" / "cleaned.jsonl"
    code, out, _ = run(capsys, splits[0], "--output", output)
    assert code == 1
    found = read_manifest(output)
    assert {u.id for u in found} == {
        *(f"good{i}" for i in range(4)),
        *("loud", "longer", "copy", "leaked"),
    }
    assert next(u for u in found if u.id == "longer").duration == pytest.approx(1.5)
    for name in ("missing", "quiet", "late"):
        assert f"removed {name}" in out
    assert "mended longer" in out


def test_cleaned_manifests_of_chosen_kinds(capsys, splits, tmp_path):
    kinds = ["--remove", "unreadable", "silent", "leak", "duplicate", "clipped", "duration"]
    run(capsys, *splits, *kinds, "--output-folder", tmp_path / "new")
    train = read_manifest(tmp_path / "new" / "train.jsonl")
    assert [u.id for u in train] == [f"good{i}" for i in range(4)]
    assert len(read_manifest(tmp_path / "new" / "test.jsonl")) == 3
    code, _, _ = run(capsys, tmp_path / "new" / "train.jsonl", tmp_path / "new" / "test.jsonl")
    assert code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "{train}"], "name another file"),
        (["{test}", "--output", "x.jsonl"], "--output-folder for several"),
        (["--remove", "silent"], "--remove is for a cleaned manifest"),
        (["{train}"], "another split"),
        (["nothing.jsonl"], "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_refused(capsys, splits, arguments, message):
    names = dict(zip(("train", "test"), splits))
    code, out, err = run(capsys, splits[0], *(text.format(**names) for text in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_nothing_is_written_if_nothing_is_left(capsys, write, tmp_path):
    path = write("train", [("m", None, {})])
    code, _, err = run(capsys, path, "--output", tmp_path / "out.jsonl")
    assert code == 2
    assert "nothing would be left" in err
    assert not (tmp_path / "out.jsonl").exists()


def test_texts_are_ranked_by_a_model(capsys, splits, model_file):
    _, out, _ = run(capsys, splits[1], "--model", model_file, "--format", "json")
    report = json.loads(out)
    assert {one["id"] for one in report["losses"]} == {"test0", "test1", "test2"}
    losses = [one["loss"] for one in report["losses"]]
    assert losses == sorted(losses, reverse=True)
    assert all(one["heard"] is not None for one in report["losses"])
