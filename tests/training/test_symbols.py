"""Training on texts with non-linguistic symbols."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from asr_attn.checkpoint import load_model, save_model
from asr_attn.config import check_overrides, load_settings, register_schemas
from asr_attn.settings import RunConfig
from asr_attn.text.build import TokenizerConfig
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.training.run import fit

SYMBOLS = NormalizerConfig(symbols=("[noise]", "<unk>"), keep_symbols=True)
CONF = Path(__file__).parents[2] / "conf"


@pytest.mark.parametrize("name", ["characters", "words", "bytes"])
def test_a_model_of_symbols_is_trained_stored_and_resumed(
    steady: RunConfig, tones: Path, tmp_path: Path, name: str
) -> None:
    manifest = tmp_path / "noisy.jsonl"
    lines = []
    for line in (tones / "train.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        record["text"] += " [NOISE]"
        record["audio"] = str((tones / record["audio"]).absolute())
        lines.append(json.dumps(record) + "\n")
    manifest.write_text("".join(lines), encoding="utf-8")
    config = replace(
        steady,
        data=replace(steady.data, train=str(manifest), dev=str(manifest)),
        tokenizer=TokenizerConfig(name, normalizer=SYMBOLS),
    )
    fit(config)
    folder = Path(config.run_dir)
    model = load_model(folder)
    assert model.normalizer == SYMBOLS
    assert load_settings(folder / "config.json").tokenizer == config.tokenizer
    ids = model.tokenizer.encode("do [noise] <unk>")
    assert model.tokenizer.decode(ids) == "do [noise] <unk>"
    assert ids[-1] == len(model.tokenizer) - 1
    longer = replace(config.trainer, max_epochs=4)
    again = fit(replace(config, resume=config.run_dir, trainer=longer), ["trainer.max_epochs"])
    assert again.dev_wer is not None
    save_model(tmp_path / "copy.safetensors", model)
    assert load_model(tmp_path / "copy.safetensors").tokenizer == model.tokenizer


def test_models_of_before_have_no_symbols() -> None:
    model = load_model("digits")
    assert model.normalizer.symbols == ()
    assert not model.normalizer.kept_symbols


def test_symbols_are_settings_of_the_command_line() -> None:
    register_schemas()
    keep = "tokenizer.normalizer.keep_symbols=true"
    check_overrides(['tokenizer.normalizer.symbols=["[noise]","<unk>"]', keep], CONF)
