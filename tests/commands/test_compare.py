import json

import pytest


def write(path, rows, normalizer="basic/1", **more):
    lines = [
        {"id": str(i), "reference": r, "text": t, "normalizer": normalizer, **more}
        for i, (r, t) in enumerate(rows)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path):
    good = [("a b c", "a b c")] * 30 + [("d e f", "d e x")] * 2
    bad = [("a b c", "a x c")] * 20 + [("a b c", "a b c")] * 10 + [("d e f", "d e f")] * 2
    return write(tmp_path / "good.jsonl", good), write(tmp_path / "bad.jsonl", bad)


def test_two_results_are_compared(asr, files, tmp_path):
    code, out, _ = asr("compare", *files, "--format", "json")
    assert code == 0
    figures = json.loads(out)
    assert figures["rate_a"] == pytest.approx(2 / 96)
    assert figures["rate_b"] == pytest.approx(20 / 96)
    assert figures["segment_test"]["segments"] == 22
    assert figures["conclusion"].startswith("A is better than B")
    out_file = tmp_path / "c.txt"
    assert asr("compare", *files, "--output", out_file)[:2] == (0, "")
    text = out_file.read_text(encoding="utf-8")
    assert "WER of B  20.83 %" in text
    assert "22 segments" in text


def test_several_seeds_are_compared(asr, files):
    good, bad = files
    code, out, _ = asr("compare", "--a", good, good, "--b", bad, "--format", "json")
    assert code == 0
    figures = json.loads(out)
    assert (figures["seeds"], figures["segment_test"]) == ([2, 1], None)


def test_speakers_are_resampled_where_they_are_known(asr, refused, files, tmp_path):
    rows = [("a b", "a b"), ("a b", "a x")]
    one = write(tmp_path / "one.jsonl", rows, speaker="ann")
    assert "only one speaker" in refused("compare", one, one, "--by-speaker")
    assert "names no speaker" in refused("compare", *files, "--by-speaker")
    lines = [json.loads(line) for line in one.read_text(encoding="utf-8").splitlines()]
    lines[1]["speaker"] = "bob"
    one.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    code, out, _ = asr("compare", one, one, "--by-speaker")
    assert code == 0
    assert "only 2 speakers" in out


def test_results_that_do_not_go_together_are_refused(refused, files, tmp_path):
    good, bad = files
    rows = [("a b c", "a b c")] * 30 + [("d e f", "d e x")] * 2
    other_form = write(tmp_path / "o.jsonl", rows, normalizer="none/1")
    assert "basic/1" in refused("compare", good, other_form)
    fewer = write(tmp_path / "f.jsonl", rows[:-1])
    assert f"1 only in {good} (31)" in refused("compare", good, fewer)
    changed = write(tmp_path / "r.jsonl", [*rows[:-1], ("d e g", "d e x")])
    assert "'d e f' and 'd e g'" in refused("compare", good, changed)
    empty = tmp_path / "e.jsonl"
    empty.write_text("\n", encoding="utf-8")
    assert "holds no results" in refused("compare", good, empty)
    empty.write_text("{", encoding="utf-8")
    assert f"{empty}:1: is not JSON" in refused("compare", good, empty)
    empty.write_text('{"id": "a", "text": "b"}\n', encoding="utf-8")
    assert 'lacks "id", "reference" or "text"' in refused("compare", good, empty)
    silent = write(tmp_path / "s.jsonl", [("", "a")])
    assert "hold no words" in refused("compare", silent, silent)
    assert "two files" in refused("compare", good)
    assert "go together" in refused("compare", "--a", good)
    assert "is read" in refused("compare", good, bad, "--output", bad)
