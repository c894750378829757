"""Files of texts with ids, against jiwer on the texts alone."""

import csv
import io
import json
import random

import jiwer
import pytest

from asr_attn.errors import InputError
from asr_attn.evaluation.error_rates import count_errors
from asr_attn.evaluation.text_formats import read_texts
from asr_attn.evaluation.texts import read_pairs

WORDS = ["the", "cat", "sat", "on", "a", "mat", "with", "no", "hat", "at", "all", "3", "times"]


def corpus(seed: int, count: int = 40) -> tuple[dict[str, str], dict[str, str]]:
    """References and hypotheses by id; some are empty."""
    draw = random.Random(seed)
    said = {
        f"spk{i % 4}-{i:04d}": " ".join(draw.choices(WORDS, k=draw.randint(0 if i else 1, 8)))
        for i in range(count)
    }
    heard = {
        name: " ".join(draw.choice(WORDS) if draw.random() < 0.3 else w for w in text.split())
        for name, text in said.items()
    }
    return said, heard


def kaldi(texts: dict[str, str]) -> str:
    return "".join(f"{name} {text}".rstrip() + "\n" for name, text in texts.items())


def kaldi_tabs(texts: dict[str, str]) -> str:
    return "".join(f"{name}\t{text}\n" for name, text in texts.items())


def trn(texts: dict[str, str]) -> str:
    return "".join(f"{text} ({name})\n" for name, text in texts.items())


def tsv_header(texts: dict[str, str]) -> str:
    rows = "".join(f"x\t{text}\t{name}\n" for name, text in texts.items())
    return "client_id\tsentence\tpath\n" + rows


def csv_header(texts: dict[str, str]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows([("id", "text"), *texts.items()])
    return stream.getvalue()


def jsonl(texts: dict[str, str]) -> str:
    return "".join(json.dumps({"id": n, "text": t, "duration": 1}) + "\n" for n, t in texts.items())


WRITERS = [kaldi, kaldi_tabs, trn, tsv_header, csv_header, jsonl]


@pytest.mark.parametrize("write_hypothesis", WRITERS)
@pytest.mark.parametrize("write_reference", WRITERS)
def test_ids_are_no_words(tmp_path, write_reference, write_hypothesis):
    said, heard = corpus(1)
    names = list(heard)
    random.Random(2).shuffle(names)
    reference, hypothesis = tmp_path / "ref.txt", tmp_path / "hyp.txt"
    reference.write_text(write_reference(said), encoding="utf-8")
    hypothesis.write_text(write_hypothesis({n: heard[n] for n in names}), encoding="utf-8")
    pairs = read_pairs(reference, hypothesis)
    assert list(pairs.names) == list(said)
    counts = count_errors(pairs.references, pairs.hypotheses)
    expected = jiwer.process_words(list(said.values()), list(heard.values()))
    assert counts.rate == pytest.approx(expected.wer, abs=1e-12)
    assert counts.total == sum(len(text.split()) for text in said.values())


def test_all_words_wrong_are_all_wrong_and_perfect_texts_are_perfect(tmp_path):
    said, _ = corpus(3)
    reference, hypothesis = tmp_path / "ref.txt", tmp_path / "hyp.txt"
    for write in WRITERS:
        reference.write_text(write(said), encoding="utf-8")
        hypothesis.write_text(write(said), encoding="utf-8")
        pairs = read_pairs(reference, hypothesis)
        assert count_errors(pairs.references, pairs.hypotheses).errors == 0
        wrong = {name: " ".join(f"not{w}" for w in text.split()) for name, text in said.items()}
        hypothesis.write_text(write(wrong), encoding="utf-8")
        pairs = read_pairs(reference, hypothesis)
        assert count_errors(pairs.references, pairs.hypotheses).rate == 1.0


def written(tmp_path, said: str, heard: str, **formats: str):
    reference, hypothesis = tmp_path / "ref.txt", tmp_path / "hyp.txt"
    reference.write_text(said, encoding="utf-8")
    hypothesis.write_text(heard, encoding="utf-8")
    return read_pairs(reference, hypothesis, **formats)


def refused(*args, **formats) -> str:
    with pytest.raises(InputError) as caught:
        written(*args, **formats)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_transcribe_writes_is_matched_by_the_recording(tmp_path):
    manifest = (
        '{"id": "a", "audio": "/data/one.wav", "text": "x y"}\n'
        '{"id": "two", "audio": "/data/0002.flac", "text": "z"}\n'
        '{"id": "three", "audio": "/data/3.wav", "text": "q"}\n'
    )
    heard = "calls\\0002.flac\tz\ncalls/one.wav\tx\nthree\t\n"
    pairs = written(tmp_path, manifest, heard)
    assert list(zip(pairs.references, pairs.hypotheses)) == [("x y", "x"), ("z", "z"), ("q", "")]
    assert "2 of 3 utterances are matched by the name of the recording" in pairs.notes
    # the same name in two folders tells nothing
    twice = "calls/0002.flac\tz\nold/0002.flac\tz\ncalls/one.wav\tx\nthree\t\n"
    assert "2 only in" in refused(tmp_path, manifest, twice)


def test_names_with_control_characters_are_strings_of_json(tmp_path):
    said = json.dumps({"id": "a\tb\n.wav", "text": "x"}) + "\n"
    said += json.dumps({"id": '"c"', "text": "y"}) + "\n"
    pairs = written(tmp_path, said, '"a\\tb\\n.wav"\tx\n"c"\ty\n')
    assert list(pairs.hypotheses) == ["x", "y"]


def test_plain_sentences_stay_plain(tmp_path):
    for text in (
        "one two\nthree four\n",
        "a (laughs)\nb (laughs)\n",
        "3 dogs\n10:30 in the morning\n2nd street\n",
        "今天有3个人\n打开2号灯\n",
        "covid-19 is here\nthe cat\na dog\n",
    ):
        pairs = written(tmp_path, text, text)
        assert list(pairs.references) == text.splitlines()
    pairs = written(tmp_path, "", "")
    assert list(pairs.references) == []


def test_what_may_be_ids_is_refused_and_can_be_said(tmp_path):
    names = ["anna-one", "anna-two", "bob-one"]
    lines = "".join(f"{name} yes no\n" for name in names)
    message = refused(tmp_path, lines, lines)
    assert "--reference-format and --hypothesis-format" in message
    both = {"reference_format": "kaldi", "hypothesis_format": "kaldi"}
    assert list(written(tmp_path, lines, lines, **both).references) == ["yes no"] * 3
    both = {"reference_format": "plain", "hypothesis_format": "plain"}
    assert list(written(tmp_path, lines, lines, **both).references) == lines.splitlines()
    # some lines begin with an id, one does not
    some = "u-001 yes\nu-002 no\nu-003 no\nyes\n"
    assert "say what a line is by --reference-format" in refused(tmp_path, some, lines)
    # names of people: ten lines that all begin with other words are no chance
    people = [f"{chr(97 + i)}nna hello\n" for i in range(12)]
    assert "may begin each line with an id" in refused(tmp_path, "".join(people), "".join(people))
    few = written(tmp_path, "".join(people[:3]), "".join(people[:3]))
    assert "read as plain sentences" in few.notes[0]
    moved = "".join(reversed(people[:3]))
    assert "may begin each line" in refused(tmp_path, "".join(people[:3]), moved)


def test_missing_and_doubled_ids_are_refused(tmp_path):
    said, heard = corpus(4)
    del heard["spk0-0000"], heard["spk1-0001"]
    message = refused(tmp_path, kaldi(said), kaldi(heard))
    assert "2 only in" in message
    assert "(spk0-0000, spk1-0001)" in message
    doubled = kaldi(said) + "spk0-0000 again\n"
    assert "is given twice, first at line 1" in refused(tmp_path, doubled, kaldi(said))
    message = refused(tmp_path, "hello there\n", jsonl(said))
    assert "--reference-format" in message


def test_alternatives_of_sclite_are_refused(tmp_path):
    assert "alternatives" in refused(tmp_path, "a {b / c} (u-1)\nd (u-2)\n", "a (u-1)\nd (u-2)\n")
    comments = written(tmp_path, ";; said\na b (u-1)\nd (u-2)\n", "a b (u-1)\nd (u-2)\n")
    assert list(comments.references) == ["a b", "d"]


def test_bad_tables_are_refused(tmp_path):
    path = tmp_path / "ref.txt"
    for name, text, words in (
        ("tsv", "a\tb\tc\n", "has 3 columns"),
        ("csv", "a,b\nc,d\n", "names no columns"),
        ("tsv", "id\ttext\na\tb\tc\n", ":2: has 3 cells"),
        ("trn", "no id\n", "write TEXT \\(ID\\)"),
        ("csv", 'id,text\na,"b\n', "is not a table"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=words):
            read_texts(path, "--reference-format", name)
