import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from asr_attn import cli
from asr_attn.commands.arguments import add_transcribe
from asr_attn.commands.searching import read_search, search_config, search_lines
from asr_attn.commands.tune_report import Measured, Report
from asr_attn.config import register_schemas, resolve
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.errors import InputError
from asr_attn.evaluation import tuning_searches
from asr_attn.evaluation.error_rates import count_errors
from asr_attn.evaluation.tuning import Weights
from asr_attn.recognizer import load

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def lm(asr, model_file, tmp_path) -> Path:
    source, path = tmp_path / "said.txt", tmp_path / "tokens.arpa"
    source.write_text("a b\nb a\na b a\n" * 3, encoding="utf-8")
    options = ("--order", 2, "--units", "tokens", "--model", model_file)
    assert asr("lm", "train", source, "--output", path, *options)[0] == 0
    return path


def composed(file: Path, folder: Path) -> SearchConfig:
    """The search of a training that chooses the file."""
    register_schemas()
    shutil.copytree(CONF, folder)
    shutil.copy(file, folder / "search" / "own.yaml")
    with initialize_config_dir(str(folder), version_base="1.3"):
        return resolve(compose("train", overrides=["search=own"])).search


@pytest.mark.parametrize("with_lm", [False, True])
def test_what_is_found_is_used_as_it_is_told(
    asr, model_file, manifest, recordings, tmp_path, lm, with_lm
):
    output = tmp_path / "search.yaml"
    options = ("--beam", 3, "--trials", 50, "--output", output, *(("--lm", lm) if with_lm else ()))
    arguments = ("tune", model_file, manifest, *options)
    code, out, err = asr(*arguments, "--format", "json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    settings = read_search(output)
    assert settings == figures["search"]
    config = SearchConfig(**settings)
    assert composed(output, tmp_path / "conf") == config
    assert (config.beam, config.lm) == (3, str(lm) if with_lm else None)
    tried = [figures["untuned"], *figures["tuned"]]
    best = min(tried, key=lambda t: t["errors"])
    assert {name: best[name] for name in settings} == settings
    for setting in tried:  # each was searched with as the other commands do it
        own = tmp_path / "own.yaml"
        names = settings.keys() & setting.keys()
        own.write_text(search_lines({name: setting[name] for name in names}), encoding="utf-8")
        out = asr("evaluate", model_file, manifest, "--search", own, "--format", "json")[1]
        assert json.loads(out)["words"]["errors"] == setting["errors"]
    audio = recordings / "0.wav"
    said = asr("transcribe", model_file, audio, "--search", output)[1]
    assert said.strip() == load(model_file, search=config).transcribe(audio).text
    before = output.read_text(encoding="utf-8")
    assert f"asr-attn tune {model_file}" in before
    assert "--seed 0" in before
    code, out, _ = asr(*arguments)
    assert code == 0
    assert output.read_text(encoding="utf-8") == before
    assert "untuned" in out
    assert "measured on the other" in out


def test_untuned_is_what_the_other_commands_do(asr, model_file, manifest, tmp_path):
    output = tmp_path / "search.yaml"
    options = ("--trials", 1, "--output", output, "--format", "json")
    figures = json.loads(asr("tune", model_file, manifest, *options)[1])
    plain = json.loads(asr("evaluate", model_file, manifest, "--format", "json")[1])
    assert figures["untuned"]["beam"] == 1
    assert figures["untuned"]["errors"] == plain["words"]["errors"]
    assert {t["beam"] for t in figures["tuned"]} == {10}


def test_the_pools_are_given_what_the_best_weights_find(asr, model_file, manifest, monkeypatch):
    searched, sizes = {}, []

    def watched(model, batches, settings, config, found, *rest):
        best = collect(model, batches, settings, config, found, *rest)
        for weights, hypotheses in best.items():
            texts = [model.tokenizer.decode(h.tokens) for h in hypotheses]
            spaced = [" ".join(text.split()) for text in texts]
            errors = (count_errors(["a b"] * len(texts), spaced, characters=c) for c in (0, 1))
            searched[weights] = [each.errors for each in errors]
        sizes.append(sum(map(len, found)))
        return best

    collect = tuning_searches.collect
    monkeypatch.setattr(tuning_searches, "collect", watched)
    monkeypatch.setattr(
        tuning_searches,
        "POOLED",
        [Weights(0.9, length_bonus=b, length_exponent=0.0) for b in (2.0, 1.5)],
    )
    options = ("--beam", 2, "--trials", 40, "--output", manifest.with_name("s.yaml"))
    figures = json.loads(asr("tune", model_file, manifest, *options, "--format", "json")[1])
    assert len(searched) == 2 + len(sizes[1:]) > 3  # none is searched with twice
    assert sizes[1] > sizes[0]
    assert sizes == sorted(sizes)
    # those are tried in earnest whose searches made the fewest errors
    best = [asdict(weights) for weights in sorted(searched, key=searched.__getitem__)[:3]]
    assert len(figures["tuned"]) == len(best)
    for tried, weights in zip(figures["tuned"], best, strict=True):
        assert {name: tried[name] for name in weights.keys() & tried} == {
            name: weights[name] for name in weights.keys() & tried
        }


ARGS = argparse.Namespace(
    checkpoint="runs/a b", manifest="dev\n.jsonl", lm=None, beam=None, metric="auto",
    trials=7, seed=0, output="s\x07\udcff.yaml",
)  # fmt: skip


def report(
    before: list[int],
    after: list[int],
    held_out: list[int],
    characters: int = 0,
    metric: str = "wer",
) -> Report:
    def measured(name: str, config: SearchConfig, errors: list[int], more: int) -> Measured:
        return Measured(name, config, np.array([[e, e + more] for e in errors]))

    tuned = SearchConfig(beam=4, ctc_weight=0.25, length_bonus=1.5, length_exponent=0.0)
    return Report(
        ARGS,
        np.tile([10, 40], (len(before), 1)),
        measured("untuned", SearchConfig(), before, 1),
        [measured("tuned, 1", tuned, after, 1 - characters)],
        np.stack([held_out, held_out], axis=1),
        metric,
    )


def test_a_gain_is_told_by_recordings_that_were_not_tuned_on(tmp_path):
    path = tmp_path / "s.yaml"
    many = [2] * 20
    real = report(many, [0] * 20, [1, 0] * 10)
    assert "fewer errors on recordings of this kind" in real.to_text()
    assert "0.00 %, -20.00 points (95 %: -20.00 to -20.00)" in real.to_text()
    assert "5.00 %, -15.00 points" in real.to_text()
    figures = json.loads(real.to_json())
    assert figures["change"] == {"change": -0.2, "low": -0.2, "high": -0.2, "level": 0.95}
    assert figures["other_half"]["low"] < -0.15 < figures["other_half"]["high"] < 0
    # the interval of a mean of independent values, by the normal distribution
    spread = 1.96 * 0.05 / np.sqrt(20)
    assert figures["other_half"]["low"] == pytest.approx(-0.15 - spread, abs=0.004)
    path.write_text(real.to_config(), encoding="utf-8")
    assert read_search(path) == {
        "beam": 4, "ctc_weight": 0.25, "length_bonus": 1.5, "length_exponent": 0.0
    }  # fmt: skip
    chance = report(many, [0] * 20, [1, 3] * 10)
    assert "may be chance" in chance.to_text()


@pytest.mark.parametrize("characters", [-1, 1])
def test_the_untuned_search_stays_where_no_other_makes_fewer_word_errors(characters):
    equal = report([1, 2], [2, 1], [1, 2], characters)
    assert equal.best is equal.untuned
    assert "no weights were found" in equal.to_text()
    assert "\nbeam: 1\n" in equal.to_config()
    assert "# no weights were found" in equal.to_config()
    assert report([1, 2], [1, 1], [1, 2]).best.name == "tuned, 1"


def test_characters_can_be_what_is_tuned():
    # the same wrong words, fewer wrong characters
    found = report([1, 2], [1, 2], [1, 2], characters=1, metric="cer")
    assert found.best.name == "tuned, 1"
    text = found.to_text()
    assert text.split()[:1] == ["CER"]
    assert "6.25 %" in text  # 5 of 80 characters before
    assert "3.75 %" in text  # 3 of 80
    figures = json.loads(found.to_json())
    assert figures["metric"] == "cer"
    assert (figures["untuned"]["wer"], figures["untuned"]["cer"]) == (3 / 20, 5 / 80)
    assert "# CER untuned 6.25 %, tuned 3.75 %" in found.to_config()


def test_texts_without_spaces_are_tuned_by_cer(asr, model_file, manifest, tmp_path):
    spaceless = manifest.with_name("zh.jsonl")
    text = manifest.read_text(encoding="utf-8").replace("A b.", "\u4f60\u597d")
    spaceless.write_text(text, encoding="utf-8")
    options = ("--beam", 1, "--trials", 5, "--output", tmp_path / "s.yaml", "--format", "json")
    code, out, err = asr("tune", model_file, spaceless, *options)
    assert code == 0
    assert "so CER is tuned" in err
    assert json.loads(out)["metric"] == "cer"
    assert json.loads(asr("tune", model_file, manifest, *options)[1])["metric"] == "wer"
    chosen = asr("tune", model_file, spaceless, *options, "--metric", "wer")
    assert json.loads(chosen[1])["metric"] == "wer"


def arguments_of(*words: str):
    parser = cli.Parser()
    add_transcribe(parser.add_subparsers())
    return parser.parse_args(["transcribe", "m", "a.wav", *words])


def test_what_is_given_beside_the_file_counts_more(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("beam: 7\nctc_weight: 3e-1\nlength_exponent: 0.5\n", encoding="utf-8")
    config = search_config(arguments_of("--search", str(path), "--ctc-weight", "0.1"))
    assert (config.beam, config.ctc_weight, config.length_exponent) == (7, 0.1, 0.5)
    config = search_config(arguments_of("--search", str(path), "--beam", "2"))
    assert (config.beam, config.ctc_weight) == (2, 0.3)
    config = search_config(arguments_of("--search", str(path), "--length-bonus", "0.2"))
    assert (config.length_bonus, config.length_exponent) == (0.2, 0.0)
    path.write_text("internal_lm_weight: 0.2\n", encoding="utf-8")
    config = search_config(arguments_of("--search", str(path), "--lm", "a.arpa"))
    assert (config.lm, config.internal_lm_weight) == ("a.arpa", 0.2)
    with pytest.raises(InputError, match="makes way for a language model"):
        search_config(arguments_of("--search", str(path)))
    path.write_text("length_bonus: 0.5\n", encoding="utf-8")
    config = search_config(arguments_of("--search", str(path)))
    assert (config.length_bonus, config.length_exponent) == (0.5, 0.0)
    config = search_config(arguments_of("--search", str(path), "--length-exponent", "0.4"))
    assert (config.length_bonus, config.length_exponent) == (0.0, 0.4)


@pytest.mark.parametrize(
    "lm", ["a: b #c.arpa", "é.arpa", 'x"y\\z.arpa', "tab\t.arpa", "true", "1e3", "~", "'"]
)
def test_settings_are_read_as_they_were_written(tmp_path, lm):
    path = tmp_path / "s.yaml"
    settings = {"beam": 5, "lm": lm, "lm_weight": 1e-07, "length_bonus": 0.0, "ctc_weight": 0.1}
    path.write_text(search_lines(settings), encoding="utf-8")
    assert read_search(path) == settings
    assert SearchConfig(**read_search(path)) == SearchConfig(**settings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ctc_wieght: 0.3\n", "ctc_wieght is no setting of the search; did you mean ctc_weight?"),
        ("beam: many\n", "beam must be a whole number, not 'many'"),
        ("beam: 2.5\n", "beam must be a whole number"),
        ("beam: .inf\n", "beam must be a whole number"),
        ("ctc_weight: yes\n", "ctc_weight must be a number"),
        ("ctc_weight: .nan\n", "ctc_weight must be a number"),
        ("max_tokens_per_step: .inf\n", "max_tokens_per_step must be a number"),
        ("ctc_weight: [0.1]\n", "ctc_weight must be a number"),
        ("ctc_weight: 7\n", "ctc_weight is a share from 0 to 1"),
        ("beam: 0\n", "beam must be at least 1"),
        ("length_bonus: 1\nlength_exponent: 1\n", "length_exponent divides scores"),
        ("beam: 2\nctc_weight: 0.1\nbeam: 3\n", "beam is given twice"),
        ("- 1\n", "has no settings"),
        ("", "has no settings"),
        ("a: [\n", "cannot be read (it is not YAML)"),
    ],
)
def test_files_that_are_no_settings_are_refused(
    refused, model_file, recordings, tmp_path, text, words
):
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    message = refused("transcribe", model_file, recordings / "0.wav", "--search", path)
    assert f"--search {path}: {words}" in message
    assert "No such file" in refused(
        "transcribe", model_file, recordings / "0.wav", "--search", tmp_path / "none.yaml"
    )


def test_bad_input_writes_nothing(refused, model_file, manifest, tmp_path):
    output = tmp_path / "s.yaml"
    end = ("--output", output)
    assert "no such" in refused("tune", tmp_path / "none.safetensors", manifest, *end)
    assert "is read" in refused("tune", model_file, manifest, "--output", manifest)
    assert "whole number" in refused("tune", model_file, manifest, *end, "--trials", 0)
    assert "'-1' is not a whole number" in refused("tune", model_file, manifest, *end, "--seed=-1")
    assert "none.arpa" in refused("tune", model_file, manifest, *end, "--lm", "none.arpa")
    (manifest.parent / "3.wav").write_bytes(b"")
    assert "3.wav" in refused("tune", model_file, manifest, *end, "--trials", 5)
    assert not list(tmp_path.glob("*.yaml*"))
    assert not list(tmp_path.glob(".*"))


def test_an_output_that_cannot_be_written_is_told_before_the_work(
    refused, model_file, manifest, tmp_path, monkeypatch
):
    monkeypatch.setattr("asr_attn.commands.tune._tuned", lambda args: pytest.fail("worked"))
    assert "it is a folder" in refused("tune", model_file, manifest, "--output", tmp_path)
