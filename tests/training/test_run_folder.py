"""A run folder belongs to one run, and to one process at a time."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from asr_attn.errors import ConfigError, InputError
from asr_attn.files import claim_next_free
from asr_attn.lm_settings import LmRunConfig, TextConfig
from asr_attn.settings import LoggerConfig, RunConfig, TrainerConfig
from asr_attn.training.lm_run import fit_lm
from asr_attn.training.run import fit
from asr_attn.training.run_folder import new_run_folder, remove_unfinished, run_lock

HOLDER = """
import sys
from pathlib import Path
from asr_attn.training.run_folder import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds ``tmp_path``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_names_of_one_moment_become_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(claim_next_free, [tmp_path / "runs" / "now"] * 64))
    assert {path.name for path in found} == {"now", *(f"now-{i}" for i in range(1, 64))}
    assert all(path.is_dir() for path in found)


def test_a_name_by_the_clock_takes_the_next_free_folder(steady: RunConfig, tmp_path: Path) -> None:
    told: list[Path] = []
    runs = [fit(steady, renamed=told.append) for _ in range(2)]
    assert [run.folder.name for run in runs] == ["run", "run-1"] == [path.name for path in told]
    assert (tmp_path / "run-1" / "model.safetensors").is_file()


def test_a_folder_is_held_until_its_process_ends_however_it_ends(
    holder: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    with (
        pytest.raises(ConfigError, match=f"process {holder.pid} on .* trains in this folder"),
        run_lock(tmp_path),
    ):
        pass
    assert (tmp_path / ".lock").exists()  # the refused one has not removed it
    holder.kill()
    holder.wait()
    with run_lock(tmp_path):
        if sys.platform != "win32":
            assert f"process {os.getpid()} on" in (tmp_path / ".lock").read_text(encoding="utf-8")
        with pytest.raises(ConfigError, match="this process trains"), run_lock(tmp_path):
            pass
    assert not (tmp_path / ".lock").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")
def test_a_child_neither_holds_nor_frees_the_folder(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        ready, write = os.pipe()
        forked = os.fork()
        if not forked:  # as a process that reads audio
            os.close(write)
            os.read(ready, 1)
            os._exit(0)
        os.close(ready)
        script = HOLDER.replace('print("held", flush=True)', "")
        refused = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "trains in this folder" in refused.stderr
    taken = subprocess.run(  # both children still run
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.DEVNULL, check=False
    )
    os.close(write)
    os.waitpid(forked, 0)
    child.communicate(b"\n")
    assert taken.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="fcntl is of Unix")
def test_a_file_system_without_locks_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.lockf", unsupported)
    with run_lock(tmp_path):
        pass
    assert "no locks (No locks available)" in capsys.readouterr().err


def test_a_folder_of_somebody_else_is_left_alone(steady: RunConfig, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "deep").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"another model")
    (folder / "deep" / ".download.partial").write_bytes(b"half of a file")
    before = files_in(folder)
    with pytest.raises(ConfigError, match=r"not a run and is not empty \(it holds deep, model"):
        fit(replace(steady, run_dir=str(folder)))
    text = tmp_path / "text.txt"
    text.write_text("do re mi\n", encoding="utf-8")
    lm = LmRunConfig(
        run_dir=str(folder),
        data=TextConfig(train=str(text), dev=str(text)),
        trainer=TrainerConfig(accelerator="cpu"),
        logger=LoggerConfig(tensorboard=False),
    )
    with pytest.raises(ConfigError, match="not a run and is not empty"):
        fit_lm(lm)
    assert files_in(folder) == before


def test_only_files_of_the_run_itself_are_removed(tmp_path: Path) -> None:
    ours = [
        ".last.ckpt.x1_b2c3d.partial",
        "best/.epoch=0004.safetensors.abcdefgh.partial",
        "attention/.0_epoch=0004.png.abcdefgh.partial",
    ]
    others = [
        ".dataset.tar.partial",
        "best/.mine.partial",
        "data/.last.ckpt.abcdefgh.partial",
        "last.ckpt",
    ]
    for name in (*ours, *others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    remove_unfinished(tmp_path)
    assert set(files_in(tmp_path)) == set(others)


def test_a_start_that_is_refused_leaves_nothing(
    steady: RunConfig, tones: Path, tmp_path: Path
) -> None:
    faulty = replace(steady, data=replace(steady.data, max_duration=0.1))
    new = tmp_path / "runs" / "a" / "b"
    for renamed in (None, lambda folder: None):
        with pytest.raises(InputError, match="max_duration"):
            fit(replace(faulty, run_dir=str(new)), renamed=renamed)
        assert not (tmp_path / "runs").exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="max_duration"):
        fit(replace(faulty, run_dir=str(empty)))
    assert list(empty.iterdir()) == []  # the folder was there before
    text = tmp_path / "text.txt"
    text.write_text("?\n", encoding="utf-8")
    lm = LmRunConfig(
        run_dir=str(new),
        data=TextConfig(train=str(text), dev=str(text)),
        trainer=TrainerConfig(accelerator="cpu"),
        logger=LoggerConfig(tensorboard=False),
    )
    with pytest.raises(InputError, match="no words"):
        fit_lm(lm)
    assert not (tmp_path / "runs").exists()


def test_what_a_start_that_was_killed_leaves_does_not_keep_the_name(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".lock").write_text("process 1 on another\n", encoding="utf-8")
    (folder / ".config.json.abcdefgh.partial").write_bytes(b"{")
    with new_run_folder(folder) as taken:
        assert taken == folder


def test_two_starts_in_one_empty_folder(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trains in this folder"), new_run_folder(tmp_path):
        pass
    assert holder.poll() is None


def test_a_run_that_trains_is_not_resumed_a_second_time(
    steady: RunConfig, tmp_path: Path, holder: "subprocess.Popen[str]"
) -> None:
    fit(replace(steady, run_dir=str(tmp_path / "run")))
    with run_lock(tmp_path / "run"):
        before = files_in(tmp_path / "run")
        with pytest.raises(ConfigError, match="trains in this folder"):
            fit(replace(steady, resume=str(tmp_path / "run")))
        assert files_in(tmp_path / "run") == before
    if sys.platform != "win32":
        holder.send_signal(signal.SIGKILL)
