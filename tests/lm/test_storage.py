import os

import numpy as np
import pytest

from asr_attn.errors import InputError
from asr_attn.lm.storage import Workspace


def test_arrays_go_to_files_when_memory_is_used_up(tmp_path):
    with Workspace(1600, tmp_path) as workspace:
        first = workspace.array((50,), np.int64)
        second = workspace.array((60,), np.int64)
        kept = workspace.stored(np.arange(50))
        assert [isinstance(a, np.memmap) for a in (first, second, kept)] == [False, True, False]
        assert (second == 0).all()
        second[:] = np.arange(60)
        assert second.sum() == 1770
        spilt = workspace.stored(np.arange(9)[:, None] * np.ones(3))
        assert isinstance(spilt, np.memmap)
        assert spilt[8, 2] == 8
        workspace.release(first)
        assert workspace.fits(400)
        assert workspace.spilled == 2
        assert workspace.array((0, 3), np.int32).shape == (0, 3)
        assert len(list(tmp_path.rglob("*.array"))) == 2
    assert list(tmp_path.iterdir()) == []


def test_files_go_when_the_work_fails(tmp_path):
    with pytest.raises(RuntimeError, match="bug"), Workspace(0, tmp_path) as workspace:  # noqa: PT012
        workspace.array((5,), np.int8)
        raise RuntimeError("bug")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with (
        Workspace(0, tmp_path) as workspace,
        pytest.raises(InputError, match="disk is full"),
    ):
        workspace.array((5,), np.int8)
