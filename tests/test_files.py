import errno
import os
import stat
from pathlib import Path

import pytest

from asr_attn.errors import InputError
from asr_attn.files import atomic_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_writes_into_new_folders_with_usual_permissions(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with atomic_path(path) as scratch:
        assert scratch.parent == path.parent
        scratch.write_text("whole", encoding="utf-8")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "whole"
    assert names(path.parent) == {"a.txt"}
    other = tmp_path / "plain"
    other.write_text("x", encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize("stop", [RuntimeError("bug"), KeyboardInterrupt(), SystemExit(1)])
def test_any_failure_leaves_the_old_file_and_nothing_else(tmp_path, stop):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(type(stop)), atomic_path(path) as scratch:  # noqa: PT012
        scratch.write_text("half", encoding="utf-8")
        raise stop
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == {"a.txt"}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_failed_writes_are_one_sentence(tmp_path, code, words):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(InputError, match=words) as caught, atomic_path(path):
        raise OSError(code, os.strerror(code))
    assert str(caught.value).startswith(str(path))
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == {"a.txt"}


def test_another_file_that_fails_is_not_blamed_on_this_one(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(FileNotFoundError, match="other"), atomic_path(path) as scratch:  # noqa: PT012
        scratch.write_text("half", encoding="utf-8")
        (tmp_path / "other").read_bytes()
    with pytest.raises(InputError, match="cannot be written"), atomic_path(path) as scratch:  # noqa: PT012
        scratch.unlink()
        scratch.read_bytes()
    assert names(tmp_path) == set()


def test_full_disk_at_the_last_moment(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="disk is full"), atomic_path(path) as scratch:
        scratch.write_text("new", encoding="utf-8")
    assert names(tmp_path) == set()


def test_refuses_a_folder_and_a_file_as_folder_before_the_work(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for path, words in [
        (tmp_path, "it is a folder"),
        (tmp_path / "file" / "a.txt", "is a file, not a folder"),
        (tmp_path / "file" / "b" / "a.txt", "is a file, not a folder"),
    ]:
        with pytest.raises(InputError, match=words), atomic_path(path):
            pytest.fail("the body must not run")
    assert names(tmp_path) == {"file"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with (
            pytest.raises(InputError, match="permission denied"),
            atomic_path(tmp_path / "a.txt"),
        ):
            pytest.fail("the body must not run")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(os.name == "nt", reason="links and devices as on Unix")
def test_links_stay_links_and_devices_stay_devices(tmp_path):
    (tmp_path / "there").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "there" / "real.txt")
    with atomic_path(link) as scratch:
        scratch.write_text("new", encoding="utf-8")
    assert link.is_symlink()
    assert (tmp_path / "there" / "real.txt").read_text(encoding="utf-8") == "new"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with atomic_path(pipe) as scratch:
        assert scratch == pipe
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == {"there", "link.txt", "pipe"}
