import importlib.util
import json
import os
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from asr_attn.data import librispeech
from asr_attn.data.corpus import DATA_VARIABLE
from asr_attn.data.librispeech import PARTS, Part
from asr_attn.data.manifest import read_manifest
from tests.data.librispeech_corpus import make_corpus

RECIPES = Path(__file__).parents[2] / "recipes"
CHAPTERS = {
    "train-clean-5/19/198": 3,
    "train-clean-5/19/1000": 2,
    "train-clean-5/32/4137": 2,
    "train-clean-5/1737/142396": 1,
    "train-clean-5/2136/5140": 1,
    "train-clean-5/7312/92432": 1,
    "dev-clean-2/84/121123": 2,
}
SIZES = {"train-clean-5": 10, "dev-clean-2": 2}
# of SPEAKERS.TXT: the women among the speakers of train-clean-5
WOMEN = [
    "19",
    "32",
    "226",
    "669",
    "1088",
    "1737",
    "1898",
    "1970",
    "2416",
    "3526",
    "3947",
    "4640",
    "4680",
    "5789",
    "6272",
    "7859",
]


def load(name):
    spec = importlib.util.spec_from_file_location(f"{name}_prepare", RECIPES / name / "prepare.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def no_shared_data(monkeypatch, request):
    if "corpus" not in request.keywords:
        monkeypatch.delenv(DATA_VARIABLE, raising=False)


@pytest.fixture
def mini(monkeypatch):
    """The recipe, for a corpus of twelve utterances."""
    recipe = load("mini_librispeech")
    small = [
        Part(name, size, "https://www.openslr.org/31", chapters_of(name))
        for name, size in SIZES.items()
    ]
    monkeypatch.setattr(recipe, "parts", lambda: small)
    return recipe


def chapters_of(name):
    return frozenset(c.removeprefix(f"{name}/") for c in CHAPTERS if c.startswith(f"{name}/"))


@pytest.fixture
def source(tmp_path):
    return make_corpus(tmp_path / "corpora" / "LibriSpeech", CHAPTERS)


@pytest.fixture
def prepare(mini, source, tmp_path, capsys):
    """Runs the recipe: exit code, standard output, standard error, manifests by name."""

    def run(*arguments, given=source):
        output = tmp_path / "data" / "mini"
        code = mini.main(["--source", str(given), "--output", str(output), *arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        found = {path.stem: read_manifest(path) for path in output.glob("*")}
        return code, captured.out, captured.err, found

    return run


def test_speakers_are_in_one_manifest_each(prepare, source):
    code, out, err, found = prepare()
    assert (code, err) == (0, "")
    assert {name: [u.id for u in part] for name, part in found.items()} == {
        "train": ["19-198-0000", "19-198-0001", "19-198-0002", "19-1000-0000", "19-1000-0001"],
        "dev": [
            "32-4137-0000",
            "32-4137-0001",
            "1737-142396-0000",
            "2136-5140-0000",
            "7312-92432-0000",
        ],
        "test": ["84-121123-0000", "84-121123-0001"],
    }
    utterance = found["train"][2]
    assert utterance.audio == source / "train-clean-5" / "19" / "198" / "19-198-0002.flac"
    assert utterance.text == "TEXT 19-198 NUMBER 2"
    assert utterance.duration == pytest.approx((1600 + 320) / 16000)
    assert (utterance.speaker, utterance.language) == ("19", "en")
    assert utterance.extra == {"chapter": "198"}
    assert "train: 5 utterances, 1 speakers" in out


def test_manifests_stay_valid_when_everything_is_moved(prepare, source, tmp_path):
    prepare()
    line = json.loads((tmp_path / "data/mini/test.jsonl").read_text().splitlines()[0])
    assert line["audio"].startswith("../../corpora/LibriSpeech/dev-clean-2/84/")


def test_source_may_be_the_folder_above(prepare, source):
    assert prepare(given=source.parent)[0] == 0


def test_source_may_be_named_by_the_environment(mini, source, tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(source.parent))
    assert mini.main(["--output", str(tmp_path / "other")]) == 0


def cut_off(path):
    path.write_bytes(path.read_bytes()[:-200])


HARMS = {
    "19-198: no audio": (
        lambda s: (s / "train-clean-5/19/198/19-198-0001.flac").unlink(),
        "train-clean-5/19/198: no audio for 19-198-0001",
    ),
    "no transcript": (
        lambda s: (s / "train-clean-5/19/1000/19-1000.trans.txt").write_text("19-1000-0000 A\n"),
        "train-clean-5/19/1000: no transcript for 19-1000-0001",
    ),
    "no transcripts": (
        lambda s: (s / "dev-clean-2/84/121123/84-121123.trans.txt").unlink(),
        "dev-clean-2/84/121123: there is no 84-121123.trans.txt for its 2 files",
    ),
    "no chapter": (
        lambda s: shutil.rmtree(s / "train-clean-5/19/198"),
        "train-clean-5: chapters are missing: 19/198",
    ),
    "other chapter": (
        lambda s: make_corpus(s, {"train-clean-5/40/50": 1}),
        "train-clean-5: chapters of another set: 40/50",
    ),
    "end of a file": (
        lambda s: cut_off(s / "train-clean-5/32/4137/32-4137-0001.flac"),
        "32-4137-0001.flac",
    ),
    "text": (
        lambda s: (s / "train-clean-5/2136/5140/2136-5140.trans.txt").write_text("2136-5140-0000"),
        "train-clean-5/2136/5140/2136-5140.trans.txt:1: should be ID TEXT",
    ),
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_is_missing_is_told(prepare, source, harm):
    spoil, said = HARMS[harm]
    spoil(source)
    code, out, err, found = prepare()
    assert (code, out, found) == (2, "", {})
    assert err.startswith(f"error: {source} is not as it was published")
    assert "https://www.openslr.org/31" in err
    assert any(line.startswith("  ") and said in line for line in err.splitlines())


def test_all_that_is_missing_is_one_list_and_the_rest_can_be_used(prepare, source, tmp_path):
    for harm in ("19-198: no audio", "no transcript", "end of a file", "text"):
        HARMS[harm][0](source)
    code, _, err, found = prepare()
    assert (code, found) == (2, {})
    assert not (tmp_path / "data").exists()
    told = err.splitlines()[1:]
    assert len(told) == 6
    assert told[-1] == "  train-clean-5: 6 usable utterances, but the published set has 10"
    code, out, err, found = prepare("--partial")
    assert code == 0
    assert err.splitlines()[1:] == told
    assert {name: len(part) for name, part in found.items()} == {"train": 3, "dev": 3, "test": 2}
    assert "train: 3 utterances" in out


def test_a_manifest_without_utterances_is_refused(prepare, source, tmp_path):
    for speaker in ("32", "1737", "2136", "7312"):
        shutil.rmtree(source / "train-clean-5" / speaker)
    code, _, err, found = prepare("--partial")
    assert (code, found) == (2, {})
    assert "no usable utterances for dev" in err


def test_missing_folders_are_named_with_where_to_get_them(prepare, mini, source, tmp_path, capsys):
    code, _, err, _ = prepare(given=tmp_path / "nowhere")
    assert code == 2
    assert "does not hold the folders train-clean-5 and dev-clean-2; unpack" in err
    shutil.rmtree(source / "dev-clean-2")
    code, _, err, _ = prepare()
    assert code == 2
    assert "does not hold the folder dev-clean-2; unpack dev-clean-2.tar.gz from" in err
    assert err.count("\n") == 1
    assert mini.main(["--output", str(tmp_path / "other")]) == 2
    assert f"${DATA_VARIABLE}" in capsys.readouterr().err


def test_clutter_is_no_part_of_the_corpus(prepare, source):
    (source / "train-clean-5" / ".complete").touch()
    (source / "train-clean-5" / "19" / "198" / "._19-198-0000.flac").write_bytes(b"clutter")
    (source / "train-clean-5" / "19" / "LICENSE").write_text("free", encoding="utf-8")
    assert prepare()[0] == 0


@pytest.fixture
def full(monkeypatch):
    recipe = load("librispeech")
    small = {name: replace(part, utterances=2) for name, part in PARTS.items()}
    for module in (librispeech, recipe):
        monkeypatch.setattr(module, "PARTS", small)
    return recipe


def test_sets_of_the_full_corpus_have_a_manifest_each(full, tmp_path, capsys):
    root = make_corpus(tmp_path / "LibriSpeech", {f"{name}/7/8": 2 for name in list(PARTS)[3:]})
    output = tmp_path / "data"
    given = ["--source", str(tmp_path), "--output", str(output), "--sets"]
    assert full.main([*given, "dev-clean", "test-other"]) == 0
    assert {path.name for path in output.iterdir()} == {"dev-clean.jsonl", "test-other.jsonl"}
    assert full.main([*given, "test-clean"]) == 0
    assert len(list(output.iterdir())) == 3
    assert full.main([*given, "all"]) == 2
    err = capsys.readouterr().err
    assert "train-clean-100 and train-clean-360 and train-other-500; unpack" in err
    (root / "CHAPTERS.TXT").write_text(
        ";ID |READER|MINUTES| SUBSET | PROJ.\n8 | 7 | 1.0 | dev-clean | 1\n"
        "9 | 7 | 1.0 | dev-clean | 1\n10 | 7 | 1.0 | test-clean | 1\n",
        encoding="utf-8",
    )
    (root / "dev-clean/7/8/7-8-0001.flac").unlink()
    assert full.main([*given, "dev-clean"]) == 2
    told = [line.strip() for line in capsys.readouterr().err.splitlines()[1:]]
    assert told == [
        "dev-clean/7/8: no audio for 7-8-0001",
        "dev-clean: 1 usable utterances, but the published set has 2",
        "dev-clean: chapters are missing: 7/9",
    ]


@pytest.mark.parametrize("name", ["mini_librispeech", "librispeech"])
def test_help_shows_examples(name, capsys):
    with pytest.raises(SystemExit) as stop:
        load(name).main(["--help"])
    assert stop.value.code == 0
    assert f"python recipes/{name}/prepare.py" in capsys.readouterr().out


def test_the_list_of_chapters_is_that_of_two_sets():
    train, dev = load("mini_librispeech").parts()
    assert {chapter.split("/")[0] for chapter in train.chapters}.isdisjoint(
        chapter.split("/")[0] for chapter in dev.chapters
    )
    assert len({chapter.split("/")[0] for chapter in train.chapters}) == 28
    assert len({chapter.split("/")[0] for chapter in dev.chapters}) == 26


@pytest.mark.corpus
def test_the_real_corpus(tmp_path):
    root = Path(os.environ.get(DATA_VARIABLE, "missing")).expanduser()
    if not (root / "LibriSpeech" / "train-clean-5").is_dir():
        pytest.skip("needs LibriSpeech/train-clean-5 under $ASR_ATTN_DATA")
    recipe = load("mini_librispeech")
    assert recipe.main(["--output", str(tmp_path)]) == 0
    found = {name: read_manifest(tmp_path / f"{name}.jsonl") for name in ("train", "dev", "test")}
    seconds = defaultdict(float)
    for utterance in found["train"] + found["dev"]:
        seconds[utterance.speaker] += utterance.duration
    assert sum(seconds.values()) == pytest.approx(5.31 * 3600, abs=36)
    least = sorted(seconds, key=seconds.get)
    women = [speaker for speaker in least if speaker in WOMEN]
    men = [speaker for speaker in least if speaker not in WOMEN]
    assert {*women[:2], *men[:2]} == {u.speaker for u in found["dev"]} == recipe.DEV_SPEAKERS
