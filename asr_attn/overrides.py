"""Paths among the settings of the command line: from what the shell gives to what Hydra reads.

Hydra's grammar gives a meaning to many characters that file names hold, such as ``=``, ``#``, ``(``
and commas, and knows no letters beyond ASCII; values in quotes may hold any of them.
"""

import os
import re
from collections.abc import Iterator, Sequence

from asr_attn.errors import ConfigError

PATHS = frozenset(
    {
        "run_dir",
        "resume",
        "start_from",
        "data.name",
        "data.folder",
        "data.train",
        "data.dev",
        "data.test",
        "augmentation.noise_folder",
        "search.lm",
        "tokenizer.of",
        "logger.mlflow",
        "logger.wandb",
    }
)
"""Settings that are paths, or names that become part of one."""
PATH_LISTS = frozenset({"data.also_train"})
"""Settings that are lists of paths."""

_QUOTED = re.compile(r"""(["'])(?:\\.|(?!\1|\\).)*\1""", re.DOTALL)
_EMPTY = ("", '""', "''")
_FUNCTION = re.compile(r"(choice|shuffle|sort|glob|tag|extend_list)\(.*\)", re.DOTALL)
"""Functions of Hydra that give several values, or a list."""


def quote_paths(arguments: Sequence[str]) -> list[str]:
    """Quote the values of path settings for Hydra, and expand ``~`` at their start.

    What is in quotes already, and ``null``, stays as it is. Under ``--multirun`` a comma separates
    the values of several runs, so that a path with a comma has to be in quotes there; otherwise it
    belongs to the path. Doing it twice changes nothing more.

    Args:
        arguments: of the command line.

    Raises:
        ConfigError: a path is empty, as that of an unset variable of a shell.
    """
    sweep = any(argument in ("-m", "--multirun") for argument in arguments)
    return [_quote_value(argument, sweep) for argument in arguments]


def quoted(text: str) -> str:
    """A text in double quotes, as Hydra reads it."""
    text = re.sub(r'(\\*)"', r'\1\1\\"', text)
    return '"' + re.sub(r"(\\+)$", r"\1\1", text) + '"'


def _quote_value(argument: str, sweep: bool) -> str:
    key, sign, value = argument.partition("=")
    name = key.lstrip("+")
    if name not in PATHS | PATH_LISTS or not sign:
        return argument
    if value.strip() in _EMPTY:
        raise ConfigError(f"{name}= is empty; name a path, or leave {name} out")
    quote = _quote_list if name in PATH_LISTS else _quote_path
    runs = list(_split(value, nested=True)) if sweep else [value]
    listed = name in PATH_LISTS
    if any(_holds_empty(run, listed) for run in runs):
        raise ConfigError(f"{name}={value} holds an empty path; name a path, or take it out")
    return f"{key}={','.join(map(quote, runs))}"


def _holds_empty(text: str, listed: bool) -> bool:
    """Whether a value, or in a list one of its items, is empty; a comma may end a list."""
    if listed and text.startswith("[") and text.endswith("]"):
        return any(item.strip() in ('""', "''") for item in _split(text[1:-1], nested=False))
    return text.strip() in _EMPTY


def _quote_path(text: str) -> str:
    if text == "null" or _QUOTED.fullmatch(text) or _FUNCTION.fullmatch(text):
        return text
    return quoted(os.path.expanduser(text))  # noqa: PTH111 - unknown users stay as they are


def _quote_list(text: str) -> str:
    if text == "null" or _FUNCTION.fullmatch(text):
        return text
    if not (text.startswith("[") and text.endswith("]")):
        return f"[{_quote_path(text)}]"
    items = (item.strip() for item in _split(text[1:-1], nested=False))
    return f"[{','.join(_quote_path(item) for item in items if item)}]"


def _split(text: str, nested: bool) -> Iterator[str]:
    """The parts between commas that are neither in quotes nor, if ``nested``, in brackets."""
    start = position = depth = 0
    while position < len(text):
        sign = text[position]
        whole = _QUOTED.match(text, position) if not text[start:position].strip(" [(") else None
        if whole:  # a part that only holds a quotation mark is not in quotes
            position = whole.end()
            continue
        if nested and sign in "([":
            depth += 1
        elif nested and sign in ")]":
            depth -= 1
        elif sign == "," and depth <= 0:
            yield text[start:position]
            start = position + 1
        position += 1
    yield text[start:]
