"""What the search is told on the command line."""

import json

import pytest

from asr_attn.decoding.hotwords import Hotword
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.recognizer import Recognizer, load


def records(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


def test_n_best_are_ranked_differ_and_say_who_gave_what(asr, model_file, recordings):
    options = ("--format", "jsonl", "--nbest", 3, "--beam", 5, "--ctc-weight", 0.4)
    code, out, _ = asr("transcribe", model_file, recordings, *options)
    assert code == 0
    several = 0
    for record in records(out):
        found = [record, *record.get("alternatives", [])]
        several += len(found) == 3
        assert len(found) <= 3
        marks = [(h["truncated"], -h["score"]) for h in found]
        assert marks == sorted(marks)
        for h in found:
            assert set(h["parts"]) == {"attention", "ctc"}
            total = 0.6 * h["parts"]["attention"] + 0.4 * h["parts"]["ctc"]
            assert h["log_prob"] == pytest.approx(total, abs=1e-3)
    assert several >= 3


def test_ctc_alone_needs_no_attention(asr, model_file, recordings):
    code, out, _ = asr(
        "transcribe", model_file, recordings / "0.wav", "--format", "jsonl", "--ctc-weight", 1
    )
    assert code == 0
    assert set(records(out)[0]["parts"]) == {"ctc"}


def test_hotwords_are_the_same_on_the_command_line_in_a_file_and_in_python(
    asr, model_file, recordings, tmp_path
):
    sound = recordings / "0.wav"
    listed = tmp_path / "words.txt"
    listed.write_text("# names\nc a b:40\n", encoding="utf-8")
    plain = load(model_file).transcribe(sound, beam=10)
    _, spoken, _ = asr("transcribe", model_file, sound, "--hotword", "C a b:40")
    _, read, _ = asr("transcribe", model_file, sound, "--hotwords", listed)
    recognizer = load(model_file, search=SearchConfig(beam=10), hotwords=[Hotword("c a b", 40.0)])
    expected = recognizer.transcribe(sound)
    assert spoken.strip() == read.strip() == expected.text
    assert "c a b" in expected.text
    assert "c a b" not in plain.text
    assert expected.parts["hotwords"] >= 40.0
    # above 0, where dividing by length would make long sentences worse
    assert expected.score == expected.log_prob > 0


def test_more_than_attention_widens_the_beam_unless_it_is_given(
    asr, model_file, manifest, monkeypatch
):
    def beam(*options: object) -> int:
        code, out, _ = asr("evaluate", model_file, manifest, "--format", "json", *options)
        assert code == 0
        return json.loads(out)["beam"]

    assert beam() == 1
    assert beam("--ctc-weight", 0.3) == 10
    assert beam("--hotword", "a b") == 10
    assert beam("--ctc-weight", 0.3, "--beam", 2) == 2


def test_a_bonus_for_length_makes_transcripts_no_shorter(model_file, recordings):
    model = load(model_file).model
    for sound in sorted(recordings.glob("*.wav")):
        counts = []
        for bonus in (0.0, 1.0, 3.0):
            config = SearchConfig(beam=4, length_exponent=0.0, length_bonus=bonus)
            found = Recognizer(model, config).transcribe(sound)
            counts.append(len(model.tokenizer.encode(found.text)))
        assert counts == sorted(counts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--ctc-weight", "2"), ("--ctc-weight", "from 0 to 1", "2")),
        (("--ctc-weight", "much"), ("--ctc-weight", "not a number")),
        (("--lm-weight", "0.5"), ("--lm-weight goes with --lm",)),
        (("--internal-lm-weight", "0.2"), ("--internal-lm-weight goes with --lm",)),
        (("--nbest", "3"), ("--nbest", "jsonl")),
        (("--hotword", ":5"), ("hotword", "no phrase")),
        (("--hotword", "xyz"), ("'xyz'", "cannot write")),
        (("--hotwords", "nowhere.txt"), ("nowhere.txt", "cannot be read")),
        (("--length-bonus", "1", "--length-exponent", "0.7"), ("--length-bonus",)),
    ],
)
def test_what_makes_no_sense_is_refused(refused, model_file, recordings, options, words):
    message = refused("transcribe", model_file, recordings / "0.wav", *options)
    for word in words:
        assert word in message


def test_an_empty_list_of_hotwords_is_refused(refused, model_file, recordings, tmp_path):
    listed = tmp_path / "words.txt"
    listed.write_text("# nothing yet\n", encoding="utf-8")
    message = refused("transcribe", model_file, recordings / "0.wav", "--hotwords", listed)
    assert "words.txt lists no hotwords" in message


def test_settings_of_recognition_do_not_go_with_texts_or_a_given_text(
    refused, model_file, recordings, tmp_path
):
    said = tmp_path / "said.txt"
    said.write_text("a b\n", encoding="utf-8")
    texts = ("--reference", said, "--hypothesis", said)
    assert "--ctc-weight goes with a model" in refused("evaluate", *texts, "--ctc-weight", "0.3")
    given = ("attention", model_file, recordings / "0.wav", "--text", "a b")
    assert "--hotword goes with recognition" in refused(*given, "--hotword", "a")


def lm_of(asr, tmp_path, name: str, text: str, *options: object):
    source, model = tmp_path / f"{name}.txt", tmp_path / f"{name}.arpa.gz"
    source.write_text(text, encoding="utf-8")
    code, _, _ = asr("lm", "train", source, "--order", 3, "--output", model, *options)
    assert code == 0
    return model


@pytest.mark.parametrize("units", ["words", "tokens"])
def test_a_language_model_draws_the_search_to_its_texts(
    asr, model_file, recordings, tmp_path, units
):
    options = ("--units", units, "--model", model_file)
    lm = lm_of(asr, tmp_path, units, "b b b\n" * 5 + "b b\n" * 5, *options)
    sound = recordings / "0.wav"
    weighed = ("--lm", lm, "--lm-weight", 30, "--format", "jsonl", "--beam", 8)
    code, out, _ = asr("transcribe", model_file, sound, *weighed)
    assert code == 0
    record = records(out)[0]
    assert set(record["text"]) <= {"b", " "}
    expected = record["parts"]["attention"] + 30 * record["parts"]["language model"]
    assert record["log_prob"] == pytest.approx(expected, rel=1e-4)
    plain = load(model_file).transcribe(sound)
    assert not set(plain.text) <= {"b", " "}


def test_a_language_model_of_other_tokens_is_refused(
    asr, refused, model_file, recordings, tmp_path
):
    lm = lm_of(asr, tmp_path, "other", "xyz xy\n", "--units", "characters")
    message = refused("transcribe", model_file, recordings / "0.wav", "--lm", lm)
    assert "other.arpa.gz: its tokens are not those of the recogniser" in message
    assert "'x'" in message
    missing = refused("transcribe", model_file, recordings / "0.wav", "--lm", "none.arpa")
    assert "none.arpa" in missing
