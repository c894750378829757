"""What ``train.py`` does around a run."""

import runpy
import sys
from pathlib import Path

import pytest

from asr_attn.errors import ConfigError
from asr_attn.settings import RunConfig
from asr_attn.training import run
from asr_attn.training.run import RunResult

ROOT = Path(__file__).parents[1]


@pytest.fixture
def train_py(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs the script with arguments; returns its exit code."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [str(ROOT / "train.py"), *arguments])
        try:
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return call


def test_a_sweep_goes_on_when_a_run_of_it_fails(train_py, monkeypatch, capsys):
    seeds = []

    def fit(config: RunConfig, changed: list[str]) -> RunResult:
        seeds.append(config.seed)
        if config.seed == 2:
            raise ConfigError("the loss was not finite")
        if config.seed == 5:
            raise RuntimeError("a defect")
        wer = None if config.seed == 3 else 0.25
        return RunResult(Path(config.run_dir), dev_wer=wer)

    monkeypatch.setattr(run, "fit", fit)
    assert train_py("--multirun", "seed=1,2,3,5,4") == 2
    assert seeds == [1, 2, 3, 5, 4]
    out, err = capsys.readouterr()
    assert out.count("WER on the validation set: 25.00 %") == 2
    assert "train.py: the loss was not finite" in err
    assert "train.py: RuntimeError: a defect" in err
    assert "train.py: training ended before the first validation" in err
    assert "train.py: 3 of the runs failed" in err
    assert err.count("Traceback") == 1  # of the defect, not of mistakes
    assert train_py("--multirun", "seed=1,4") == 0
    # one run that fails is the whole of it
    assert train_py("seed=2") == 2
    assert "of the runs failed" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "shared"),
    [
        (["trainer.devices=2"], True),
        (["trainer.devices=2", "run_dir=mine"], False),
        (["trainer.devices=1"], False),
    ],
)
def test_processes_share_the_run_folder_that_time_names(train_py, monkeypatch, arguments, shared):
    found = []

    def fit(config: RunConfig, changed: list[str]) -> RunResult:
        found.append((config.run_dir, list(sys.argv)))
        return RunResult(Path(config.run_dir), main_process=False)

    monkeypatch.setattr(run, "fit", fit)
    assert train_py(*arguments) == 0
    ((folder, argv),) = found
    assert argv[1:] == [*arguments, *([f'run_dir="{folder}"'] if shared else [])]
    if shared:  # the process that Lightning starts with these arguments
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert train_py(*argv[1:]) == 0
        assert found[1][0] == folder
        assert found[1][1][1:] == argv[1:]
