import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from asr_attn.config import (
    check_overrides,
    load_lm_settings,
    name_groups,
    register_lm_schemas,
    register_schemas,
    resolve_lm,
    save_settings,
    task_of,
    written_name,
)
from asr_attn.errors import ConfigError
from asr_attn.lm.neural import LstmLmConfig, TransformerLmConfig
from asr_attn.lm_settings import LmRunConfig

CONF = Path(__file__).resolve().parents[1] / "conf"


@pytest.fixture(autouse=True)
def _schemas():
    register_lm_schemas()


def settings(*overrides: str) -> LmRunConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return resolve_lm(compose("lm", overrides=name_groups(overrides, "lm")))


def test_values_of_the_settings_are_those_of_the_dataclasses() -> None:
    found, default = settings(), LmRunConfig()
    assert found.model == default.model == LstmLmConfig()
    assert (found.data, found.tokenizer) == (default.data, default.tokenizer)
    assert found.callbacks == default.callbacks
    assert {**found.optimizer, "betas": (0.9, 0.98), "lr": 1e-3} == default.optimizer
    assert found.scheduler.decay == "cosine"
    assert found.run_dir.startswith("runs/lm/")


def test_models_are_chosen_and_changed() -> None:
    found = settings("model=transformer", "model.layers=2", "task=lm")
    assert found.model == TransformerLmConfig(layers=2)
    found = settings("data.also_train=[a.txt,b.txt]", "scheduler=linear", "trainer=cpu")
    assert found.data.also_train == ("a.txt", "b.txt")
    assert (found.scheduler.decay, found.trainer.accelerator) == ("linear", "cpu")


def test_round_trip(tmp_path: Path) -> None:
    config = settings("model=transformer", "data.train=x.txt", "callbacks.patience=1")
    save_settings(tmp_path / "config.json", config)
    assert load_lm_settings(tmp_path / "config.json") == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.hiden_size=3", "no setting model.hiden_size; did you mean model.hidden_size?"),
        ("model=lstn", r"^model=lstn: .* did you mean lstm\? known: lstm, transformer"),
        ("model.layers=0", "at least 1"),
        ("model.heads=3", "no setting model.heads"),
        ("model.name=gru", "'gru' is not known"),
        ("trainer.max_epochs=many", "trainer.max_epochs: Value 'many'"),
        ("data.tran=x", "did you mean data.train"),
        ("data=digits", "data=...: has no choices here; see python train.py task=lm --help"),
        ("data.batch_tokens=0", "batch_tokens >= 1"),
        ("callbacks.patience=-1", "patience >= 0"),
        ("seed=-1", "seed must be"),
        ("search.beam=3", "no setting search.beam; see python train.py task=lm"),
        ("model=lstm,transformer", "^model=lstm,transformer: several values are several runs"),
        ("task=other", "task='other' is not lm"),
        ("epochs", "KEY=VALUE"),
    ],
)
def test_mistakes_are_explained_in_one_sentence(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check_overrides(name_groups([override], "lm"), CONF, "lm")
    assert "\n" not in str(caught.value)


def test_sweeps_are_checked_by_their_first_value() -> None:
    sweep = name_groups(["--multirun", "model=lstm,transformer", "seed=0,1"], "lm")
    check_overrides(sweep, CONF, "lm")


def test_settings_of_a_recogniser_are_left_as_they_are() -> None:
    register_schemas()
    check_overrides(["model.encoder.hidden_size=64"], CONF)
    with pytest.raises(ConfigError, match=r"no setting model\.hidden_size"):
        check_overrides(["model.hidden_size=64"], CONF)


def test_names_of_groups_come_back() -> None:
    for written in ("model=lstm", "model.layers=2", "scheduler=linear"):
        (hydra_has,) = name_groups([written], "lm")
        assert written_name(hydra_has) == written
        assert name_groups([hydra_has], "lm") == [hydra_has]
    assert written_name("+model.layers") == "model.layers"


def test_task_is_what_is_said_or_what_is_resumed(tmp_path: Path) -> None:
    for name, data in {"asr": {"seed": 1}, "lm": {"task": "lm"}, "odd": [1]}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(data), encoding="utf-8")
    lm, asr, odd = (f"resume={tmp_path / name}" for name in ("lm", "asr", "odd"))
    assert task_of([]) == ("asr", [])
    assert task_of(["task=asr", "seed=1"]) == ("asr", ["seed=1"])
    assert task_of(["seed=1", "task=lm"]) == ("lm", ["seed=1", "task=lm"])
    assert task_of([lm]) == ("lm", [lm])
    assert task_of([asr]) == ("asr", [asr])
    assert task_of([odd])[0] == task_of([f"resume={tmp_path / 'gone'}"])[0] == "asr"
    with pytest.raises(ConfigError, match="task=tts: there is no such task; known: asr, lm"):
        task_of(["task=tts"])
    with pytest.raises(ConfigError, match="task=lm: the run to resume is one of task=asr"):
        task_of(["task=lm", asr])
