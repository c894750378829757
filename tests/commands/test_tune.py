import json
from dataclasses import asdict

import pytest
from hydra import compose, initialize_config_dir

from asr_attn import cli
from asr_attn.commands.arguments import add_transcribe
from asr_attn.commands.searching import read_search, search_config
from asr_attn.config import register_schemas
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.recognizer import load


def test_what_is_found_is_used_as_it_is_told(asr, model_file, manifest, recordings, tmp_path):
    output = tmp_path / "search.yaml"
    arguments = ("tune", model_file, manifest, "--beam", 3, "--trials", 50, "--output", output)
    code, out, _ = asr(*arguments, "--format", "json")
    assert code == 0
    figures = json.loads(out)
    settings = read_search(output)
    assert settings == figures["search"]
    assert settings["beam"] == 3
    config = SearchConfig(**settings)
    tried = [figures["untuned"], *figures["tuned"]]
    best = min(tried, key=lambda t: t["errors"])
    assert asdict(config).items() >= {k: best[k] for k in ("ctc_weight", "length_exponent")}.items()
    code, out, _ = asr("evaluate", model_file, manifest, "--search", output, "--format", "json")
    assert json.loads(out)["words"]["errors"] == best["errors"]
    audio = recordings / "0.wav"
    said = asr("transcribe", model_file, audio, "--search", output)[1]
    assert said.strip() == load(model_file, search=config).transcribe(audio).text
    # the same again, by the same seed
    before = output.read_text(encoding="utf-8")
    assert asr(*arguments)[0] == 0
    assert output.read_text(encoding="utf-8") == before


def test_the_file_is_a_choice_of_the_training_as_well(tmp_path):
    register_schemas()
    (tmp_path / "search").mkdir()
    lines = "beam: 7\nctc_weight: 0.25\nlength_bonus: 0.0\nlength_exponent: 0.4\n"
    (tmp_path / "search" / "own.yaml").write_text(lines, encoding="utf-8")
    (tmp_path / "own.yaml").write_text("defaults: [schema, search: own, _self_]\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        config = compose("own")
    assert (config.search.beam, config.search.ctc_weight) == (7, 0.25)


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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ctc_wieght: 0.3\n", "ctc_wieght is no setting of the search; did you mean ctc_weight?"),
        ("beam: many\n", "beam must be a whole number, not 'many'"),
        ("beam: 2.5\n", "beam must be a whole number"),
        ("ctc_weight: yes\n", "ctc_weight must be a number"),
        ("ctc_weight: 7\n", "search.ctc_weight is a share from 0 to 1"),
        ("- 1\n", "has no settings"),
        ("", "has no settings"),
        ("a: [\n", "not YAML"),
    ],
)
def test_files_that_are_no_settings_are_refused(
    refused, model_file, recordings, tmp_path, text, words
):
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    assert words in refused("transcribe", model_file, recordings / "0.wav", "--search", path)


def test_bad_input_writes_nothing(refused, model_file, manifest, tmp_path):
    output = tmp_path / "s.yaml"
    end = ("--output", output)
    assert "no such" in refused("tune", tmp_path / "none.safetensors", manifest, *end)
    assert "is read" in refused("tune", model_file, manifest, "--output", manifest)
    assert "whole number" in refused("tune", model_file, manifest, *end, "--trials", 0)
    (manifest.parent / "3.wav").write_bytes(b"")
    assert "3.wav" in refused("tune", model_file, manifest, *end, "--trials", 5)
    assert not output.exists()
