"""The command ``asr-attn``: transcribe recordings, evaluate models, look into them.

Only what a command needs is imported, when it runs: help and mistakes are answered at once.
"""

import argparse
import errno
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asr_attn import __version__
from asr_attn.commands.arguments import Parser, add_attention, add_transcribe
from asr_attn.commands.calibrate_arguments import add_calibrate
from asr_attn.commands.compare_arguments import add_compare
from asr_attn.commands.data_arguments import add_data
from asr_attn.commands.evaluate_arguments import add_evaluate
from asr_attn.commands.lm_arguments import add_lm
from asr_attn.commands.models_arguments import add_models
from asr_attn.commands.report_arguments import add_report
from asr_attn.commands.runs_arguments import add_runs
from asr_attn.commands.stopping import Stopped, signals_as_interruptions
from asr_attn.commands.terminal import abandon_output, prepare_output, say
from asr_attn.commands.tune_arguments import add_tune
from asr_attn.errors import InputError, InputWarning, is_out_of_memory
from asr_attn.files import write_error

OK, SOME_FAILED, REFUSED, BROKEN_PIPE, INTERRUPTED = 0, 1, 2, 141, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: arguments; those of the process when not given.

    Returns:
        The exit code.
    """
    prepare_output()
    try:
        with signals_as_interruptions(), _warnings_as_notes():
            code = _run(argv)
            sys.stdout.flush()
    except Stopped as stopped:
        return 128 + stopped.signal
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough
        abandon_output()
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is not None:
            reason = error.strerror or type(error).__name__
            say(f"{error.filename} cannot be used ({reason}); check the path and its permissions")
            return REFUSED
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        abandon_output()
        say(str(write_error(Path("standard output"), error)))
        return REFUSED
    return code


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """Say warnings about what was given as the commands say all else, without a place in code."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *rest: Any, **named: Any) -> None:
            if issubclass(category, InputWarning):
                say(str(message))
            else:
                usual(message, category, *rest, **named)

        warnings.simplefilter("always", InputWarning)
        warnings.showwarning = show
        yield


def _run(argv: Sequence[str] | None) -> int:
    args = argparse.Namespace()
    try:
        args = _parser().parse_args(argv)
        code: int = args.run(args)
    except SystemExit as done:  # --help and --version
        return done.code if isinstance(done.code, int) else OK
    except InputError as error:
        say(str(error))
        return REFUSED
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        lower = ["--beam"] if getattr(args, "beam", None) else []
        lower += ["--batch-seconds"] if hasattr(args, "batch_seconds") else []
        advice = f"lower {' or '.join(lower)}, or " if lower else ""
        say(f"out of memory; {advice}cut long recordings into shorter ones")
        return REFUSED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="asr-attn",
        description="Transcribe with attention-based speech recognisers, measure and inspect them.",
        epilog="asr-attn COMMAND --help explains a command. Training: python train.py --help.",
    )
    parser.add_argument("--version", action="version", version=f"asr-attn {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    add_transcribe(commands)
    add_evaluate(commands)
    add_compare(commands)
    add_report(commands)
    add_attention(commands)
    add_calibrate(commands)
    add_tune(commands)
    add_lm(commands)
    add_data(commands)
    add_runs(commands)
    add_models(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
