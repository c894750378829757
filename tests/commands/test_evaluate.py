import csv
import json

import pytest

from asr_attn.evaluation.error_rates import count_errors
from asr_attn.recognizer import Recognizer


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_evaluating_a_model(asr, model_file, manifest, texts, tmp_path):
    heard = tmp_path / "heard.jsonl"
    code, out, _ = asr("evaluate", model_file, manifest, "--format", "json", "--hypotheses", heard)
    assert code == 0
    figures = json.loads(out)
    assert figures["words"]["total"] == 10
    assert figures["characters"]["total"] == 15
    assert figures["sentences"] == 5
    assert figures["audio_seconds"] == pytest.approx(3.5)
    assert figures["real_time_factor"] > 0
    assert (figures["failed"], figures["beam"]) == (0, 1)
    assert figures["confidence"]["words"] == sum(len(text.split()) for text in texts.values())
    assert sum(b["count"] for b in figures["confidence"]["bins"]) == figures["confidence"]["words"]
    records = json_lines(heard.read_text(encoding="utf-8"))
    assert [r["id"] for r in records] == ["u4", "u3", "u2", "u1", "u0"]
    assert {r["id"][1:]: r["text"] for r in records} == texts
    assert {r["reference"] for r in records} == {"a b"}
    # the same figures from the texts alone
    code, out, _ = asr(
        "evaluate", "--reference", manifest, "--hypothesis", heard, "--normalizer", "basic",
        "--format", "json",
    )  # fmt: skip
    assert code == 0
    alone = json.loads(out)
    assert (alone.pop("normalizer"), figures["normalizer"]) == ("basic/2", "model/2")
    assert alone.items() <= figures.items()


def test_both_sides_are_brought_to_the_form_that_is_named(asr, model_file, manifest, tmp_path):
    heard, changes = tmp_path / "heard.jsonl", tmp_path / "changes.txt"
    code, out, _ = asr(
        "evaluate", model_file, manifest, "--normalizer", "characters", "--format", "json",
        "--hypotheses", heard, "--changes", changes,
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["normalizer"] == "characters/2"
    for record in json_lines(heard.read_text(encoding="utf-8")):
        assert record["reference"] == "a b"
        assert record["text"] == " ".join(record["recognised"].replace(" ", ""))
    lines = changes.read_text(encoding="utf-8").splitlines()
    assert "u0\treference\t[-A b.-] {+a b+}" in lines


def test_evaluation_goes_where_it_is_told(asr, refused, model_file, manifest, tmp_path):
    code, out, _ = asr("evaluate", model_file, manifest, "--beam", 2)
    assert code == 0
    assert "WER (words)" in out
    assert "real-time factor" in out
    output = tmp_path / "wer.json"
    assert asr("evaluate", model_file, manifest, "--output", output)[:2] == (0, "")
    assert json.loads(output.read_text(encoding="utf-8"))["manifest"] == str(manifest)
    message = refused("evaluate", model_file, manifest, "--output", output, "--hypotheses", output)
    assert "already written by --output" in message
    before = manifest.read_bytes()
    assert "is read" in refused("evaluate", model_file, manifest, "--hypotheses", manifest)
    assert manifest.read_bytes() == before


def test_evaluation_with_unreadable_recordings(asr, model_file, recordings, manifest):
    (recordings / "3.wav").write_bytes(b"")
    code, out, err = asr("evaluate", model_file, manifest, "--format", "json")
    assert code == 1
    figures = json.loads(out)
    assert (figures["failed"], figures["sentences"]) == (1, 4)
    assert list(figures["failures"]) == ["u3"]
    assert "1 of 5 recordings could not be read" in err


def test_references_without_words_have_no_rate(asr, refused, model_file, recordings, tmp_path):
    line = {"id": "a", "audio": str(recordings / "0.wav"), "text": "?!", "duration": 1.3}
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(line), encoding="utf-8")
    code, out, _ = asr("evaluate", model_file, path, "--format", "json")
    assert code == 0
    figures = json.loads(out)
    assert (figures["words"]["total"], figures["wer_interval"]) == (0, None)
    for kind in ("text", "md", "csv"):
        code, out, _ = asr("evaluate", model_file, path, "--format", kind)
        assert code == 0
        assert "inf" not in out
        assert ("no reference words" in out) == (kind == "text")
    empty, some = tmp_path / "r.txt", tmp_path / "h.txt"
    empty.write_text("\n\n", encoding="utf-8")
    some.write_text("a\nb\n", encoding="utf-8")
    code, out, _ = asr("evaluate", "--reference", empty, "--hypothesis", some)
    assert code == 0
    assert "no reference words, so there is no WER; inserted: 2" in out
    empty.write_text("", encoding="utf-8")
    assert "no references" in refused("evaluate", "--reference", empty, "--hypothesis", empty)


def test_references_that_normalisation_spoils_are_told(asr, model_file, recordings, tmp_path):
    pytest.importorskip("whisper_normalizer")
    lines = [
        {"id": "a", "audio": str(recordings / "0.wav"), "text": "?!", "duration": 1.3},
        {"id": "b", "audio": str(recordings / "1.wav"), "text": "b", "duration": 0.4}
        | {"language": "de"},
    ]
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    code, out, err = asr("evaluate", model_file, path, "--normalizer", "english")
    assert code == 0
    assert "WER" in out
    assert f"{path}: normalisation leaves no letter or digit of 1 reference, " in err
    assert "a ('?!')" in err
    assert "1 of 2 utterances are of other languages (de)" in err


def test_capitals_against_small_letters_are_told(asr, model_file, manifest, tmp_path):
    told = "the references are in capitals and the hypotheses in small letters"
    loud = manifest.with_name("loud.jsonl")
    said, heard = tmp_path / "said.txt", tmp_path / "heard.txt"
    records = json_lines(manifest.read_text(encoding="utf-8"))
    capital = [{**record, "text": record["text"].upper()} for record in records]
    loud.write_text("".join(json.dumps(record) + "\n" for record in capital), encoding="utf-8")
    for form, expected in (("none", True), ("basic", False), (None, False)):
        options = ("--normalizer", form) if form else ()
        assert (told in asr("evaluate", model_file, loud, *options)[2]) == expected
    said.write_text("A CAT\n", encoding="utf-8")
    heard.write_text("a cat\n", encoding="utf-8")
    for form, expected in (("none", True), ("basic", False)):
        arguments = ("--reference", said, "--hypothesis", heard, "--normalizer", form)
        assert (f"{said}: {told}" in asr("evaluate", *arguments)[2]) == expected


def test_evaluating_text_files(asr, refused, tmp_path):
    reference, hypothesis = tmp_path / "r.txt", tmp_path / "h.txt"
    reference.write_text("One two.\n\nthree\n", encoding="utf-8")
    hypothesis.write_text("one two\nfour\nthree\n", encoding="utf-8")
    arguments = ("evaluate", "--reference", reference, "--hypothesis", hypothesis)
    code, out, _ = asr(*arguments, "--format", "json")
    assert code == 0
    assert json.loads(out)["words"] == {
        "total": 3, "errors": 3, "substitutions": 2, "deletions": 0, "insertions": 1,
    }  # fmt: skip
    code, out, _ = asr(*arguments, "--format", "json", "--normalizer", "basic")
    assert json.loads(out)["wer"] == pytest.approx(1 / 3)
    hypothesis.write_text("one two\n", encoding="utf-8")
    message = refused(*arguments)
    assert f"{reference} has 3 lines but {hypothesis} has 1" in message


def test_characters_that_the_model_cannot_write_are_told(asr, model_file, manifest):
    words = f"asr-attn: {manifest}: the texts hold characters that the model does not know"
    assert words not in asr("evaluate", model_file, manifest)[2]
    text = manifest.read_text(encoding="utf-8").replace("A b.", "Ax bßx.", 2)
    manifest.write_text(text, encoding="utf-8")
    code, _, err = asr("evaluate", model_file, manifest)
    assert code == 0
    (told,) = (line for line in err.splitlines() if line.startswith(words))
    assert told.endswith(": 'x' (4 times), 'ß' (2 times)")


def test_several_models_are_evaluated_on_several_sets(asr, refused, model_file, manifest, tmp_path):
    other = manifest.parent / "other.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    other.write_text("".join(lines[:2]), encoding="utf-8")
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(model_file.read_bytes())
    paths = (model_file, copy, manifest, other)
    code, out, _ = asr("evaluate", *paths, "--format", "json")
    assert code == 0
    found = json.loads(out)
    assert [(f["model"], f["manifest"]) for f in found] == [
        (str(model), str(path)) for model in (model_file, copy) for path in (manifest, other)
    ]
    assert [f["sentences"] for f in found] == [5, 2, 5, 2]
    assert found[0]["words"] == found[2]["words"]
    table = tmp_path / "all.csv"
    assert asr("evaluate", *paths, "--output", table)[:2] == (0, "")
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [float(row["wer"]) for row in rows] == [pytest.approx(f["wer"]) for f in found]
    code, out, _ = asr("evaluate", *paths, "--format", "md")
    assert len(out.splitlines()) == 6
    message = refused("evaluate", *paths, "--hypotheses", tmp_path / "h.jsonl")
    assert "one model and one manifest" in message


def test_groups_and_unknown_words_are_reported(asr, refused, model_file, manifest, monkeypatch):
    train = manifest.parent / "train.jsonl"
    text = manifest.read_text(encoding="utf-8").replace("A b.", "A c.")
    train.write_text(text, encoding="utf-8")
    arguments = ("evaluate", model_file, manifest, "--by", "duration", "--train", train)
    code, out, _ = asr(*arguments, "--format", "json")
    assert code == 0
    figures = json.loads(out)
    assert sum(g["words"] for g in figures["groups"]["duration"]) == 10
    assert figures["unknown_words"]["count"] == 5
    assert figures["wer_interval"][0] <= figures["wer"] <= figures["wer_interval"][1]
    # two words in recordings of 0.2 to 1.3 s
    _, out, _ = asr(*arguments[:3], "--by", "rate", "--format", "json")
    rates = [group["name"] for group in json.loads(out)["groups"]["rate"]]
    assert rates[0].startswith(f"{2 / 1.3:.3g} to ")
    assert rates[-1].endswith(f" to {2 / 0.2:.3g} words/s")
    code, out, _ = asr(*arguments)
    assert "not in the training texts" in out
    assert "duration" in out
    monkeypatch.setattr(Recognizer, "transcribe_samples", lambda *_, **__: pytest.fail("too late"))
    assert "no such field" in refused("evaluate", model_file, manifest, "--by", "mood")


def test_words_on_silence_are_told(asr, model_file, manifest):
    text = manifest.read_text(encoding="utf-8").replace("A b.", "", 2)
    manifest.write_text(text, encoding="utf-8")
    code, out, _ = asr("evaluate", model_file, manifest, "--format", "json")
    assert code == 0
    empty = json.loads(out)["hallucinations"]
    assert empty["utterances"] == 2
    assert (empty["words"] > 0) == (empty["with_words"] > 0)


def test_words_can_be_ignored(asr, refused, model_file, manifest, texts, tmp_path):
    said, heard = tmp_path / "r.txt", tmp_path / "h.txt"
    said.write_text("a [noise] b\n[NOISE]\nc\n", encoding="utf-8")
    heard.write_text("a b [noise]\n\nc <unk>\n", encoding="utf-8")
    arguments = ("evaluate", "--reference", said, "--hypothesis", heard, "--format", "json")
    ignored = ("--ignore", "[noise]", "--ignore", "<unk>")
    figures = json.loads(asr(*arguments, *ignored)[1])
    assert (figures["words"]["total"], figures["words"]["errors"]) == (3, 0)
    assert figures["normalizer"] == "none/1 without <unk> [noise]"
    with_basic = json.loads(asr(*arguments, *ignored, "--normalizer", "basic")[1])
    assert with_basic["words"]["total"] == 3
    assert json.loads(asr(*arguments)[1])["words"]["errors"] > 0
    assert "--ignore: 'a b' must be one word" in refused(*arguments, "--ignore", "a b")
    # of a model: what it writes and what is said, each without the word
    code, out, _ = asr("evaluate", model_file, manifest, "--ignore", "b", "--format", "json")
    assert code == 0
    figures = json.loads(out)
    expected = [" ".join(w for w in texts[i].split() if w != "b") for i in sorted(texts)]
    counts = count_errors(["a"] * len(expected), expected)
    assert figures["words"]["total"] == counts.total == 5
    assert figures["words"]["errors"] == counts.errors
