"""Runs that are killed, whenever it may be, and go on as if they had not been."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_attn.config import save_settings
from asr_attn.errors import ConfigError
from asr_attn.settings import RunConfig
from asr_attn.training import run as run_module
from asr_attn.training.checkpoints import RunCheckpoints
from asr_attn.training.run import fit


class Killed(BaseException):
    """The process is gone."""


def model_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_a_run_that_had_saved_nothing_begins_anew(
    steady: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunCheckpoints, "save_resume_state", killed)
        with pytest.raises(Killed):
            fit(steady)
    folder = Path(steady.run_dir)
    assert not (folder / "last.ckpt").exists()
    (folder / ".last.ckpt.abc.partial").write_bytes(b"half")
    with pytest.raises(ConfigError, match="holds a run already"):
        fit(steady)
    fit(replace(steady, resume=steady.run_dir, seed=9))  # the seed stays that of the run
    assert "nothing was saved yet, so it begins anew" in capsys.readouterr().err
    assert not list(folder.rglob("*.partial"))
    fit(replace(steady, run_dir=str(tmp_path / "whole")))
    assert model_of(folder) == model_of(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("patience", [0, 1])
def test_a_run_killed_after_its_last_epoch_is_brought_to_its_end(
    steady: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int
) -> None:
    config = replace(
        steady,
        trainer=replace(steady.trainer, max_epochs=8, check_val_every_n_epoch=1),
        callbacks=replace(steady.callbacks, patience=patience),
        # nothing is learnt, so no validation is better than the first
        optimizer={**steady.optimizer, "lr": 1e-12},
    )
    whole = fit(replace(config, run_dir=str(tmp_path / "whole")))

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "average_best", killed)
        with pytest.raises(Killed):
            fit(config)
    epochs = len((Path(config.run_dir) / "metrics.csv").read_text().splitlines()) - 1
    assert (epochs < 8) == (patience > 0)
    found = fit(replace(config, resume=config.run_dir))
    assert found.dev_wer == whole.dev_wer
    assert model_of(Path(config.run_dir)) == model_of(tmp_path / "whole")
    assert len((Path(config.run_dir) / "metrics.csv").read_text().splitlines()) - 1 == epochs
    with pytest.raises(ConfigError, match="this run has finished"):
        fit(replace(config, resume=config.run_dir))


SCRIPT = """
import sys
from pathlib import Path
from dataclasses import replace
from asr_attn.config import load_settings
from asr_attn.training.run import fit
config = load_settings(Path(sys.argv[1]))
fit(replace(config, resume=config.run_dir) if sys.argv[2] == "resume" else config)
print("finished")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of Unix")
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments_a_run_gives_the_weights_of_one_that_was_not(
    steady: RunConfig, tmp_path: Path, seed: int
) -> None:
    config = replace(
        steady,
        # everything random again
        model=replace(steady.model, encoder=replace(steady.model.encoder, dropout=0.2)),
        training=replace(steady.training, scheduled_sampling=0.3),
        optimizer={"_target_": "torch.optim.AdamW", "lr": 1e-3},
        trainer=replace(steady.trainer, max_epochs=40, accumulate_grad_batches=2),
        data=replace(steady.data, loading=replace(steady.data.loading, batch_seconds=1.0)),
        callbacks=replace(steady.callbacks, save_minutes=1e-6),
        run_dir=str(tmp_path / "killed"),
    )
    fit(replace(config, run_dir=str(tmp_path / "whole")))
    save_settings(tmp_path / "config.json", config)
    folder, moments = Path(config.run_dir), random.Random(seed)
    kills, finished = 0, False
    while not finished:
        mode = "resume" if (folder / "config.json").exists() else "start"
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "config.json"), mode]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        if kills < 6:
            # imports take most of the time: count from the first line, or kill before it
            if moments.random() < 0.8:
                process.stderr.readline()
            time.sleep(moments.uniform(0.0, 1.5))
            process.send_signal(signal.SIGKILL)
            kills += 1
        output, errors = process.communicate(timeout=300)
        finished = "finished" in output
        assert finished or process.returncode == -signal.SIGKILL, errors
    assert kills == 6
    states = [
        torch.load(tmp_path / n / "last.ckpt", weights_only=True) for n in ("whole", "killed")
    ]
    for name, weight in states[0]["state_dict"].items():
        assert torch.equal(weight, states[1]["state_dict"][name]), name
    assert model_of(folder) == model_of(tmp_path / "whole")
    assert not list(folder.rglob("*.partial"))
