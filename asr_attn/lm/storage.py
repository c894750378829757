"""Large arrays in bounded memory: in files once they do not fit."""

import math
import os
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from asr_attn.files import blaming
from asr_attn.lm.ngrams import Array


class Workspace:
    """Makes arrays, in memory while they fit into half of a limit, then in temporary files.

    The other half is for what is worked on at the moment. Arrays in files are memory-mapped: the
    system keeps in memory what it has room for. The files go when the workspace is closed.

    Args:
        memory: limit in bytes.
        folder: where to put temporary files; the system's place for them when not given.
    """

    def __init__(self, memory: int, folder: Path | None = None) -> None:
        self.memory = memory
        self._left = memory // 2
        self._folder = folder
        self._files: tempfile.TemporaryDirectory[str] | None = None
        self._count = 0

    def __enter__(self) -> "Workspace":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._files is not None:
            self._files.cleanup()

    @property
    def spilled(self) -> int:
        """How many arrays went to files."""
        return self._count

    def fits(self, size: int) -> bool:
        """Whether an array of ``size`` bytes would be made in memory."""
        return size <= self._left

    def release(self, array: Array) -> None:
        """Give back the memory of an array that is needed no more."""
        if not isinstance(array, np.memmap):
            self._left += array.nbytes

    def array(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Make an array of zeros.

        Raises:
            InputError: the temporary file cannot be written.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if self.fits(size) or size == 0:
            self._left -= size
            return np.zeros(shape, dtype)
        return self._mapped(shape, dtype, size)

    def stored(self, array: Array) -> Array:
        """Keep an array that was made elsewhere, in memory or in a file.

        Raises:
            InputError: the temporary file cannot be written.
        """
        if self.fits(array.nbytes) or array.nbytes == 0:
            self._left -= array.nbytes
            return array
        kept = self._mapped(array.shape, array.dtype, array.nbytes)
        kept[...] = array
        return kept

    def _mapped(self, shape: tuple[int, ...], dtype: npt.DTypeLike, size: int) -> Array:
        if self._files is None:
            self._files = tempfile.TemporaryDirectory(prefix="asr-attn-", dir=self._folder)
        path = Path(self._files.name) / f"{self._count}.array"
        self._count += 1
        with blaming(path), path.open("wb") as file:
            _reserve(file.fileno(), size)
        return np.memmap(path, dtype, "r+", shape=shape)


def _reserve(file: int, size: int) -> None:
    """Take the room on the disk now: a full disk would otherwise end the process later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.truncate(file, size)
