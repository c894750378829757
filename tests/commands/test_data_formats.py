"""``asr-attn data import`` and ``export``, as they are typed."""

import json
import tarfile

import pytest
import soundfile

from asr_attn.data.manifest import read_manifest


@pytest.fixture
def data(asr):
    """Runs a command of ``asr-attn data``: exit code and standard error."""

    def run(*arguments: object) -> tuple[int, str]:
        code, out, err = asr("data", *arguments)
        assert out == ""
        return code, err

    return run


FORMS = {
    "kaldi": "kaldi",
    "lhotse": "lhotse",
    "nemo": "nemo.json",
    "commonvoice": "cv/train.tsv",
    "csv": "list.csv",
    "huggingface": "hf",
}


@pytest.mark.parametrize("name", FORMS)
def test_manifest_goes_out_and_comes_back(name, data, manifest, tmp_path):
    there, back = tmp_path / "out" / FORMS[name], tmp_path / "back" / "list.jsonl"
    code, told = data("export", name, manifest, "--output", there)
    assert (code, told) == (0, f"asr-attn: {there}: 5 utterances, 0.00 h\n")
    code, told = data("import", name, there, "--output", back)
    assert (code, told) == (0, f"asr-attn: {back}: 5 utterances, 0.00 h\n")
    before = {u.id: (u.text, u.duration, u.audio.name) for u in read_manifest(manifest)}
    assert {u.id: (u.text, u.duration, u.audio.name) for u in read_manifest(back)} == before


def test_columns_are_chosen(data, recordings, tmp_path):
    (recordings / "x.csv").write_text("wav,words\n0.wav,a b\n", encoding="utf-8")
    command = ("import", "csv", recordings / "x.csv", "--output", tmp_path / "x.jsonl")
    assert data(*command, "--columns", "audio=wav", "text=words")[0] == 0
    (utterance,) = read_manifest(tmp_path / "x.jsonl")
    assert (utterance.id, utterance.text) == ("0", "a b")
    for given, message in (
        (["audio"], "'audio' is not KEY=COLUMN"),
        (["audio=wav", "audio=words"], "--columns names audio twice"),
        (["audio=wav"], "no column for the text"),
    ):
        code, told = data(*command, "--columns", *given)
        assert code == 2
        assert message in told
    code, told = data("import", "nemo", *command[2:], "--columns", "text=words")
    assert (code, told) == (
        2,
        "asr-attn: --columns is for csv and huggingface; nemo has columns of its own\n",
    )


def test_what_has_no_place_is_told(data, manifest, tmp_path):
    lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    lines[1]["words"] = [["a", 0.1, 0.2]]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    code, told = data("export", "kaldi", manifest, "--output", tmp_path / "k")
    assert code == 0
    assert "asr-attn: kaldi has no place for words: left out\n" in told


def test_nothing_is_written_after_a_fault(data, manifest, recordings, tmp_path):
    output = tmp_path / "new" / "x.jsonl"
    soundfile.write(recordings / "0.wav", [0.0] * 80, 8000)  # its line says 1.3 s
    for name in ("commonvoice", "huggingface"):
        code, told = data("export", name, manifest, "--output", tmp_path / "new" / "x.tsv")
        assert code == 2
        assert "utterance 'u0': is a part of" in told
    code, told = data("import", "csv", manifest, "--output", manifest)
    assert (code, told.count("\n")) == (2, 1)
    code, told = data("import", "kaldi", recordings, "--output", output)
    assert (code, told.count("\n")) == (2, 1)
    code, told = data("import", "csv", "x", "--output", output, "--audio-folder", "nowhere")
    assert told == "asr-attn: --audio-folder nowhere is not a folder; check the path\n"
    code, told = data("import", "espnet", "x", "--output", output)
    assert code == 2
    assert "invalid choice: 'espnet'" in told
    assert not (tmp_path / "new").exists()


def test_help_shows_formats_and_examples(asr, refused):
    for command in ("import", "export"):
        code, shown, _ = asr("data", command, "--help")
        assert code == 0
        assert f"asr-attn data {command} kaldi" in shown
        assert "commonvoice  train.tsv" in shown
    assert "--output" in refused("data", "export", "kaldi", "x")


def test_shards_are_used_like_files(data, asr, manifest, model_file, tmp_path):
    shards = tmp_path / "shards"
    code, told = data("export", "webdataset", manifest, "--output", shards, "--megabytes", 1)
    assert (code, told) == (0, f"asr-attn: {shards}: 5 utterances, 0.00 h\n")
    again = tmp_path / "again.jsonl"
    assert data("import", "webdataset", shards / "*.tar", "--output", again)[0] == 0
    texts = []
    for listed in (manifest, shards / "manifest.jsonl", again):
        code, out, _ = asr("transcribe", model_file, listed)
        assert code == 0
        texts.append(out)
    assert texts[0] == texts[1] == texts[2]
    shard, kept = shards / "000000.tar", 15_000
    with tarfile.open(shard) as tar:
        sounds = [member for member in tar if not member.name.endswith(".json")]
        lost = {m.name.split(".")[0] for m in sounds if m.offset_data + m.size > kept}
    assert 0 < len(lost) < len(sounds)
    shard.write_bytes(shard.read_bytes()[:kept])
    report = asr("data", "check", again, "--format", "json", "--jobs", 1, "--no-duplicates")[1]
    found = {
        f["id"]: f["what"] for f in json.loads(report)["findings"] if f["kind"] == "unreadable"
    }
    assert set(found) == lost
    assert f"u0.wav in {shards / '000000.tar'} is not all there" in found["u0"]
    for name in ("kaldi", "nemo", "huggingface"):
        code, told = data("export", name, again, "--output", tmp_path / "x")
        assert code == 2
        assert f"{name} has no place for audio in shards, such as u4.wav in {shards}" in told
    assert data("export", "csv", again, "--output", tmp_path / "x.csv")[0] == 0
    assert data("import", "csv", tmp_path / "x.csv", "--output", tmp_path / "x.jsonl")[0] == 0
    assert read_manifest(tmp_path / "x.jsonl") == read_manifest(again)
    code, told = data("export", "webdataset", again, "--output", tmp_path)
    assert (code, told.count("\n")) == (2, 1)
    assert "would replace it; name another" in told
    code, told = data("export", "csv", again, "--output", tmp_path / "y.csv", "--megabytes", 1)
    assert "--megabytes is for webdataset" in told


def test_a_manifest_is_called_as_one(asr, tmp_path):
    (tmp_path / "list.csv").write_text("audio,text\n", encoding="utf-8")
    table, output = tmp_path / "list.csv", tmp_path / "m.csv"
    code, _, err = asr("data", "import", "csv", table, "--output", output)
    assert code == 2
    assert "name a file that ends in .jsonl or .jsonl.gz" in err
    assert not output.exists()
