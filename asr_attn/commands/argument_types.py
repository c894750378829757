"""Types of paths on the command line."""

import argparse
from pathlib import Path


def file_path(text: str) -> Path:
    """A path that names something: an empty one, as of an unset variable, is the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; name a file or a folder")
    return Path(text)


def output_file(text: str) -> Path | None:
    """A file to write to; None, standard output, of ``-``."""
    return None if text == "-" else file_path(text)


def named_file(text: str) -> str:
    """FILE or NAME=FILE, neither of them empty."""
    file_path(text)
    if text.endswith("=") and not Path(text).exists():
        raise argparse.ArgumentTypeError(f"{text!r} names no file; give NAME=FILE")
    return text
