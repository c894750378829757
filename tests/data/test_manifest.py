import gzip
import json
import os
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asr_attn.data.manifest import Manifest, Utterance, read_manifest, write_manifest
from asr_attn.errors import AudioError, InputError, ManifestError

GOOD = {"id": "u1", "audio": "a.wav", "text": "two", "duration": 1.5}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with empty files a.wav, b.wav and clips/c.wav; a manifest reads no audio."""
    (tmp_path / "clips").mkdir()
    for name in ("a.wav", "b.wav", "clips/c.wav"):
        (tmp_path / name).touch()
    return tmp_path.resolve()


def write(folder: Path, *lines: object) -> Path:
    path = folder / "m.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return path


def write_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def faults(path: Path) -> list[str]:
    """The lines of the one error that reading raises, after the heading."""
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    heading, *lines = str(caught.value).split("\n")
    assert heading.startswith(str(path))
    return [line.strip() for line in lines]


def test_reads_all_keys(folder):
    full = {
        "id": "é 1",
        "audio": "clips/c.wav",
        "text": "l'été ça 語",
        "duration": 2,
        "offset": 0.25,
        "speaker": "ann",
        "language": "fr",
        "take": [1, {"a": None}],
    }
    absolute = {**GOOD, "id": "u3", "audio": str(folder / "b.wav"), "speaker": None, "text": ""}
    first, second, third = read_manifest(write(folder, full, GOOD, "", absolute))
    assert first == Utterance(
        id="é 1",
        audio=folder / "clips" / "c.wav",
        text="l'été ça 語",
        duration=2.0,
        offset=0.25,
        speaker="ann",
        language="fr",
        extra={"take": [1, {"a": None}]},
    )
    assert isinstance(first.duration, float)
    assert second == Utterance("u1", folder / "a.wav", "two", 1.5)
    assert second.extra == {}
    assert third == Utterance("u3", folder / "b.wav", "", 1.5)
    assert len({first, second, third}) == 3


def test_audio_is_found_from_the_manifests_folder(folder, monkeypatch):
    (folder / "lists").mkdir()
    path = folder / "lists" / "m.jsonl"
    path.write_text(json.dumps({**GOOD, "audio": "../clips/c.wav"}), encoding="utf-8")
    monkeypatch.chdir(folder / "clips")
    for name in (path, Path("../lists/m.jsonl")):
        assert read_manifest(name)[0].audio == folder / "clips" / "c.wav"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"id": "u1"', "not JSON"),
        ("{'id': 'u1'}", "not JSON"),
        ('{"id": NaN}', "NaN is not a JSON number"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "not a JSON object but a list"),
        ('"text"', "not a JSON object but a string"),
        ("null", "not a JSON object but null"),
        ({**GOOD, "id": ""}, '"id" is empty'),
        ({**GOOD, "id": "  "}, '"id" is empty'),
        ({**GOOD, "id": 7}, '"id" must be a string, got a number'),
        ({**GOOD, "audio": ""}, '"audio" is empty'),
        ({**GOOD, "audio": ["a.wav"]}, '"audio" must be a string, got a list'),
        ({**GOOD, "audio": "none.wav"}, "there is no audio file none.wav"),
        ({**GOOD, "audio": "clips"}, "there is no audio file clips"),
        ({**GOOD, "audio": "clips\\x.wav"}, 'write paths with "/"'),
        ({**GOOD, "audio": "a\0.wav"}, "there is no audio file"),
        ({**GOOD, "text": None}, '"text" must be a string, got null'),
        ({**GOOD, "text": " \t"}, '"text" is only white space'),
        ({**GOOD, "duration": True}, '"duration" must be a number of seconds, got true'),
        ({**GOOD, "duration": "1.5"}, '"duration" must be a number of seconds, got a string'),
        ({**GOOD, "duration": 0}, '"duration" must be above 0, got 0'),
        ({**GOOD, "duration": -1.5}, '"duration" must be above 0, got -1.5'),
        ('{"id": "u", "audio": "a.wav", "text": "", "duration": 1e999}', "must be finite"),
        ({**GOOD, "duration": 10**400}, '"duration" must be finite'),
        ({**GOOD, "offset": -0.5}, '"offset" must be 0 or more, got -0.5'),
        ({**GOOD, "offset": None}, '"offset" must be a number of seconds, got null'),
        ({**GOOD, "offset": False}, '"offset" must be a number of seconds, got false'),
        ({**GOOD, "speaker": 3}, '"speaker" must be a string, got a number'),
        ({**GOOD, "language": ["en"]}, '"language" must be a string, got a list'),
        ({**GOOD, "speakr": "ann"}, 'unknown key "speakr": did you mean "speaker"?'),
        ({**GOOD, "Speaker": "ann"}, 'unknown key "Speaker": did you mean "speaker"?'),
        ({**GOOD, "ofset": 1}, 'unknown key "ofset": did you mean "offset"?'),
        ({**GOOD, "langauge": "en"}, 'unknown key "langauge": did you mean "language"?'),
        ({**GOOD, "text": "\ud800"}, "half of a surrogate pair"),
    ],
)
def test_one_fault_in_a_line(folder, line, expected):
    other = {**GOOD, "id": "other"}
    path = write(folder, other, line)
    (found,) = faults(path)
    assert found.startswith(f"{path}:2: ")
    assert expected in found


@pytest.mark.parametrize("key", ["id", "audio", "text", "duration"])
def test_missing_key(folder, key):
    path = write(folder, {name: value for name, value in GOOD.items() if name != key})
    (found,) = faults(path)
    assert found.startswith(f'{path}:1: missing key "{key}"')
    assert ("asr-attn data import csv makes" in found) == (key == "duration")


def test_a_fault_of_many_lines_does_not_hide_others(folder):
    without = {key: value for key, value in GOOD.items() if key != "duration"}
    path = write(folder, *({**without, "id": f"u{i}"} for i in range(30)), {"id": "v", "audio": ""})
    found = faults(path)
    places = [line.removeprefix(f"{path}:").split(":")[0] for line in found]
    assert places == ["1", "2", "3", "31", "31", "and 28 more"]


def test_misspelt_needed_key_is_reported_once(folder):
    path = write(folder, {"id": "u1", "audio": "a.wav", "txt": "two", "duratoin": 1.0})
    assert faults(path) == [
        f'{path}:1: unknown key "txt": did you mean "text"?',
        f'{path}:1: unknown key "duratoin": did you mean "duration"?',
    ]


def test_keys_of_ones_own_are_kept(folder):
    own = {"speaker_id": 3, "audio2": "x", "lang": "en", "uid": 1, "gender": "f", "text_raw": "Two"}
    assert read_manifest(write(folder, {**GOOD, **own}))[0].extra == own


def test_all_faults_are_listed_together(folder):
    path = write(
        folder,
        GOOD,
        "oops",
        {**GOOD, "text": 1, "duration": -1},
        {"id": "u2"},
        {**GOOD, "id": "u2"},
    )
    assert faults(path) == [
        f"{path}:2: not a JSON object; asr-attn data import makes a manifest of a table or a list",
        f'{path}:3: "text" must be a string, got a number',
        f'{path}:3: "duration" must be above 0, got -1',
        f'{path}:4: missing key "audio"',
        f'{path}:4: missing key "text"',
        f'{path}:4: missing key "duration" (seconds); asr-attn data import csv makes a manifest '
        "with durations of a table of files and texts",
        f'{path}:3: id "u1" is already on line 1',
        f'{path}:5: id "u2" is already on line 4',
    ]


def test_long_lists_of_faults_are_cut(folder):
    path = write(folder, *({**GOOD, "id": f"u{i}", "duration": -1 - i} for i in range(57)))
    found = faults(path)
    assert len(found) == 21
    assert found[19].startswith(f"{path}:20: ")
    assert found[20] == "and 37 more"
    with pytest.raises(ManifestError, match="has 57 faults"):
        read_manifest(path)


def test_encodings(folder):
    path = write(folder)
    line = json.dumps({**GOOD, "text": "été"}, ensure_ascii=False)
    path.write_bytes(b"\xef\xbb\xbf" + line.encode() + b"\n")
    assert read_manifest(path)[0].text == "été"
    path.write_bytes(line.encode() + b"\r" + line.encode() + b"\r")
    assert "carriage return" in faults(path)[0]
    path.write_bytes(b"\n" + line.encode("latin-1") + b"\n")
    (found,) = faults(path)
    assert found.startswith(f"{path}:2: ")
    assert "0xE9" in found
    path.write_bytes(line.encode("utf-16"))
    (found,) = faults(path)
    assert "UTF-16" in found
    path.write_bytes(line.encode() + b"\r\n")
    assert read_manifest(path)[0].text == "été"


def test_no_manifest(folder):
    for path, words in [
        (folder / "none.jsonl", "There is no manifest"),
        (folder / "clips", "is a folder"),
        (write(folder), "lists no utterances"),
        (write(folder, "", "  "), "lists no utterances"),
    ]:
        with pytest.raises(ManifestError, match=words) as caught:
            read_manifest(path)
        assert str(path) in str(caught.value)


def test_each_file_is_looked_for_once(folder, monkeypatch):
    import asr_attn.data.manifest as module

    asked = []
    isfile = module.os.path.isfile
    monkeypatch.setattr(module.os.path, "isfile", lambda p: asked.append(p) or isfile(p))
    path = write(folder, *[{**GOOD, "id": str(i), "audio": "ab"[i % 2] + ".wav"} for i in range(9)])
    assert len(read_manifest(path)) == 9
    assert len(asked) == 2


def test_large_manifest_is_read_in_seconds(folder):
    line = '{"id": "u%d", "audio": "a.wav", "text": "one two three", "duration": 1.5}\n'
    path = folder / "m.jsonl"
    path.write_text("".join(line % i for i in range(20_000)), encoding="utf-8")
    begin = time.process_time()
    assert len(read_manifest(path)) == 20_000
    assert time.process_time() - begin < 3  # takes about 0.2


def test_a_manifest_is_read_anew_each_time(folder):
    path = write(folder, GOOD)
    manifest = Manifest(path)
    assert [u.id for u in manifest] == ["u1"]
    write(folder, GOOD, {**GOOD, "id": "u2"})
    assert [u.id for u in manifest] == ["u1", "u2"]


def test_memory_does_not_grow_with_the_manifest(folder):
    path = folder / "m.jsonl"
    peaks = []
    for count in (1_000, 6_000):
        line = '{"id": "u%d", "audio": "a.wav", "text": "one two three", "duration": 1.5, "x": 1}\n'
        path.write_text("".join(line % i for i in range(count)), encoding="utf-8")
        tracemalloc.start()
        assert sum(1 for _ in Manifest(path)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 8 bytes an id, and as many again for each copy that is made to sort them
    assert (peaks[1] - peaks[0]) / 5_000 < 60


def test_what_many_lines_have_is_in_memory_once(folder):
    lines = [{**GOOD, "id": str(i), "speaker": "ann b", "language": "x y"} for i in range(2)]
    first, second = read_manifest(write(folder, *lines))
    for key in ("audio", "speaker", "language", "extra"):
        assert getattr(first, key) is getattr(second, key)
    assert not hasattr(first, "__dict__")


def test_a_fault_of_the_last_line_comes_after_all_utterances(folder):
    path = write(folder, GOOD, {**GOOD, "id": "u2"}, {**GOOD, "id": "u3", "duration": 0})
    found = []
    with pytest.raises(ManifestError, match=r"m\.jsonl:3: .*above 0"):
        found.extend(Manifest(path))
    assert [u.id for u in found] == ["u1", "u2"]
    kept = write_bytes(folder / "new.jsonl", b"old")
    with pytest.raises(ManifestError, match=r"m\.jsonl:3: .*above 0"):
        write_manifest(kept, Manifest(path))
    assert kept.read_bytes() == b"old"
    assert not list(folder.glob(".*"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_read_once_and_kept(folder):
    path = folder / "pipe.jsonl"
    os.mkfifo(path)
    lines = [{**GOOD, "id": name} for name in ("a", "b", "a")]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    threading.Thread(target=path.write_bytes, args=(data,)).start()
    manifest = Manifest(path)
    for _ in range(2):
        with pytest.raises(ManifestError, match=r'pipe\.jsonl:3: id "a" is already on line 1'):
            list(manifest)


def test_written_paths_are_relative_to_the_manifest(folder):
    utterances = [
        Utterance("1", folder / "clips" / "c.wav", "one", 1.0),
        Utterance("2", folder / "a.wav", "two", 2.0, offset=0.5, speaker="ann", language="en"),
    ]
    path = folder / "clips" / "lists" / "m.jsonl"
    write_manifest(path, iter(utterances))
    text = path.read_bytes().decode("utf-8")
    assert [json.loads(line) for line in text.splitlines()] == [
        {"id": "1", "audio": "../c.wav", "text": "one", "duration": 1.0},
        {
            "id": "2",
            "audio": "../../a.wav",
            "text": "two",
            "duration": 2.0,
            "offset": 0.5,
            "speaker": "ann",
            "language": "en",
        },
    ]
    assert text.endswith("}\n")
    assert read_manifest(path) == utterances
    assert [entry.name for entry in path.parent.iterdir()] == ["m.jsonl"]


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ([], "no utterances"),
        ([Utterance("1", Path("a.wav"), "", 1.0)] * 2, "'1' is given twice"),
        ([Utterance("", Path("a.wav"), "", 1.0)], '"id" is empty'),
        ([Utterance("1", Path("a.wav"), "", 0.0)], "above 0"),
        ([Utterance("1", Path("a.wav"), "", float("nan"))], "finite"),
        ([Utterance("1", Path("a.wav"), "", 1.0, extra={"text": "x"})], "extra has the key 'text'"),
        ([Utterance("1", Path("a.wav"), "", 1.0, extra={"ofset": 1})], "did you mean"),
        ([Utterance("1", Path("a.wav"), "", 1.0, extra={"x": float("inf")})], "as JSON"),
        ([Utterance("1", Path("a.wav"), "", 1.0, extra={"x": Path("a")})], "as JSON"),
        ([Utterance("1", Path("a.wav"), "", 1.0, extra={1: 1})], "no string"),
        ([Utterance("1", Path("a.wav"), "\ud800", 1.0)], "as JSON"),
    ],
)
def test_nothing_is_written_when_an_utterance_has_a_fault(folder, bad, expected):
    path = write(folder, GOOD)
    before = path.read_bytes()
    with pytest.raises(ManifestError) as caught:
        write_manifest(path, bad)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert not list(folder.glob("*.tmp"))
    assert not list(folder.glob(".*"))


def test_old_manifest_stays_when_the_source_of_utterances_fails(folder):
    def utterances():
        yield Utterance("1", folder / "a.wav", "one", 1.0)
        raise AudioError("b.wav is empty.")

    path = write(folder, GOOD)
    before = path.read_bytes()
    with pytest.raises(AudioError, match="is empty"):
        write_manifest(path, utterances())
    assert path.read_bytes() == before
    assert not list(folder.glob(".*"))


def test_place_that_cannot_be_written(folder):
    with pytest.raises(
        InputError, match=r"m\.jsonl: cannot be written: part of the path is a file"
    ):
        write_manifest(folder / "a.wav" / "m.jsonl", [Utterance("1", folder / "a.wav", "", 1.0)])


def test_manifest_behind_a_link(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    try:
        (elsewhere / "link").symlink_to(folder / "clips", target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    utterance = Utterance("1", folder / "a.wav", "one", 1.0)
    write_manifest(elsewhere / "link" / "m.jsonl", [utterance])
    assert read_manifest(elsewhere / "link" / "m.jsonl") == [utterance]
    assert read_manifest(folder / "clips" / "m.jsonl") == [utterance]


UNICODE = st.text(st.characters(codec="utf-8"), max_size=20)
NAMES = UNICODE.filter(lambda text: bool(text.strip()))
SECONDS = st.floats(min_value=0, max_value=1e9, allow_nan=False)
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | UNICODE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(UNICODE, inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.fixed_dictionaries(
    {
        "id": NAMES,
        "text": st.just("") | NAMES,
        "duration": SECONDS.filter(lambda seconds: seconds > 0),
        "offset": SECONDS,
        "speaker": st.none() | UNICODE,
        "language": st.none() | UNICODE,
        "extra": st.dictionaries(UNICODE.map(lambda key: key + "_1"), JSON_VALUES, max_size=3),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(FIELDS, min_size=1, max_size=4, unique_by=lambda fields: fields["id"]))
def test_round_trip(folder, records):
    utterances = [Utterance(audio=folder / "clips" / "c.wav", **fields) for fields in records]
    write_manifest(folder / "round.jsonl", utterances)
    assert read_manifest(folder / "round.jsonl") == utterances


def test_compressed_manifests_are_read_and_written(folder):
    path = folder / "x.jsonl.gz"
    line = json.dumps({**GOOD, "text": "a\u2028b"}, ensure_ascii=False).encode()
    packed = gzip.compress(b"\xef\xbb\xbf\n" + line)  # no line end at the last
    path.write_bytes(packed)
    (utterance,) = read_manifest(path)
    assert utterance.text == "a\u2028b"
    again = folder / "again.jsonl.gz"
    write_manifest(again, [utterance])
    assert json.loads(gzip.decompress(again.read_bytes()))["text"] == "a\u2028b"
    assert read_manifest(again) == [utterance]
    first = again.read_bytes()
    with pytest.raises(ManifestError, match="given twice"):
        write_manifest(again, [utterance, utterance])
    assert again.read_bytes() == first
    for data in (packed[:-12], packed[:-8] + bytes(8), packed[:15] + b"\0\0" + packed[17:], line):
        path.write_bytes(data)
        with pytest.raises(ManifestError, match=r"x\.jsonl\.gz is damaged or cut short gzip data"):
            read_manifest(path)


def test_a_key_that_is_given_twice_in_a_line(folder):
    path = write(folder)
    path.write_text(json.dumps(GOOD)[:-1] + ', "text": "other"}\n', encoding="utf-8")
    assert faults(path) == [f'{path}:1: not JSON: the key "text" is given twice']


def test_zero_bytes_are_named(folder):
    path = write(folder)
    path.write_bytes(json.dumps(GOOD).encode("utf-16-le"))
    assert "zero byte" in faults(path)[0]
