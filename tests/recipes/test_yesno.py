import http.client
import importlib.util
import io
import itertools
import os
import tarfile
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr_attn.data import corpus
from asr_attn.data.manifest import read_manifest

RECIPE = Path(__file__).parents[2] / "recipes" / "yesno" / "prepare.py"


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("yesno_prepare", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def no_shared_data(monkeypatch, request):
    if "corpus" not in request.keywords:
        monkeypatch.delenv(corpus.DATA_VARIABLE, raising=False)


def make_corpus(folder: Path) -> Path:
    folder.mkdir(parents=True)
    names = ["_".join(bits) for bits in itertools.product("01", repeat=8)]
    for number, name in enumerate(names[::4][:60]):
        samples = np.full(80 + number, 0.1, dtype=np.float32)
        soundfile.write(folder / f"{name}.wav", samples, 8000, subtype="PCM_16")
    (folder / "README").write_text("about", encoding="utf-8")
    return folder


def test_lists_the_recordings_with_their_words(recipe, tmp_path, capsys):
    source = make_corpus(tmp_path / "waves_yesno")
    output = tmp_path / "data" / "yesno"
    assert recipe.main(["--source", str(source), "--output", str(output)]) == 0
    assert "train 30, test 30, tune_train 26, tune_dev 4" in capsys.readouterr().out
    parts = {path.stem: read_manifest(path) for path in output.iterdir()}
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 30,
        "test": 30,
        "tune_train": 26,
        "tune_dev": 4,
    }
    assert parts["tune_train"] + parts["tune_dev"] == parts["train"]
    everything = parts["train"] + parts["test"]
    assert [u.audio.name for u in everything] == sorted(p.name for p in source.glob("*.wav"))
    for number, utterance in enumerate(everything):
        digits = utterance.audio.stem.split("_")
        assert utterance.text.split() == [("lo", "ken")[int(digit)] for digit in digits]
        assert utterance.duration == pytest.approx((80 + number) / 8000)
    # again, over what is there
    assert recipe.main(["--source", str(source), "--output", str(output)]) == 0


def test_manifests_stay_valid_when_everything_is_moved(recipe, tmp_path):
    root = tmp_path / "here"
    source = make_corpus(root / "corpora" / "waves_yesno")
    recipe.main(["--source", str(source), "--output", str(root / "data" / "yesno")])
    root.rename(tmp_path / "there")
    moved = read_manifest(tmp_path / "there" / "data" / "yesno" / "train.jsonl")
    assert all(utterance.audio.is_file() for utterance in moved)


def test_source_is_found_by_the_environment(recipe, tmp_path, monkeypatch):
    make_corpus(tmp_path / "waves_yesno")
    monkeypatch.setenv(corpus.DATA_VARIABLE, str(tmp_path))
    assert recipe.main(["--output", str(tmp_path / "out")]) == 0


def lose_one(source):
    next(source.glob("*.wav")).unlink()


def lose_folder(source):
    source.rename(source.with_name("elsewhere"))


def break_one(source):
    sorted(source.glob("*.wav"))[7].write_bytes(b"no sound")


@pytest.mark.parametrize(
    ("harm", "said"),
    [(lose_one, "holds 59 recordings"), (lose_folder, "not a folder"), (break_one, ".wav")],
)
def test_faults_are_one_sentence_and_leave_nothing(recipe, tmp_path, capsys, harm, said):
    source = make_corpus(tmp_path / "waves_yesno")
    harm(source)
    output = tmp_path / "data"
    assert recipe.main(["--source", str(source), "--output", str(output)]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert said in message
    assert not output.exists()
    assert not list(tmp_path.glob(".*"))


def test_without_network_it_says_what_to_do(recipe, tmp_path, capsys, monkeypatch):
    def refuse(url, timeout):
        raise urllib.error.URLError("name resolution failed")

    monkeypatch.setattr(corpus.urllib.request, "urlopen", refuse)
    assert recipe.main(["--output", str(tmp_path / "data" / "yesno")]) == 2
    message = capsys.readouterr().err
    assert "name resolution failed" in message
    assert "--source" in message
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert list((tmp_path / "data" / "downloads").iterdir()) == []


def test_interruption_is_quiet_and_leaves_nothing(recipe, tmp_path, capsys, monkeypatch):
    def interrupt(url, timeout):
        raise KeyboardInterrupt

    monkeypatch.setattr(corpus.urllib.request, "urlopen", interrupt)
    assert recipe.main(["--output", str(tmp_path / "data" / "yesno")]) == 130
    assert capsys.readouterr() == ("", "")
    assert list((tmp_path / "data" / "downloads").iterdir()) == []


class Response(io.BytesIO):
    def __init__(self, content: bytes, length: int | None = None) -> None:
        super().__init__(content)
        self.headers = {"Content-Length": str(length or len(content))}


def test_downloads_once_and_unpacks(recipe, tmp_path, monkeypatch):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(make_corpus(tmp_path / "original"), arcname="waves_yesno")
    calls = []

    def serve(url, timeout):
        calls.append(url)
        return Response(packed.getvalue())

    monkeypatch.setattr(corpus.urllib.request, "urlopen", serve)
    output = tmp_path / "data" / "yesno"
    for _ in range(2):
        assert recipe.main(["--output", str(output)]) == 0
    assert calls == ["https://www.openslr.org/resources/1/waves_yesno.tar.gz"]
    kept = tmp_path / "data" / "downloads" / "waves_yesno"
    assert read_manifest(output / "test.jsonl")[0].audio.parent == kept
    assert len(list(kept.iterdir())) == 61, "the archive itself is gone"


@pytest.mark.parametrize(("content", "length"), [(b"not an archive", None), (b"cut", 1000)])
def test_a_bad_download_leaves_nothing(recipe, tmp_path, capsys, monkeypatch, content, length):
    monkeypatch.setattr(
        corpus.urllib.request, "urlopen", lambda url, timeout: Response(content, length)
    )
    assert recipe.main(["--output", str(tmp_path / "data")]) == 2
    assert "waves_yesno.tar.gz" in capsys.readouterr().err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_connection_that_breaks_off_is_told(recipe, tmp_path, capsys, monkeypatch):
    class Broken(Response):
        def read(self, size: int = -1) -> bytes:
            raise http.client.IncompleteRead(b"half", 10)

    monkeypatch.setattr(corpus.urllib.request, "urlopen", lambda url, timeout: Broken(b"", 14))
    assert recipe.main(["--output", str(tmp_path / "data")]) == 2
    message = capsys.readouterr().err
    assert "cannot be downloaded (IncompleteRead(4 bytes read, 10 more expected))" in message
    assert message.count("\n") == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_help_shows_examples(recipe, capsys):
    with pytest.raises(SystemExit) as stop:
        recipe.main(["--help"])
    assert stop.value.code == 0
    assert "python recipes/yesno/prepare.py" in capsys.readouterr().out


@pytest.mark.corpus
def test_the_real_corpus(recipe, tmp_path):
    root = Path(os.environ.get(corpus.DATA_VARIABLE, "missing")).expanduser()
    if not (root / "waves_yesno").is_dir():
        pytest.skip("needs waves_yesno under $ASR_ATTN_DATA")
    assert recipe.main(["--output", str(tmp_path / "yesno")]) == 0
    train, test = (read_manifest(tmp_path / "yesno" / f"{n}.jsonl") for n in ("train", "test"))
    assert sum(u.duration for u in train + test) == pytest.approx(367.67, abs=0.01)
    assert train[0].text == "lo lo lo lo ken ken ken ken"
    assert {len(u.text.split()) for u in train + test} == {8}
    assert {u.audio for u in train}.isdisjoint({u.audio for u in test})
