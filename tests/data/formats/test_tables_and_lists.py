"""NeMo, Common Voice, tables and AudioFolders, as their own tools write them."""

import re

import pytest

from asr_attn.data.manifest import Utterance
from asr_attn.errors import InputError, ManifestError
from tests.data.formats.lists import read, save

COMMON_VOICE = (
    "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\t"
    "accents\tvariant\tlocale\tsegment"
)


def faults_of(name, path, **options):
    with pytest.raises(ManifestError) as refusal:
        read(name, path, **options)
    first, *faults = str(refusal.value).split("\n")
    assert first == f"{path} has {len(faults)} fault{'s' * (len(faults) > 1)}:"
    return [fault.strip().removeprefix(f"{path}:") for fault in faults]


def test_nemo(audio, tmp_path):
    path = save(
        tmp_path / "train_manifest.json",
        {"audio_filepath": "audio/a.wav", "duration": 0.4, "text": "ä b", "offset": 0.1},
        {"audio_filepath": "audio/a.wav", "duration": None, "text": "c", "offset": 0.75}
        | {"lang": "en"},
        {"audio_filepath": str(audio / "b.flac"), "text": "", "speaker": 7, "pred_text": "d"},
    )  # fmt: skip
    assert read("nemo", path) == [
        Utterance("a-1", audio / "a.wav", "ä b", 0.4, 0.1),
        Utterance("a-2", audio / "a.wav", "c", 0.25, 0.75, language="en"),
        Utterance("b", audio / "b.flac", "", 0.5, speaker="7", extra={"pred_text": "d"}),
    ]


def test_faults_of_nemo(audio, tmp_path):
    (audio / "text.wav").write_text("no audio", encoding="utf-8")
    path = save(
        tmp_path / "x.json",
        '{"audio_filepath": "audio/a.wav", "text": "x", "duration": NaN}',
        {"audio_filepath": ["audio/a.wav", "audio/b.flac"], "text": "x", "duration": 1},
        {"audio_filepath": "audio/a.wav", "duration": 1},
        {"audio_filepath": "audio/none.wav", "text": "x"},
        {"audio_filepath": "audio/text.wav", "text": "x"},
        {"audio_filepath": "audio/a.wav", "text": "x", "offset": 3},
        {"audio_filepath": "audio/a.wav", "text": 5, "duration": "1"},
    )
    assert faults_of("nemo", path) == [
        "1: not JSON: NaN is not a JSON number",
        "2: the audio must be the path of one file, got a list",
        '3: missing key "text"; write "" for a recording without speech',
        f"4: there is no audio file audio/none.wav in {tmp_path}; give the folder with "
        "--audio-folder",
        f"5: {audio}/text.wav holds text, not audio; download or export the recording again",
        f"6: offset 3 is not in {audio}/a.wav of 1.000 s",
        '7: "text" must be a string, got a number',
        '7: "duration" must be a number of seconds, got a string',
    ]


def test_common_voice(audio, tmp_path):
    clips = audio.rename(tmp_path / "clips")
    (clips / "cv_2.mp3").write_bytes((clips / "a.wav").read_bytes())
    path = save(
        tmp_path / "train.tsv",
        COMMON_VOICE,
        'c0ffee\ta.wav\t9e\t"Wel, helo," meddai.\t\t2\t0\ttwenties\tfemale\t\t\tcy\t',
        "\tcv_2\tq\tDyna\t\t2\t0\t\t\t\t\tcy\tBenchmark",
    )
    votes = {"up_votes": "2", "down_votes": "0"}
    first = {"sentence_id": "9e", **votes, "age": "twenties", "gender": "female"}
    second = {"sentence_id": "q", **votes, "segment": "Benchmark"}
    text = '"Wel, helo," meddai.'
    expected = [
        Utterance("a", clips / "a.wav", text, 1.0, 0.0, "c0ffee", "cy", first),
        Utterance("cv_2", clips / "cv_2.mp3", "Dyna", 1.0, language="cy", extra=second),
    ]
    assert read("commonvoice", path) == expected
    save(tmp_path / "clip_durations.tsv", "clip\tduration[ms]", "a.wav\t996", "z.mp3\t5000")
    assert [u.duration for u in read("commonvoice", path)] == [0.996, 1.0]
    save(tmp_path / "clip_durations.tsv", "clip\tduration[ms]", "a.wav\tlong")
    assert faults_of("commonvoice", path) == [
        f"{tmp_path}/clip_durations.tsv:2: write: clip, tab, milliseconds"
    ]


def test_faults_of_common_voice(audio, tmp_path):
    audio.rename(tmp_path / "clips")
    path = save(tmp_path / "t.tsv", COMMON_VOICE, "c\ta.wav\ttext", "\t" * 12)
    assert faults_of("commonvoice", path) == [
        "2: 3 cells, but the header has 13",
        "3: names no audio file",
    ]
    with pytest.raises(ManifestError, match=r"no column 'sentence'.* are path, text"):
        read("commonvoice", save(tmp_path / "x.tsv", "path\ttext", "a.wav\tx"))


def test_tables(audio, tmp_path):
    path = tmp_path / "liste.csv"
    path.write_bytes(
        "\ufeffFile,words,Speaker_ID,note,id\r\n"
        'audio/with space.wav,"komma, ""ja""",7,x,\r\n'
        "\r\n"
        f"{audio}/a.wav,,,,z\r\n".encode()
    )
    space = audio / "with space.wav"
    assert read("csv", path, columns={"text": "words"}) == [
        Utterance("with space", space, 'komma, "ja"', 0.25, speaker="7", extra={"note": "x"}),
        Utterance("z", audio / "a.wav", "", 1.0),
    ]
    chosen = {"audio": "words", "text": "note", "language": "File"}
    tabs = save(tmp_path / "x.tsv", "words\tnote\tFile\tduration\toffset", "a.wav\tb\ten\t.5\t0.25")
    assert read("csv", tabs, columns=chosen, audio_folder=audio) == [
        Utterance("a", audio / "a.wav", "b", 0.5, 0.25, language="en")
    ]


@pytest.mark.parametrize(
    ("name", "lines", "columns", "message"),
    [
        ("x.csv", ["a,b", "1,2"], {"audio": "c"}, "x.csv has no column 'c'; its columns are a, b"),
        ("x.csv", ["a,b"], {"sound": "a"}, "--columns sound=a: the keys are id, audio, text"),
        ("x.csv", ["audio;text"], {}, "no column for the audio by its name; choose one with"),
        ("x.csv", ["path,b"], {}, "no column for the text by its name; .* text=NAME: path, b"),
        ("x.csv", ["path,text,text"], {}, "x.csv has two columns of one name; rename one"),
        ("x.csv", [], {}, "x.csv is empty; a table begins with the names of its columns"),
        ("x.csv", ["path,text"], {}, "x.csv lists no utterances"),
        ("x.txt", ["path,text"], {}, r"x.txt must end in .csv \(commas\) or .tsv \(tabs\)"),
    ],
)
def test_tables_that_cannot_be_used(name, lines, columns, message, tmp_path):
    path = save(tmp_path / name, *lines)
    with pytest.raises(InputError, match=message):
        read("csv", path, columns=columns)


def test_faults_of_tables(audio, tmp_path):
    path = save(
        tmp_path / "x.csv",
        "audio,text,duration,texts",
        "audio/a.wav,one,1s,",
        "audio/a.wav,one,1,x",
        'audio/a.wav,"open,1,',
        "audio/a.wav,one,1,",
    )
    assert faults_of("csv", path) == [
        "2: \"duration\" must be a number of seconds, got '1s'",
        '3: unknown key "texts": did you mean "text"?',
        "5: not a table: unexpected end of data",
    ]
    path.write_bytes(b"audio,text\naudio/a.wav,gr\xfc\xdfe\n")
    assert faults_of("csv", path) == ["2: byte 15 (0xFC) is not UTF-8; save the file as UTF-8"]
    path.write_bytes("audio,text\n".encode("utf-16"))
    assert faults_of("csv", path) == ["1: the file is UTF-16; save it as UTF-8"]
    broken = save(tmp_path / "x.csv.gz", "no gzip")
    with pytest.raises(ManifestError, match=r"x.csv.gz is damaged .*Not a gzipped file"):
        read("csv", broken)


@pytest.mark.parametrize("file", ["metadata.csv", "metadata.jsonl"])
def test_audio_folders(file, audio):
    rows = [("a.wav", "Sono, il gatto"), ("with space.wav", "")]
    if file == "metadata.csv":
        save(audio / file, "file_name,transcription,n", *(f'{a},"{t}",1' for a, t in rows))
    else:
        save(audio / file, *({"file_name": a, "transcription": t, "n": "1"} for a, t in rows))
    assert read("huggingface", audio) == [
        Utterance("a", audio / "a.wav", "Sono, il gatto", 1.0, extra={"n": "1"}),
        Utterance("with space", audio / "with space.wav", "", 0.25, extra={"n": "1"}),
    ]


def test_audio_folders_that_cannot_be_used(audio, tmp_path):
    save(audio / "metadata.jsonl", {"file_name": "a.wav", "text": None}, {"file_name": ""})
    with pytest.raises(ManifestError) as refusal:
        read("huggingface", audio)
    assert re.findall(r"jsonl:(\d): (.*)", str(refusal.value)) == [
        ("1", '"text" has no text; write "" for one without speech'),
        ("2", '"text" has no text; write "" for one without speech'),
        ("2", "names no audio file"),
    ]
    with pytest.raises(InputError, match=r"holds 0 files .*; give one of its folders: audio"):
        read("huggingface", tmp_path)
    save(audio / "metadata.csv", "file_name,text")
    with pytest.raises(InputError, match=r"holds 2 files metadata.csv or metadata.jsonl"):
        read("huggingface", audio)
