import gzip
import json

import pytest

from asr_attn.errors import InputError
from asr_attn.evaluation.datacheck.between import common_findings, rate_findings
from asr_attn.evaluation.datacheck.cleaning import clean
from asr_attn.evaluation.datacheck.findings import Finding
from asr_attn.evaluation.datacheck.listening import Sound
from asr_attn.evaluation.datacheck.splits import read_splits


def line(name, **keys):
    return json.dumps({"id": name, "audio": "a.wav", "text": "one", "duration": 1.0} | keys)


def manifest(path, *lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_lines_with_faults_do_not_hide_the_others(tmp_path):
    path = manifest(
        tmp_path / "a.jsonl",
        line("1"),
        "{broken",
        line("2", duration=-1),
        "[]",
        line("1"),
        line("3", text="\ud800"),
        line("4", weight=float("nan")),
        line("5", offset=2, room="big"),
    )
    (split,) = read_splits([str(path)])
    assert [u.id for u in split.utterances] == ["1", "5"]
    assert split.utterances[1].extra == {"room": "big"}
    assert [dict(f.details)["line"] for f in split.faults] == [2, 3, 4, 5, 6, 7]


def test_names_of_splits(tmp_path):
    (tmp_path / "b").mkdir()
    one, two = manifest(tmp_path / "x.jsonl", line("1")), tmp_path / "b" / "x.jsonl"
    manifest(two, line("1"))
    with pytest.raises(InputError, match="another split 'x'"):
        read_splits([str(one), str(two)])
    assert [s.name for s in read_splits([str(one), f"test={two}"])] == ["x", "test"]


@pytest.mark.parametrize("content", ["", "{}\n"])
def test_what_is_no_manifest_is_refused(tmp_path, content):
    path = tmp_path / "a.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="lists no utterances"):
        read_splits([str(path)])
    with pytest.raises(InputError, match="cannot be read"):
        read_splits([str(tmp_path / "none.jsonl")])


def kinds(splits):
    return [(f.kind, f.split, f.id) for f in common_findings(splits, str.lower)]


def test_what_splits_have_in_common(tmp_path):
    train = manifest(
        tmp_path / "train.jsonl",
        line("1", speaker="ann", text="yes"),
        line("2", speaker="bob", text="no"),
    )
    test = manifest(
        tmp_path / "test.jsonl",
        line("2", speaker="bob", text="perhaps"),
        line("3", speaker="cid", text="YES"),
    )
    splits = read_splits([str(train), str(test)])
    assert kinds(splits) == [
        ("same-id", "test", "2"),
        ("some-speakers", "test", ""),
        ("text", "test", ""),
    ]
    (text,) = (f for f in common_findings(splits, str.lower) if f.kind == "text")
    assert dict(text.details)["share"] == 0.5


def test_all_speakers_in_both_splits_are_meant(tmp_path):
    paths = [
        manifest(tmp_path / f"{name}.jsonl", line(name, speaker="ann", text=name)) for name in "ab"
    ]
    assert kinds(read_splits([str(p) for p in paths])) == [("speakers", "b", "")]


def test_mixed_sample_rates(tmp_path):
    (split,) = read_splits([str(manifest(tmp_path / "a.jsonl", line("1"), line("2")))])
    assert list(rate_findings(split, [Sound(rate=8000), Sound(rate=8000)])) == []
    (found,) = rate_findings(split, [Sound(rate=8000), Sound(rate=16000)])
    assert dict(found.details) == {"rates": {"8000": 1, "16000": 1}}


def test_cleaning_removes_what_is_wanted_and_mends_durations(tmp_path):
    names = ["good", "silent", "clipped", "long", "past"]
    (split,) = read_splits([str(manifest(tmp_path / "a.jsonl", *map(line, names)))])
    sounds = [Sound(available=x) for x in (1.0, 1.0, 1.0, 0.625, -2.0)]
    found = [
        Finding("silent", "a", "silent", ""),
        Finding("silent", "other", "good", ""),
        Finding("clipped", "a", "clipped", ""),
        Finding("duration", "a", "long", ""),
        Finding("beyond-end", "a", "past", ""),
    ]
    cleaned = clean(split, sounds, found, ["silent"])
    assert [(u.id, u.duration) for u in cleaned.utterances] == [
        ("good", 1.0),
        ("clipped", 1.0),
        ("long", 0.625),
    ]
    assert cleaned.removed == {"silent": ["silent"], "past": ["beyond-end"]}
    assert cleaned.mended == {"long": (1.0, 0.625)}
    assert "long" in clean(split, sounds, found, ["duration"]).removed


def test_a_byte_order_mark_and_compression_lose_no_line(tmp_path):
    lines = [
        json.dumps({"id": name, "audio": "a.wav", "text": "one", "duration": 1.0})
        for name in ("first", "second")
    ]
    data = b"\xef\xbb\xbf" + "\r\n".join(lines).encode()
    for name, content in (("x.jsonl", data), ("y.jsonl.gz", gzip.compress(data))):
        (tmp_path / name).write_bytes(content)
        (split,) = read_splits([str(tmp_path / name)])
        assert [u.id for u in split.utterances] == ["first", "second"]
        assert (split.name, list(split.faults)) == (name[0], [])
