"""Signals that end a command, made an interruption like that by Ctrl-C."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = ("SIGTERM", "SIGHUP", "SIGBREAK")
"""Those that there are on some system and that end a process which does not listen."""


class Stopped(KeyboardInterrupt):
    """A signal came that ends the process.

    Attributes:
        signal: its number.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


@contextmanager
def signals_as_interruptions() -> Iterator[None]:
    """Raise ``Stopped`` in the block when a signal comes that would end the process.

    Signals that somebody listens to, or that are ignored, as SIGHUP is under nohup, stay as they
    are. Only the main thread can listen.
    """
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number)
