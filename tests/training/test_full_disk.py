import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.summary.writer.record_writer import RecordWriter

from asr_attn.errors import InputError
from asr_attn.settings import LoggerConfig, RunConfig
from asr_attn.training.checkpoints import AtomicCheckpointIO
from asr_attn.training.run import fit

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullAfter:
    """A file on a disk that has room for so many bytes."""

    def __init__(self, file: Any, room: int) -> None:
        self.file = file
        self.room = room

    def write(self, data: Any) -> int:
        data = bytes(data)
        fits = data[: self.room]
        self.room -= len(fits)
        self.file.write(fits)
        if len(fits) < len(data):
            raise FULL
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> "FullAfter":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()


def fill_up(monkeypatch: pytest.MonkeyPatch, name: str, room: int) -> None:
    """Let files whose name has ``name`` in it end after ``room`` bytes."""
    original = Path.open

    def limited(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        file = original(self, mode, *args, **options)
        return FullAfter(file, room) if name in self.name and "w" in mode else file

    monkeypatch.setattr(Path, "open", limited)


@pytest.mark.parametrize("room", [0, 100, 3000, 8200])
def test_a_state_that_does_not_fit_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    writer, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    writer.save_checkpoint({"weights": torch.zeros(2000)}, path)
    whole = path.read_bytes()
    with monkeypatch.context() as patch:
        fill_up(patch, "last.ckpt", room)
        with pytest.raises(InputError, match=r"last\.ckpt: cannot be written: the disk is full"):
            writer.save_checkpoint({"weights": torch.ones(2000)}, path)
    assert path.read_bytes() == whole
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard's files, on a disk that soon is full."""
    original = RecordWriter.write
    written = 0

    def write(self: Any, data: Any) -> None:
        nonlocal written
        written += 1
        if written > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, data)

    monkeypatch.setattr(RecordWriter, "write", write)


@pytest.mark.usefixtures("board")
def test_a_full_disk_under_tensorboard_is_one_sentence(
    steady: RunConfig, capfd: pytest.CaptureFixture[str]
) -> None:
    config = replace(
        steady,
        logger=LoggerConfig(csv=False, tensorboard=True),
        trainer=replace(steady.trainer, max_epochs=40, log_every_n_steps=1),
    )
    with pytest.raises(InputError) as caught:
        fit(config)
    folder = config.run_dir
    sentence = f"{folder}: the disk is full; free some space, then go on with resume={folder}"
    # the thread that writes may fail before the first state is saved
    assert str(caught.value) in (sentence, f"{sentence} (what was saved last is whole)")
    assert "Traceback" not in capfd.readouterr().err


def test_figures_that_do_not_fit_stop_the_run(
    steady: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if mode == "a" and self.name == "metrics.csv":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return original(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError, match="the disk is full; free some space, then go on with "):
        fit(steady)
