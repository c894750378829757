"""Audio files put into the folder of a data set, for formats that want them there."""

import filecmp
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from asr_attn.data.progress import Bars
from asr_attn.errors import InputError
from asr_attn.files import atomic_path


def place_audio(paths: Iterable[Path], folder: Path, bars: Bars) -> dict[Path, str]:
    """Copies files into a folder, unless all are in it already.

    Folders that they are in are kept, from the one that holds all. No file is overwritten.

    Args:
        paths: may name a file more than once.
        folder: made if it is not there.
        bars: show how far it is.

    Returns:
        The path of each as seen from the folder, with /.

    Raises:
        InputError: a file of the same name and other content is there, or copying fails.
    """
    distinct = list(dict.fromkeys(paths))
    folder = folder.resolve()
    real = {path: path.resolve() for path in distinct}
    if all(place.is_relative_to(folder) for place in real.values()):
        return {path: place.relative_to(folder).as_posix() for path, place in real.items()}
    try:
        top = os.path.commonpath([place.parent for place in real.values()])
    except ValueError:
        raise InputError("The audio is on several drives; copy it to one.") from None
    names = {path: place.relative_to(top).as_posix() for path, place in real.items()}
    for path, name in names.items():
        target = folder / name
        if target.exists() and not (
            target.is_file() and filecmp.cmp(real[path], target, shallow=False)
        ):
            raise InputError(f"{target} exists, with other content than {path}; use a new folder.")
    with bars("copying", len(distinct)) as bar:
        for path, name in names.items():
            if not (folder / name).exists():
                with atomic_path(folder / name) as scratch:
                    shutil.copyfile(real[path], scratch)
            bar.advance()
    return names
