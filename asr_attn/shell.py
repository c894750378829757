"""Quoting for command lines, so that printed advice can be pasted into a shell."""

import os
import re
import shlex


def shell_argument(text: str) -> str:
    r"""Quote one argument of a command line for the shell of this system.

    On POSIX systems the bytes of a name that is not UTF-8 become ``$'...\xff'``, which bash, zsh
    and ksh read.
    """
    if os.name == "nt":
        plain = re.fullmatch(r"[\w@%+=:./\\-]+", text)
        return text if plain else f'"{_doubled_at_end(text)}"'
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        quoted = (
            chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}"
            for byte in os.fsencode(text)
        )
        return f"$'{''.join(quoted)}'"
    return shlex.quote(text)


def setting(key: str, path: object) -> str:
    """``KEY=PATH`` for the command line of ``train.py``, quoted for the shell."""
    text = str(path)
    if text == "null" or text.startswith(("~", "'", '"', "[")):  # they mean something there
        text = os.path.join(os.curdir, text)  # noqa: PTH118 - a Path would drop the dot
    text = text.replace("${", "\\${")
    return shell_argument(f"{key}={text}")


def _doubled_at_end(text: str) -> str:
    """The text with the backslashes at its end doubled, which a quote comes after."""
    return re.sub(r"(\\+)$", r"\1\1", text)
