"""Batches that worker processes read."""

import errno
import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asr_attn.data import workers
from asr_attn.data.batches import Batch, UtteranceBatches
from asr_attn.data.datamodule import ResumableLoader
from asr_attn.data.manifest import Utterance
from asr_attn.data.workers import dead_worker, worker_died
from asr_attn.errors import ConfigError

RATE = 8000


@pytest.fixture
def dataset(recordings: Path) -> UtteranceBatches:
    """Five recordings in batches of two, two and one; the last recording cannot be read."""
    seconds = (1.3, 0.4, 0.9, 0.2, 0.7)
    utterances = [
        Utterance(f"u{i}", recordings / f"{i}.wav", f"text {i}", s) for i, s in enumerate(seconds)
    ]
    (recordings / "4.wav").write_bytes(b"RIFF")
    return UtteranceBatches(utterances, [[0, 1], [2, 4], [3]], RATE)


@pytest.fixture
def no_shared_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's shared memory, with no room for a tensor; forked workers have it from here."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no room for a tensor")

    monkeypatch.setattr(workers, "_room", lambda: float(64 << 20))
    table = ForkingPickler._extra_reducers
    monkeypatch.setattr(ForkingPickler, "_extra_reducers", table | {torch.Tensor: refuse})


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
@pytest.mark.usefixtures("no_shared_tensors")
def test_workers_give_the_same_batches_without_shared_memory(dataset: UtteranceBatches) -> None:
    alone = list(ResumableLoader(dataset, len(dataset), 0))
    found = list(ResumableLoader(dataset, len(dataset), 2))
    assert [batch.ids for batch in found] == [["u0", "u1"], ["u2"], ["u3"]]
    for ours, others in zip(found, alone, strict=True):
        assert isinstance(ours, Batch)
        assert ours.waveforms.numpy().tobytes() == others.waveforms.numpy().tobytes()
        assert ours.waveforms.dtype == others.waveforms.dtype == torch.float32
        assert ours.lengths.tolist() == others.lengths.tolist()
        assert ours.lengths.dtype == torch.long
        assert (ours.texts, ours.ids) == (others.texts, others.ids)
        assert [list(fault) for fault in ours.faults] == [list(fault) for fault in others.faults]
    assert found[1].faults[0][0] == "u4"


def test_shared_memory_is_used_where_there_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for room, pipes in ((64 << 20, True), (1 << 30, False), (np.inf, False)):
        monkeypatch.setattr(workers, "_room", lambda room=room: float(room))
        assert workers.through_pipes(4) is pipes
        assert not workers.through_pipes(0)


def test_other_datasets_pass_as_they_are() -> None:
    assert list(ResumableLoader([1, 2, 3], 3, 0)) == [1, 2, 3]


def test_room_for_workers_is_looked_for_first(
    dataset: UtteranceBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_room", lambda: 8192.0)
    with pytest.raises(ConfigError, match=r"data\.loading\.workers=2: .*/dev/shm is full.* 0 to"):
        next(iter(ResumableLoader(dataset, 3, 2)))
    assert len(list(ResumableLoader(dataset, 3, 0))) == 3
    monkeypatch.undo()
    monkeypatch.setattr(workers, "_SHARED_MEMORY", "/no/such/folder")  # as on other systems
    assert workers._room() == np.inf


def test_a_system_that_starts_no_process_is_told_of(
    dataset: UtteranceBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", refuse)
    with pytest.raises(ConfigError, match=r"workers=1: these processes cannot be started \("):
        next(iter(ResumableLoader(dataset, 3, 1)))


class Slow(torch.utils.data.Dataset[int]):
    """Items that take long."""

    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> int:
        time.sleep(0.2)
        return index


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_worker_is_recognised() -> None:
    loader = iter(ResumableLoader(Slow(), 100, 1))
    next(loader)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError) as caught:
        list(loader)
    assert worker_died(caught.value)
    assert not worker_died(RuntimeError("something else"))
    assert "data.loading.workers=0" in str(dead_worker("go on with resume=runs/a"))
