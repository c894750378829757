"""What ``train.py`` does around a run."""

import runpy
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from asr_attn.errors import ConfigError
from asr_attn.overrides import quote_paths
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

    def fit(config: RunConfig, changed: list[str], renamed: None) -> RunResult:
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
    assert "train.py: training ended before a model was measured" in err
    assert "train.py: 3 of the runs failed" in err
    assert err.count("Traceback") == 1  # of the defect, not of mistakes
    assert train_py("--multirun", "seed=1,4") == 0
    # one run that fails is the whole of it
    assert train_py("seed=2") == 2
    assert "of the runs failed" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "by_clock", "shared"),
    [
        (["trainer.devices=2"], True, True),
        (["trainer.devices=2", "run_dir=runs/${now:%Y}"], True, True),
        (["trainer.devices=2", "run_dir=mine"], False, False),
        (["trainer.devices=1"], True, False),
    ],
)
def test_processes_share_the_run_folder_that_time_names(
    train_py, monkeypatch, arguments, by_clock, shared
):
    found = []

    def fit(
        config: RunConfig, changed: list[str], renamed: Callable[[Path], None] | None
    ) -> RunResult:
        assert (renamed is not None) == by_clock
        folder = Path(config.run_dir)
        if renamed is not None:
            folder = folder.with_name(f"{folder.name}-1")  # the name was taken
            renamed(folder)
        found.append((folder, list(sys.argv)))
        return RunResult(folder, main_process=False)

    monkeypatch.setattr(run, "fit", fit)
    assert train_py(*arguments) == 0
    ((folder, argv),) = found
    assert argv[1:] == [*quote_paths(arguments), *([f'run_dir="{folder}"'] if shared else [])]
    if shared:  # the process that Lightning starts with these arguments
        monkeypatch.setenv("LOCAL_RANK", "1")
        by_clock = False
        assert train_py(*argv[1:]) == 0
        assert found[1][0] == folder
        assert found[1][1][1:] == argv[1:]


def test_sweeps_of_one_moment_have_folders_of_their_own(train_py, monkeypatch, tmp_path):
    folders = []

    def fit(config: RunConfig, changed: list[str], renamed: None) -> RunResult:
        folders.append(Path(config.run_dir))
        return RunResult(folders[-1], dev_wer=0.5)

    monkeypatch.setattr(run, "fit", fit)
    for _ in range(2):
        # a clock that stands still, so that both begin in the same moment
        assert train_py("--multirun", "seed=1,2", "hydra.sweep.dir=sweeps/${now:%Y}") == 0
    assert train_py("-m", "seed=1", "hydra.sweep.dir=mine") == 0
    year = f"{datetime.now():%Y}"
    assert folders == [
        tmp_path / name
        for name in (
            *(f"sweeps/{year}/{i}" for i in "01"),
            *(f"sweeps/{year}-1/{i}" for i in "01"),
            "mine/0",
        )
    ]
    assert (tmp_path / "sweeps" / f"{year}-1" / "multirun.yaml").is_file()
