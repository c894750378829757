"""``python train.py`` as a user runs it: train, interrupt, resume, evaluate."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asr_attn.checkpoint import load_model
from asr_attn.config import load_settings
from tests.training.conftest import copied

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "data=manifests",
    "data.sample_rate=8000",
    "data.loading.batch_seconds=2.5",
    "features.n_mels=24",
    "model.encoder.hidden_size=32",
    "model.encoder.feedforward_size=32",
    "model.encoder.recurrent_layers=2",
    "model.encoder.attention_layers=1",
    "model.decoder.hidden_size=32",
    "model.attention.size=16",
    "trainer.max_epochs=6",
    "trainer.check_val_every_n_epoch=3",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "callbacks.pictures=0",
    "logger.tensorboard=false",
]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one child")
def test_train_interrupt_resume_evaluate(tones: Path, tmp_path: Path) -> None:
    manifest = tones / "train.jsonl"
    run = tmp_path / "é = (1), it's #&"
    command = [sys.executable, str(ROOT / "train.py")]
    files = [f"data.{split}={manifest}" for split in ("train", "dev", "test")]
    process = subprocess.Popen(
        [*command, *TINY, *files, f"run_dir={run}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 2/6"):
            break
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert f"go on with: python train.py {shlex.quote(f'resume={run}')}\n" in stdout
    assert "Traceback" not in stderr

    refused = subprocess.run(
        [*command, f"resume={run}", "optimizer.lr=1"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "optimizer.lr: a resumed run keeps its settings" in refused.stderr

    advice = stdout.rpartition("python train.py ")[2]
    resumed = subprocess.run(
        f"{shlex.join(command)} {advice}",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "epoch 6/6" in resumed.stderr
    assert "epoch 1/6" not in resumed.stderr
    assert "WER on the test set" in resumed.stdout
    rows = (run / "metrics.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["0", "1", "2", "3", "4", "5"]
    # only epochs that were validated have an error rate
    rates = [row.split(",")[-1] for row in rows[1:]]
    assert [bool(rate) for rate in rates] == [False, False, True, False, False, True]

    evaluated = subprocess.run(
        [sys.executable, "-m", "asr_attn.cli", "evaluate", str(run), str(manifest)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert evaluated.returncode == 0, evaluated.stderr
    assert "WER (words)" in evaluated.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_a_terminal_that_closes_leaves_a_run_to_resume(tones: Path, tmp_path: Path) -> None:
    import fcntl
    import pty
    import termios

    manifest, run = tones / "train.jsonl", tmp_path / "run"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "train.py"),
            *TINY,
            "trainer.max_epochs=900",
            f"data.train={manifest}",
            f"data.dev={manifest}",
            f"run_dir={run}",
        ],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=tmp_path,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    shown = b""
    while not (run / "last.ckpt").exists():
        shown += os.read(ours, 1000)
        assert process.poll() is None, shown
    os.close(ours)  # the kernel sends SIGHUP
    assert process.wait(timeout=120) == 130
    state = torch.load(run / "last.ckpt", weights_only=True)
    assert 0 < state["epoch"] < 899
    assert not (run / ".lock").exists()
    resumed = subprocess.run(
        [
            sys.executable,
            str(ROOT / "train.py"),
            f"resume={run}",
            f"trainer.max_epochs={3 * (state['epoch'] // 3 + 2)}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all names are Unicode")
def test_a_folder_whose_name_no_encoding_has_is_trained_in(tones: Path, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff \xe4\xb8\xad=1"))
    manifest = copied(tones, folder)
    short = ["trainer.max_epochs=1", "trainer.check_val_every_n_epoch=1"]
    files = [f"data.{split}={manifest}" for split in ("train", "dev", "test")]
    command = [sys.executable, str(ROOT / "train.py"), *TINY, *short]
    trained = subprocess.run(
        [*command, *files, f"run_dir={folder / 'run'}"],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
    )
    assert trained.returncode == 0, trained.stderr
    assert b"\\udcff \\u4e2d=1" in trained.stdout
    assert b"WER on the test set" in trained.stdout
    settings = load_settings(folder / "run" / "config.json")
    assert settings.data.train == str(manifest)
    assert load_model(folder / "run").info["seed"] == 0
    # TensorBoard has no name for it
    refused = subprocess.run(
        [*command, *files, f"run_dir={folder / 'other'}", "logger.tensorboard=true"],
        capture_output=True,
        check=False,
    )
    assert refused.returncode == 2
    assert b"set logger.tensorboard=false" in refused.stderr
    assert not (folder / "other").exists()
