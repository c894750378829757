import csv
import io
import json
import random
import re
from dataclasses import replace

import jiwer
import pytest

from asr_attn.errors import InputError
from asr_attn.evaluation.error_rates import ErrorCounts, count_errors
from asr_attn.evaluation.result_text import csv_table, evaluation_text, markdown_table
from asr_attn.evaluation.results import score_texts
from asr_attn.evaluation.texts import read_pairs


def levenshtein(reference: list[str], hypothesis: list[str]) -> int:
    """The table of Wagner and Fischer."""
    row = list(range(len(hypothesis) + 1))
    for i, r in enumerate(reference, start=1):
        previous, row[0] = row[0], i
        for j, h in enumerate(hypothesis, start=1):
            previous, row[j] = row[j], min(previous + (r != h), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def random_texts(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [
        " ".join(draw.choices(["a", "bb", "ab", "c"], k=draw.randrange(7))) for _ in range(count)
    ]


def test_counts_are_those_of_brute_force_and_of_jiwer():
    references, hypotheses = random_texts(200, 0), random_texts(200, 1)
    for characters in (False, True):
        split = list if characters else str.split
        counts = count_errors(references, hypotheses, characters=characters)
        pairs = [(split(r), split(h)) for r, h in zip(references, hypotheses, strict=True)]
        assert counts.errors == sum(levenshtein(r, h) for r, h in pairs)
        assert counts.total == sum(len(r) for r, _ in pairs)
        # what is inserted lengthens, what is deleted shortens
        grown = sum(len(h) - len(r) for r, h in pairs)
        assert counts.insertions - counts.deletions == grown
        assert counts.sentences == 200
        assert counts.wrong_sentences == sum(r != h for r, h in pairs)
    whole = [(r, h) for r, h in zip(references, hypotheses, strict=True) if r]
    words = count_errors([r for r, _ in whole], [h for _, h in whole])
    assert words.rate == pytest.approx(jiwer.wer([r for r, _ in whole], [h for _, h in whole]))
    letters = count_errors([r for r, _ in whole], [h for _, h in whole], characters=True)
    assert letters.rate == pytest.approx(jiwer.cer([r for r, _ in whole], [h for _, h in whole]))


def test_kinds_of_errors():
    assert count_errors(["a b c"], ["a x c"]) == ErrorCounts(1, 0, 0, 3, 1, 1)
    assert count_errors(["a b c"], ["a c"]) == ErrorCounts(0, 1, 0, 3, 1, 1)
    assert count_errors(["a b c"], ["a b b c"]) == ErrorCounts(0, 0, 1, 3, 1, 1)
    assert count_errors(["", "a"], ["b c", "a"]) == ErrorCounts(0, 0, 2, 1, 1, 2)
    assert count_errors(["a b"], [""]) == ErrorCounts(0, 2, 0, 2, 1, 1)
    assert count_errors([], []) == ErrorCounts()


def test_rates_are_pooled_over_words_not_averaged_over_sentences():
    counts = count_errors(["a", "b c d"], ["x", "b c d"])
    assert counts.rate == 1 / 4
    assert counts.sentence_rate == 1 / 2
    assert counts == count_errors(["a"], ["x"]) + count_errors(["b c d"], ["b c d"])


def test_white_space_is_only_a_separator():
    for characters in (False, True):
        counts = count_errors(["a\tb  c "], [" a b\u00a0c"], characters=characters)
        assert counts.errors == 0
        assert counts.wrong_sentences == 0
        assert counts.total == (5 if characters else 3)


def test_without_reference_words_the_rate_is_not_a_number_of_percent():
    assert count_errors([""], ["a b"]).rate == float("inf")
    assert count_errors([""], [""]).rate == 0.0
    with pytest.raises(InputError, match="there are no references"):
        score_texts([], [])
    with pytest.raises(ValueError, match="2 references but 1"):
        count_errors(["a", "b"], ["a"])


def test_figures_say_the_same_in_json_and_in_text():
    result = score_texts(["ab cd", "e"], ["ab xd f", "e"])
    figures = result.to_dict()
    assert figures["wer"] == pytest.approx(2 / 3)
    assert figures["cer"] == pytest.approx(3 / 6)
    assert figures["words"] == {
        "total": 3, "errors": 2, "substitutions": 1, "deletions": 0, "insertions": 1,
    }  # fmt: skip
    assert figures["sentence_error_rate"] == 0.5
    assert "audio_seconds" not in figures
    lines = [line.split() for line in evaluation_text(result).splitlines()]
    spans = {
        name: f"{100 * low:.2f} to {100 * high:.2f} %".split()
        for name in ("wer", "cer", "sentence_error_rate", "mer", "wil")
        for low, high in (figures[f"{name}_interval"],)
    }
    assert lines[1] == ["WER", "(words)", "66.67", "%", *spans["wer"], "2", "3", "1", "0", "1"]
    assert lines[2][:4] == ["CER", "(characters)", "50.00", "%"]
    assert lines[2][4:] == [*spans["cer"], "3", "6", "1", "0", "2"]
    assert lines[3] == ["sentences", "50.00", "%", *spans["sentence_error_rate"], "1", "2"]
    assert lines[4] == ["MER", "50.00", "%", *spans["mer"]]
    assert lines[5] == ["WIL", "66.67", "%", *spans["wil"]]
    (row,) = csv.DictReader(io.StringIO(csv_table([({"model": "m"}, result)])))
    for name in spans:
        assert [float(row[f"{name}_low"]), float(row[f"{name}_high"])] == figures[
            f"{name}_interval"
        ]
    timed = replace(result, audio_seconds=10.0, recognition_seconds=2.0)
    assert timed.to_dict()["real_time_factor"] == 0.2
    assert "real-time factor 0.200" in evaluation_text(timed)


def refused(reference, hypothesis) -> str:
    with pytest.raises(InputError) as caught:
        read_pairs(reference, hypothesis)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_texts_are_paired_by_line(tmp_path):
    reference, hypothesis = tmp_path / "r.txt", tmp_path / "h.txt"
    reference.write_bytes("\ufeffeins zwei\r\n\r\ndrei\u2028vier\r\n".encode())
    hypothesis.write_bytes(b"eins\n\nzwei")
    pairs = read_pairs(reference, hypothesis)
    references, hypotheses = pairs.references, pairs.hypotheses
    assert references == ["eins zwei", "", "drei\u2028vier"]
    assert hypotheses == ["eins", "", "zwei"]
    hypothesis.write_text("eins\nzwei\n", encoding="utf-8")
    message = refused(reference, hypothesis)
    assert f"{reference} has 3 lines but {hypothesis} has 2" in message
    hypothesis.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in refused(reference, hypothesis)
    assert str(tmp_path / "no") in refused(reference, tmp_path / "no")
    assert "is a folder" in refused(reference, tmp_path)
    assert "h.jsonl cannot be read" in refused(reference, tmp_path / "h.jsonl")


def test_json_lines_are_paired_by_id(tmp_path):
    reference, hypothesis = tmp_path / "r.jsonl", tmp_path / "h.jsonl"
    reference.write_text(
        '{"id": "b", "text": "x"}\n\n{"id": "a", "text": "y", "audio": 3}\n', encoding="utf-8"
    )
    hypothesis.write_text('{"id": "a", "text": "1"}\n{"id": "b", "text": "2"}', encoding="utf-8")
    pairs = read_pairs(reference, hypothesis)
    assert (pairs.references, pairs.hypotheses) == (["x", "y"], ["2", "1"])
    extra = "".join(f'{{"id": "n{i}", "text": ""}}\n' for i in range(8))
    hypothesis.write_text('{"id": "a", "text": "1"}\n' + extra, encoding="utf-8")
    message = refused(reference, hypothesis)
    assert re.search(r"1 only in \S*r\.jsonl \(b\)", message)
    assert re.search(r"8 only in \S*h\.jsonl \(n0, n1, n2, n3, n4 and 3 more\)", message)
    for line, words in [
        ('{"id": "b", "text": "1"', ":2: is not JSON"),
        ('{"id": "b"}', ':2: lacks an "id" or a "text"'),
        ('["b"]', ':2: lacks an "id" or a "text"'),
        ('{"id": "a", "text": "2"}', ":2: id 'a' is given twice"),
    ]:
        hypothesis.write_text('{"id": "a", "text": "1"}\n' + line, encoding="utf-8")
        assert words in refused(reference, hypothesis)


def cheapest(reference: list[str], hypothesis: list[str]) -> set[tuple[int, int]]:
    """Cost and errors of all alignments under the weights of NIST's sclite."""
    if not reference or not hypothesis:
        rest = len(reference) + len(hypothesis)
        return {(3 * rest, rest)}
    same = reference[0] == hypothesis[0]
    found = set()
    for cost, errors, i, j in ((0 if same else 4, int(not same), 1, 1), (3, 1, 1, 0), (3, 1, 0, 1)):
        found |= {(c + cost, e + errors) for c, e in cheapest(reference[i:], hypothesis[j:])}
    return found


def test_sclite_may_count_more_errors_but_never_fewer():
    # documented in docs/evaluation.md
    costs = cheapest(list("abcde"), list("ceaaa"))
    least = min(cost for cost, _ in costs)
    assert {errors for cost, errors in costs if cost == least} == {6}
    assert count_errors(["a b c d e"], ["c e a a a"]).errors == 5


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@pytest.mark.parametrize("hypotheses", [["two three", ""], ["", ""]])
def test_a_set_without_words_has_no_rate_but_insertions(hypotheses):
    result = score_texts(["", ""], hypotheses)
    count = sum(len(text.split()) for text in hypotheses)
    figures = json.loads(
        json.dumps(result.to_dict(), allow_nan=False), parse_constant=refuse_constant
    )
    assert figures["wer"] is figures["cer"] is None
    assert figures["wer_interval"] is figures["cer_interval"] is figures["wil_interval"] is None
    assert figures["words"]["insertions"] == figures["hallucinations"]["words"] == count
    text = evaluation_text(result)
    assert f"no reference words, so there is no WER; inserted: {count}" in text
    (row,) = csv.DictReader(io.StringIO(csv_table([({"model": "m"}, result)])))
    assert row["wer_low"] == row["wer_high"] == ""
    for shown in (text, csv_table([({}, result)]), markdown_table([({}, result)])):
        assert not re.search(r"\b(inf|nan)\b", shown.lower())
