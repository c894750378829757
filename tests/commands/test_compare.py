import json

import numpy as np
import pytest
import soundfile


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


@pytest.fixture
def make_manifest(tmp_path):
    """Writes a manifest of utterances 0, 1, ... by the given speakers."""

    def make(speakers):
        audio = tmp_path / "silence.wav"
        soundfile.write(audio, np.zeros(1600), 16000)
        path = tmp_path / f"manifest{len(list(tmp_path.glob('manifest*')))}.jsonl"
        lines = []
        for i, speaker in enumerate(speakers):
            line = {"id": str(i), "audio": audio.name, "text": "a", "duration": 0.1}
            lines.append(json.dumps(line if speaker is None else {**line, "speaker": speaker}))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return make


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
    assert "B is better in 0.0 % of the draws" in text
    assert text.splitlines()[-1].startswith("A is better than B, by ")


def test_several_seeds_are_compared(asr, files):
    good, bad = files
    code, out, _ = asr("compare", "--a", good, good, "--b", bad, "--format", "json")
    assert code == 0
    figures = json.loads(out)
    assert (figures["seeds"], figures["segment_test"]) == ([2, 1], None)
    assert "one seed of B" in figures["conclusion"]
    assert "seeds: 2 of A, 1 of B" in asr("compare", "--a", good, good, "--b", bad)[1]


def test_the_order_of_the_lines_tells_nothing(asr, files):
    good, bad = files
    before = asr("compare", good, bad, "--format", "json")[1]
    lines = bad.read_text(encoding="utf-8").splitlines(keepends=True)
    bad.write_text("".join(reversed(lines)), encoding="utf-8")
    assert asr("compare", good, bad, "--format", "json")[1] == before


def test_a_fault_of_the_last_line_is_told_and_nothing_is_written(refused, files, tmp_path):
    good, bad = files
    with bad.open("a", encoding="utf-8") as stream:
        stream.write('{"id": "more", "text": "a"}\n')
    output = tmp_path / "out.txt"
    assert f"{bad}:33: lacks" in refused("compare", good, bad, "--output", output)
    assert not output.exists()


def test_figures_repeat_with_the_seed(asr, files):
    runs = [
        asr("compare", *files, "--draws", 1000, "--seed", seed, "--format", "json")[1]
        for seed in (3, 3, 4)
    ]
    assert runs[0] == runs[1] != runs[2]


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


def test_speakers_may_come_from_a_manifest(asr, refused, files, tmp_path, make_manifest):
    speakers = [f"s{i % 16}" for i in range(32)]
    manifest = make_manifest(speakers)
    figures = json.loads(asr("compare", *files, "--by-speaker", manifest, "--format", "json")[1])
    # utterances 14 and 15 are wrong in one, 30 and 31 in the other: two speakers do not differ
    assert (figures["interval_unit"], figures["differing"]) == ("speakers", 14)
    assert figures["rate_b"] == pytest.approx(20 / 96)
    fewer = make_manifest(speakers[:-4])
    message = refused("compare", *files, "--by-speaker", fewer)
    assert f"{fewer} lacks 4 of the utterances (28, 29, 30, ...)" in message
    unknown = make_manifest([*speakers[:-1], None])
    assert "names no speaker of '31'" in refused("compare", *files, "--by-speaker", unknown)
    assert "put --by-speaker last" in refused("compare", "--by-speaker", *files)
    kept = manifest.read_bytes()
    assert "is read" in refused("compare", *files, "--by-speaker", manifest, "--output", manifest)
    assert manifest.read_bytes() == kept


def test_too_little_is_not_taken_for_proof(asr, tmp_path):
    right = write(tmp_path / "right.jsonl", [("a b c", "a b c")] * 3)
    wrong = write(tmp_path / "wrong.jsonl", [("a b c", "x b c")] * 3)
    out = asr("compare", wrong, right)[1]
    assert "Neither is shown to be better" in out
    assert "They differ in only 3 of the utterances, too few to tell." in out


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
    twice = write(tmp_path / "t.jsonl", [("a", "a")])
    twice.write_text(2 * twice.read_text(encoding="utf-8"), encoding="utf-8")
    assert f"{twice}:2: id '0' is given twice" in refused("compare", twice, good)
    again = write(tmp_path / "again.jsonl", rows)
    again.write_text(2 * again.read_text(encoding="utf-8"), encoding="utf-8")
    assert f"{again}:33: id '0' is given twice" in refused("compare", good, again)
    mixed = write(tmp_path / "m.jsonl", rows[:1], normalizer="none/1")
    mixed.write_text(
        mixed.read_text(encoding="utf-8") + good.read_text(encoding="utf-8"), encoding="utf-8"
    )
    message = refused("compare", mixed, good)
    assert "mixes normalizers (none/1, basic/1 from line 2 on)" in message
    extra = tmp_path / "x.jsonl"
    extra.write_text(
        good.read_text(encoding="utf-8").replace('"id": "3"', '"id": "n"'), encoding="utf-8"
    )
    message = refused("compare", good, extra)
    assert f"1 only in {good} (3)" in message
    assert f"1 only in {extra} (n)" in message
    assert "give 1000 or more" in refused("compare", good, bad, "--draws", 999)
    assert "whole number from 0" in refused("compare", good, bad, "--seed", "-1")
    assert "two files" in refused("compare", good)
    assert "go together" in refused("compare", "--a", good)
    assert "is read" in refused("compare", good, bad, "--output", bad)


def test_a_byte_order_mark_does_no_harm(asr, files):
    good, bad = files
    good.write_bytes(b"\xef\xbb\xbf" + good.read_bytes())
    assert asr("compare", good, bad)[0] == 0
