"""What is written in a format and read back is the same."""

import dataclasses
import re

import pytest

from asr_attn.data.formats.catalogue import MEANINGS
from asr_attn.data.formats.table import FORMATS
from asr_attn.errors import InputError, ManifestError
from tests.data.formats.lists import read, write

JSON = {"age": 31, "words": [["l'été", 0.1, 0.2]], "note": "ä"}
TEXTS = {"age": "31", "note": 'ä "b", c'}
PLACES = {
    "kaldi": ("data/train", {}),
    "lhotse": ("manifests", JSON),
    "lhotse cuts": ("cuts.jsonl", JSON),
    "lhotse cuts, packed": ("cuts.jsonl.gz", JSON),
    "nemo": ("x/nemo.json", JSON),
    "csv": ("lists/x.csv", TEXTS),
    "csv, tabs": ("x.tsv", TEXTS),
    "csv, packed": ("x.csv.gz", TEXTS),
}


def with_extra(utterances, extra):
    first = dataclasses.replace(utterances[0], extra=extra)
    return [first, *utterances[1:]]


def test_names_are_those_of_the_help():
    assert list(FORMATS) == list(MEANINGS)


@pytest.mark.parametrize("case", PLACES)
@pytest.mark.parametrize("listed", ["whole", "parts"])
def test_list_comes_back(case, listed, request, tmp_path):
    name, extra = case.split()[0].rstrip(","), PLACES[case][1]
    utterances = with_extra(request.getfixturevalue(listed), extra)
    path = write(name, tmp_path / PLACES[case][0], utterances)
    assert read(name, path) == utterances


@pytest.mark.parametrize(
    ("name", "file", "extra"),
    [("commonvoice", "train.tsv", TEXTS), ("huggingface", "", JSON)],
)
def test_audio_is_copied_and_the_list_comes_back(name, file, extra, whole, audio, tmp_path):
    utterances = with_extra(whole, extra)
    path = write(name, tmp_path / "corpus" / file, utterances)
    again = read(name, path)
    for copied, utterance in zip(again, utterances, strict=True):
        assert copied == dataclasses.replace(utterance, audio=copied.audio)
        assert copied.audio.is_relative_to(tmp_path / "corpus")
        assert copied.audio.read_bytes() == utterance.audio.read_bytes()
    # what is in its place already stays there
    assert read(name, write(name, path, again)) == again
    (tmp_path / "other").mkdir()
    longer = tmp_path / "other" / "a.wav"
    longer.write_bytes((audio / "b.flac").read_bytes())
    another = dataclasses.replace(whole[1], audio=longer)
    before = sorted((p, p.read_bytes()) for p in (tmp_path / "corpus").rglob("*") if p.is_file())
    with pytest.raises(InputError, match=r"a\.wav exists, with other content"):
        write(name, path, [another])
    after = sorted((p, p.read_bytes()) for p in (tmp_path / "corpus").rglob("*") if p.is_file())
    assert after == before


@pytest.mark.parametrize(("name", "file"), [("commonvoice", "t.tsv"), ("huggingface", "d")])
def test_parts_of_files_are_refused_where_they_have_no_place(name, file, parts, tmp_path):
    with pytest.raises(ManifestError) as refusal:
        write(name, tmp_path / file, parts)
    assert str(refusal.value).startswith(f"{tmp_path / file} has 2 faults")
    assert "'u-3': is a part of" in str(refusal.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["audio"]


def test_short_offset_is_kept(whole, tmp_path):
    late = [dataclasses.replace(whole[0], offset=0.05, duration=0.95)]
    assert read("kaldi", write("kaldi", tmp_path / "kaldi", late)) == late
    with pytest.raises(ManifestError, match="is a part of"):
        write("huggingface", tmp_path / "hf", late)


def test_same_names_in_other_folders_stay_apart(whole, audio, tmp_path):
    twins = []
    for folder in ("x y", "z"):
        (audio / folder).mkdir()
        (audio / folder / "a.wav").write_bytes((audio / "a.wav").read_bytes())
        twin = {"id": f"t-{folder[0]}", "audio": audio / folder / "a.wav", "duration": 0.5}
        twins.append(dataclasses.replace(whole[0], **twin))
    for name, file in (("kaldi", "kaldi"), ("lhotse", "lhotse")):
        assert read(name, write(name, tmp_path / file, twins)) == twins
    full = [dataclasses.replace(twin, duration=1.0) for twin in twins]
    read_back = read("huggingface", write("huggingface", tmp_path / "hf", full))
    assert [u.audio for u in read_back] == [
        tmp_path / "hf" / folder / "a.wav" for folder in ("x y", "z")
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"id": "u 1"}, "Kaldi takes no id with blanks in it, or empty: 'u 1'"),
        ({"speaker": "ann b"}, "Kaldi takes no speaker with blanks in it"),
        ({"text": "two\nlines"}, "Kaldi takes no text with line breaks"),
        ({"text": " led"}, "or blanks at its ends"),
    ],
)
def test_kaldi_has_no_place_for_blanks(change, fault, whole, tmp_path):
    with pytest.raises(ManifestError, match=re.escape(fault)):
        write("kaldi", tmp_path / "data", [dataclasses.replace(whole[0], **change)])
    assert not (tmp_path / "data").exists()


def test_line_breaks_have_no_place_in_tables(whole, tmp_path):
    broken = [dataclasses.replace(whole[0], text="two\nlines"), whole[1]]
    for name, file in (("csv", "x.csv"), ("commonvoice", "x.tsv")):
        with pytest.raises(ManifestError, match=r"utterance 'u-0'.* line break"):
            write(name, tmp_path / file, broken)
        assert not (tmp_path / file).exists()


def test_keys_of_the_format_are_not_overwritten(whole, tmp_path):
    taken = [dataclasses.replace(whole[0], extra={"lang": "x", "path": "y", "transcription": "z"})]
    for name, file in (("nemo", "x.json"), ("commonvoice", "x.tsv"), ("huggingface", "x")):
        with pytest.raises(ManifestError, match="has a meaning in"):
            write(name, tmp_path / file, taken)
        assert not (tmp_path / file).exists()


def test_lhotse_alignment_moves_with_the_cut(parts, tmp_path):
    # in a manifest it counts from the start of the file, in a cut from that of the cut
    alignment = {"word": [["l'été", 0.15, 0.1, 0.9]]}
    part = dataclasses.replace(parts[3], extra={"alignment": alignment, "gender": "f"})
    path = write("lhotse", tmp_path / "cuts.jsonl", [part])
    assert "0.05, 0.1, 0.9]" in path.read_text(encoding="utf-8")
    assert read("lhotse", path) == [part]
