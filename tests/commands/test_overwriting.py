"""What a command reads is never written over, whatever leads to it."""

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from asr_attn.audio.shards import Member
from asr_attn.checkpoint import MODEL_FILE

LINKS = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")


@pytest.fixture
def refuses(asr, tmp_path):
    """Runs a command that must refuse to write over something, and leave every file as it was."""

    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def run(*arguments: object) -> None:
        before = contents()
        code, out, err = asr(*arguments)
        assert (code, out) == (2, ""), arguments
        assert err.count("\n") == 1
        assert any(
            words in err
            for words in (
                "is read by this command",
                "would replace it",
                "beside what is read",
                "name a file that ends in .jsonl",  # as no recording is called
            )
        ), err
        assert contents() == before, arguments

    return run


def spellings(path: Path) -> list[Path]:
    """Other ways to write a path."""
    around = path.parent / ".." / path.parent.name / path.name
    relative = Path(os.path.relpath(path))
    return [path, around, relative]


def test_recordings_stay_whatever_leads_to_them(refuses, model_file, recordings, manifest):
    sound = recordings / "1.wav"
    for output in spellings(sound):
        refuses("transcribe", model_file, sound, "--output", output)
        refuses("transcribe", model_file, recordings, "--output", output)
        refuses("transcribe", model_file, manifest, "--output", output)
        refuses("evaluate", model_file, manifest, "--output", output)
        refuses("evaluate", model_file, manifest, "--hypotheses", output)
        refuses("evaluate", model_file, manifest, "--normalizer", "basic", "--changes", output)
        refuses("tune", model_file, manifest, "--output", output)
        refuses("calibrate", model_file, manifest, "--output", output)
        refuses("data", "check", manifest, "--output", output)
        refuses("data", "export", "nemo", manifest, "--output", output)


def test_recordings_stay_though_their_names_are_those_of_results(refuses, model_file, recordings):
    """A page, a picture: the ending of a file says nothing of what it holds."""
    for ending in ("html", "png"):
        shutil.copy(recordings / "1.wav", recordings / f"a.{ending}")
    line = {"id": "a", "audio": "a.html", "text": "a b", "duration": 0.4}
    manifest = recordings / "m.jsonl"
    manifest.write_text(json.dumps(line) + "\n", encoding="utf-8")
    refuses("report", model_file, manifest, "--output", recordings / "a.html")
    refuses("attention", model_file, recordings / "a.png", "--output", recordings / "a.png")
    manifest.write_text(json.dumps(line | {"audio": "a.png"}) + "\n", encoding="utf-8")
    refuses("calibrate", model_file, manifest, "--picture", recordings / "a.png")


@LINKS
def test_links_lead_to_the_same_file(refuses, model_file, recordings, manifest, tmp_path):
    far = tmp_path / "far"
    far.symlink_to(recordings)
    (tmp_path / "link.wav").symlink_to(recordings / "1.wav")
    (tmp_path / "hard.wav").hardlink_to(recordings / "1.wav")
    for output in (far / "1.wav", tmp_path / "link.wav", tmp_path / "hard.wav"):
        refuses("transcribe", model_file, recordings, "--output", output)
        refuses("evaluate", model_file, manifest, "--hypotheses", output)
    refuses("transcribe", model_file, far, "--output", recordings / "1.wav")


def test_a_shard_stays(refuses, model_file, recordings, tmp_path):
    shard = tmp_path / "a.tar"
    with tarfile.open(shard, "w") as tar:
        tar.add(recordings / "1.wav", "1.wav")
    with tarfile.open(shard) as tar:
        header = tar.getmember("1.wav")
    member = Member(shard, header.offset_data, header.size, "1.wav").path
    manifest = tmp_path / "m.jsonl"
    line = {"id": "a", "audio": str(member), "text": "a b", "duration": 0.4}
    manifest.write_text(json.dumps(line) + "\n", encoding="utf-8")
    refuses("transcribe", model_file, manifest, "--output", shard)
    refuses("transcribe", model_file, member, "--output", shard)
    refuses("evaluate", model_file, manifest, "--output", shard)


def test_models_and_settings_stay(refuses, model_file, recordings, manifest, tmp_path):
    folder, sound = model_file.parent, recordings / "1.wav"
    extra = {name: tmp_path / name for name in ("search", "hotwords")}
    extra["search"].write_text("beam: 2\n", encoding="utf-8")
    extra["hotwords"].write_text("a b\n", encoding="utf-8")
    lm = tmp_path / "lm"
    lm.mkdir()
    (lm / "language_model.safetensors").write_bytes(b"weights")
    for output in (model_file, manifest):
        for model in (model_file, folder):
            refuses("transcribe", model, manifest, "--output", output)
            refuses("evaluate", model, manifest, "--output", output)
            refuses("tune", model, manifest, "--output", output)
    for model in (model_file, folder):
        refuses("pack", model, "--output", folder / MODEL_FILE)
        refuses("attention", model, sound, "--output", model_file)
    for name, path in extra.items():
        refuses("transcribe", model_file, sound, f"--{name}", path, "--output", path)
        refuses("evaluate", model_file, manifest, f"--{name}", path, "--output", path)
    weights = lm / "language_model.safetensors"
    refuses("transcribe", model_file, sound, "--lm", lm, "--output", weights)
    refuses("evaluate", model_file, manifest, "--train", manifest, "--output", manifest)
    refuses("data", "check", manifest, "--model", folder, "--output", model_file)


def test_what_an_interruption_would_leave_is_no_input(refuses, model_file, recordings):
    sound = recordings / "out.txt.partial"
    shutil.copy(recordings / "1.wav", sound)
    refuses("transcribe", model_file, sound, "--output", recordings / "out.txt")


def test_lists_of_other_programs_stay(refuses, recordings, manifest, tmp_path):
    data = tmp_path / "kaldi"
    data.mkdir()
    (data / "wav.scp").write_text(f"a {recordings / '1.wav'}\n", encoding="utf-8")
    (data / "text").write_text("a one\n", encoding="utf-8")
    refuses("data", "import", "kaldi", data, "--output", data / "text")
    refuses("data", "import", "kaldi", data, "--output", recordings / "1.wav")
    listed = tmp_path / "list.csv"
    listed.write_text(f"id,audio,text\na,{recordings / '1.wav'},one\n", encoding="utf-8")
    refuses("data", "import", "csv", listed, "--output", listed)
    refuses("data", "import", "csv", listed, "--output", recordings / "1.wav")
    for format_, name in [("kaldi", "text"), ("lhotse", "recordings.jsonl.gz")]:
        folder = tmp_path / format_
        folder.mkdir(exist_ok=True)
        line = json.loads(manifest.read_text(encoding="utf-8").splitlines()[0])
        line["audio"] = str(recordings / line["audio"])
        for path in folder.iterdir():
            path.unlink()
        (folder / name).write_text(json.dumps(line) + "\n", encoding="utf-8")
        refuses("data", "export", format_, folder / name, "--output", folder)
    folder = tmp_path / "hf"
    shutil.copytree(recordings, folder)
    shutil.copy(manifest, folder / "metadata.jsonl")
    refuses("data", "export", "huggingface", folder / "metadata.jsonl", "--output", folder)


def test_earlier_results_are_written_anew(asr, model_file, recordings, manifest, tmp_path):
    """Beside the inputs as well."""
    data = tmp_path / "kaldi"
    data.mkdir()
    (data / "wav.scp").write_text(f"a {recordings / '1.wav'}\n", encoding="utf-8")
    (data / "text").write_text("a one\n", encoding="utf-8")
    for _ in range(2):
        assert asr("transcribe", model_file, recordings, "--output", recordings / "o")[0] == 0
        output = model_file.parent / "test.json"
        assert asr("evaluate", model_file.parent, manifest, "--output", output)[0] == 0
        assert asr("data", "import", "kaldi", data, "--output", data / "m.jsonl")[0] == 0
        export = tmp_path / "out"
        assert asr("data", "export", "kaldi", manifest, "--output", export)[0] == 0
