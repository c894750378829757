"""Services that get figures: reached before a run begins, and never the end of one.

MLflow and Weights & Biases are not installed with the tests. ``FakeMlflow`` and ``FakeWandb`` stand
for what is called of them: ``mlflow.tracking.MlflowClient`` and ``wandb.login``. They fail as
MLflow 3.17 and wandb 0.31 do; where the packages are installed, the real ones are tried as well.
"""

import importlib.util
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import lightning.pytorch as pl
import pytest

from asr_attn.errors import ConfigError
from asr_attn.lm_settings import LmRunConfig, TextConfig
from asr_attn.settings import LoggerConfig, RunConfig, TrainerConfig
from asr_attn.training import loggers
from asr_attn.training.lm_run import fit_lm
from asr_attn.training.loggers import PatientMlflow, begin_runs, make_loggers, reach_loggers
from asr_attn.training.run import fit

NO_FOLDERS = """The filesystem tracking backend (e.g., './mlruns') is in maintenance mode.
Set `MLFLOW_ALLOW_FILE_STORE=true` to opt out of this exception."""


def installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


class FakeMlflow(ModuleType):
    """``mlflow.tracking`` of a server that does not answer, or that keeps no runs in folders."""

    def __init__(self) -> None:
        super().__init__("mlflow.tracking")
        self.asked: list[str] = []

    def MlflowClient(self, uri: str) -> "FakeMlflow":  # noqa: N802 - as it is called there
        if uri.startswith("file:"):
            raise RuntimeError(NO_FOLDERS)
        self.asked.append(uri)
        return self

    def get_experiment_by_name(self, name: str) -> None:
        raise RuntimeError("API request failed: connection refused.\nmore")


class FakeWandb(ModuleType):
    """``wandb`` on a machine where nobody is logged in."""

    def login(self, verify: bool) -> bool:
        assert verify
        raise RuntimeError("No API key configured. Use `wandb login` to log in.")


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> FakeMlflow:
    for name in loggers._PATIENCE:
        monkeypatch.delenv(name, raising=False)
    tracking = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", ModuleType("mlflow"))
    monkeypatch.setitem(sys.modules, "mlflow.tracking", tracking)
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb("wandb"))
    return tracking


CASES = [
    ({"mlflow": "http://localhost:9"}, r"logger\.mlflow=http://localhost:9: .*refused; see that"),
    ({"mlflow": "file:mlruns"}, r"logger\.mlflow=file:mlruns: .*no runs in folders.*sqlite:///"),
    ({"wandb": "speech"}, r"logger\.wandb=speech: No API key configured.* WANDB_MODE=offline"),
]


@pytest.mark.parametrize(("service", "message"), CASES)
def test_a_service_that_cannot_be_reached_is_told_before_the_folder_is_made(
    steady: RunConfig, tmp_path: Path, fakes: FakeMlflow, service: dict[str, str], message: str
) -> None:
    logger = LoggerConfig(tensorboard=False, **service)
    with pytest.raises(ConfigError, match=message):
        fit(replace(steady, logger=logger))
    assert not Path(steady.run_dir).exists()
    text = tmp_path / "text.txt"
    text.write_text("do re mi\n", encoding="utf-8")
    lm = LmRunConfig(
        run_dir=steady.run_dir,
        data=TextConfig(train=str(text), dev=str(text)),
        trainer=TrainerConfig(accelerator="cpu"),
        logger=logger,
    )
    with pytest.raises(ConfigError, match=message):
        fit_lm(lm)
    assert not Path(steady.run_dir).exists()


def test_a_resumed_run_may_leave_a_service_out(steady: RunConfig, fakes: FakeMlflow) -> None:
    fit(replace(steady, trainer=replace(steady.trainer, check_val_every_n_epoch=1)))
    longer = replace(steady, resume=steady.run_dir, trainer=replace(steady.trainer, max_epochs=4))
    away = replace(longer, logger=LoggerConfig(tensorboard=False, wandb="speech"))
    with pytest.raises(ConfigError, match="No API key"):
        fit(away, ["trainer.max_epochs", "logger.wandb"])
    assert not fit(longer, ["trainer.max_epochs", "logger.wandb"]).stopped


def test_a_server_that_goes_away_does_not_end_the_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = 0

    def gone(self: Any, *_: Any) -> None:
        nonlocal calls
        calls += 1
        raise OSError("the server is gone")

    # the class that is extended asks for the package when it is made
    monkeypatch.setattr("lightning.pytorch.loggers.MLFlowLogger.log_metrics", gone)
    monkeypatch.setattr("lightning.pytorch.loggers.MLFlowLogger.finalize", gone)
    logger = PatientMlflow.__new__(PatientMlflow)
    for step in range(3):
        logger.log_metrics({"loss": 1.0}, step)
    logger.finalize()
    assert calls == 1
    assert capsys.readouterr().err == (
        "note: logger.mlflow: the server is gone; no more figures are sent there\n"
    )


def test_a_service_may_refuse_the_run_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Any) -> None:
        raise RuntimeError("permission denied to access speech")

    monkeypatch.setattr("lightning.pytorch.loggers.WandbLogger.experiment", property(refused))
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.loggers = [pl.loggers.WandbLogger.__new__(pl.loggers.WandbLogger)]
    with pytest.raises(ConfigError, match=r"logger\.wandb: permission denied to access speech"):
        begin_runs(trainer)


@pytest.mark.parametrize(("name", "value"), [("mlflow", "file:mlruns"), ("wandb", "speech")])
def test_a_logger_whose_package_is_missing_says_so(name: str, value: str, tmp_path: Path) -> None:
    if installed(name):
        pytest.skip(f"{name} is installed")
    config = LoggerConfig(tensorboard=False, **{name: value})
    with pytest.raises(ConfigError, match=f"logger.{name}: needs the package {name}"):
        make_loggers(config, tmp_path)
    with pytest.raises(ConfigError, match=f"logger.{name}: needs the package {name}"):
        reach_loggers(config, Path())


def test_loggers_are_those_that_are_asked_for(tmp_path: Path) -> None:
    assert make_loggers(LoggerConfig(tensorboard=False), tmp_path) == []
    (board,) = make_loggers(LoggerConfig(), tmp_path)
    assert str(board.save_dir) == str(tmp_path)


@pytest.mark.skipif(not installed("mlflow"), reason="MLflow is not installed")
def test_the_real_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steady: RunConfig
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in loggers._PATIENCE:
        monkeypatch.setenv(name, loggers._PATIENCE[name])
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"logger\.mlflow=http://localhost:9: cannot be used"):
        reach_loggers(LoggerConfig(mlflow="http://localhost:9"), Path())
    assert time.monotonic() - began < 60
    database = LoggerConfig(tensorboard=False, mlflow="sqlite:///mlruns.db")
    assert fit(replace(steady, logger=database)).dev_wer is not None


@pytest.mark.skipif(not installed("wandb"), reason="wandb is not installed")
def test_the_real_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steady: RunConfig) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    config = LoggerConfig(tensorboard=False, wandb="speech")
    with pytest.raises(ConfigError, match=r"logger\.wandb=speech: .*log in"):
        reach_loggers(config, Path())
