import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from asr_attn.config import (
    check_overrides,
    load_settings,
    register_schemas,
    resolve,
    save_settings,
)
from asr_attn.errors import ConfigError
from asr_attn.models.asr import AsrModel
from asr_attn.settings import RunConfig

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
CHOICES = [
    f"{path.parent.relative_to(CONF).as_posix()}={path.stem}"
    for path in sorted(CONF.rglob("*.yaml"))
    if path.parent != CONF
]


def settings(*overrides: str) -> RunConfig:
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return resolve(compose("train", overrides=list(overrides)))


@pytest.mark.parametrize("choice", CHOICES)
def test_every_shipped_config_composes_and_builds(choice: str) -> None:
    if choice.endswith("optuna"):
        pytest.importorskip("optuna", reason='pip install "asr-attn[sweeps]"')
    config = settings(choice)
    model = AsrModel(config.features, config.model, vocabulary_size=20)
    assert model.parameter_count() > 0


def test_every_group_has_a_choice() -> None:
    groups = {choice.split("=")[0] for choice in CHOICES}
    assert groups >= {
        "data",
        "features",
        "tokenizer",
        "model",
        "search",
        "optimizer",
        "scheduler",
        "trainer",
        "callbacks",
        "logger",
        "experiment",
    } - {"optimizer"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.encodr.hidden_size=64", "did you mean model.encoder.hidden_size"),
        ("model.encoder.hiden_size=64", "did you mean model.encoder.hidden_size"),
        ("trainer.max_epoch=3", "did you mean trainer.max_epochs"),
        ("optimizer.learning_rate=1", "there is no setting optimizer.learning_rate"),
        ("sed=1", "did you mean seed"),
        ("trainer.max_epochs=many", "trainer.max_epochs: Value 'many'"),
        ("optimizer.lr=fast", "optimizer.lr: Value 'fast'"),
        ("data=fssd", "did you mean fsdd"),
        ("model/attention=locaton", "did you mean location"),
        ("model.encoder.hidden_size=191", "multiple of"),
        ("model.encoder.name=listner", "did you mean 'listener'"),
        ("scheduler.decay=cosin", "not one of constant, linear, cosine"),
        ("features.sample_rate=44100", "must be the same"),
        ("data.loading.curriculum=[{until:2,max_words:1}]", "0 < until <= 1"),
        ("training.ctc_weight=1.5", "share from 0 to 1"),
        ("trainer.strategy=fsdp", "use trainer.strategy=ddp"),
        ("+extra=1", "extra"),
        ("epochs", "KEY=VALUE"),
        ("data.train=[a", "KEY=VALUE"),
    ],
)
def test_a_wrong_setting_is_explained_in_one_sentence(override: str, message: str) -> None:
    register_schemas()
    with pytest.raises(ConfigError) as caught:
        check_overrides([override], CONF)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_setting_is_found_beside_groups() -> None:
    register_schemas()
    before = ["experiment=fsdd_single", "model/attention=location", "hydra.job.chdir=true"]
    overrides = [*before, "training.ctc_wieght=0.2"]
    with pytest.raises(ConfigError, match=r"no setting training\.ctc_wieght; did you mean"):
        check_overrides(overrides, CONF)


def test_sweeps_and_flags_pass_the_check() -> None:
    register_schemas()
    check_overrides(["--multirun", "seed=0,1,2", "trainer.max_epochs=range(1,4)"], CONF)
    check_overrides(["--help"], CONF)
    with pytest.raises(ConfigError, match="did you mean seed"):
        check_overrides(["--multirun", "sed=0,1"], CONF)
    with pytest.raises(ConfigError, match="--multirun"):
        check_overrides(["seed=0,1"], CONF)


def test_numbers_in_exponent_notation_are_numbers() -> None:
    assert settings("optimizer.lr=1e-3").optimizer["lr"] == 0.001


def test_settings_survive_json(tmp_path: Path) -> None:
    config = settings("data=fsdd", "seed=3", "data.loading.mixing.share=0.5")
    save_settings(tmp_path / "config.json", config)
    assert load_settings(tmp_path / "config.json") == config


def test_damaged_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with pytest.raises(ConfigError, match="no such file"):
        load_settings(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(path)
    path.write_text('{"sed": 1}', encoding="utf-8")
    with pytest.raises(ConfigError, match="sed"):
        load_settings(path)


def test_schemas_can_be_changed_though_dataclasses_are_frozen() -> None:
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", overrides=["model.decoder.layers=2"])
    assert OmegaConf.select(config, "model.decoder.layers") == 2


def slow(*values: object) -> Any:
    """A case that is tried with -m slow: each takes seconds of imports."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("arguments", "code", "stdout", "stderr"),
    [
        (["--help"], 0, "Groups and what each may be", ""),
        slow(["--cfg", "job"], 0, "hidden_size", ""),
        (["model.encodr.x=1"], 2, "", "train.py: there is no setting"),
        slow(["model.attention=gmm", "--cfg", "job"], 0, "components: 5", ""),
        slow(["model.attention=gmmm"], 2, "", "did you mean gmm?"),
        slow(["model.decoder=transformer"], 2, "", "set model/attention=scaled_dot"),
        slow(["data=manifests"], 2, "", "data.train is not set"),
        (["data=manifests", "data.train=none.jsonl"], 2, "", "no such manifest"),
    ],
)
def test_train_py_on_the_command_line(
    arguments: list[str], code: int, stdout: str, stderr: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert stdout in done.stdout
    assert stderr in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_intervals_of_a_sweep_are_checked_by_their_start():
    check_overrides(["--multirun", "optimizer.lr=interval(0.001,0.01)"], CONF)
    check_overrides(["--multirun", "optimizer.lr=tag(log,interval(0.001,0.01))"], CONF)
    with pytest.raises(ConfigError, match=r"search\.beam"):
        check_overrides(["--multirun", "search.beam=interval(-1.5,2)"], CONF)
    with pytest.raises(ConfigError, match="add --multirun"):
        check_overrides(["optimizer.lr=interval(0.001,0.01)"], CONF)


def test_a_sweeper_that_is_missing_names_its_package():
    if importlib.util.find_spec("optuna") is not None:
        pytest.skip("hydra-optuna-sweeper is installed")
    with pytest.raises(ConfigError, match="needs the package hydra-optuna-sweeper"):
        check_overrides(["--multirun", "experiment=fsdd_optuna"], CONF)


def test_settings_of_a_part_that_is_null_are_explained():
    with pytest.raises(ConfigError, match=r"^data\.digits\.train: belongs to a part that is null"):
        check_overrides(["data=manifests", "data.digits.train=5"], CONF)
