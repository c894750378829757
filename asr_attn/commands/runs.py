"""``asr-attn runs``: what was trained, the best first."""

import argparse
import difflib
import json
from pathlib import Path

from asr_attn.commands.terminal import opened, say
from asr_attn.errors import InputError
from asr_attn.evaluation.runs import Run, differences, find_runs, setting, setting_keys

MOST_SETTINGS = 6
"""Settings that are shown where runs differ in more."""


def runs(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: there are no runs.
    """
    root: Path = args.folder
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder; name the folder that holds runs")
    found = find_runs(root, _left_out)
    if not found:
        raise InputError(f"{root} holds no runs; train one with python train.py")
    keys = [_known(key, found) for key in args.setting or ()] or differences(found)
    with opened(None) as stream:
        if args.format == "json":
            stream.write(json.dumps([_to_dict(run, keys) for run in found], indent=2) + "\n")
        else:
            stream.write(_to_text(root, found, keys, bool(args.setting)))
    return 0


def _known(key: str, found: list[Run]) -> str:
    """The full key of a setting; a part such as ``model.attention`` stands for its name.

    Raises:
        InputError: no run has such a setting.
    """
    keys = setting_keys(found)
    for full in (key, f"{key}.name"):
        if full in keys:
            return full
    near = difflib.get_close_matches(key, keys, 1)
    raise InputError(
        f"--setting {key}: no run has this setting" + (f"; did you mean {near[0]}?" if near else "")
    )


def _left_out(error: OSError) -> None:
    """Say that runs may be missing."""
    reason = error.strerror or type(error).__name__
    say(f"{error.filename} cannot be looked into ({reason}); runs in it are left out")


def _to_dict(run: Run, keys: list[str]) -> dict[str, object]:
    return {
        "folder": str(run.folder),
        "wer": run.wer,
        "wer_interval": run.interval,
        "cer": run.cer,
        "monitor": run.monitor,
        "epochs": run.epochs,
        "seconds": round(run.seconds, 1),
        "settings": {key: setting(run, key) for key in keys},
    }


def _to_text(root: Path, found: list[Run], keys: list[str], asked: bool) -> str:
    """A table; settings in which most runs agree are left out where there are many."""
    shown = keys if asked else keys[:MOST_SETTINGS]
    cer = ("CER",) if any(run.cer is not None for run in found) else ()
    rows = [
        ("run", "WER", "95 %", *cer, "epochs", "minutes", *(key.split(".", 1)[-1] for key in shown))
    ]
    for run in found:
        span = ""
        if run.interval is not None:
            span = f"{100 * run.interval[0]:.2f} to {100 * run.interval[1]:.2f} %"
        rows.append(
            (
                run.folder.relative_to(root).as_posix(),
                "none yet" if run.wer is None else f"{100 * run.wer:.2f} %",
                span,
                *("" if run.cer is None else f"{100 * run.cer:.2f} %" for _ in cer),
                str(run.epochs),
                f"{run.seconds / 60:.1f}",
                *(json.dumps(setting(run, key)).strip('"') for key in shown),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows]
    if len(keys) > len(shown):
        lines.append(
            f"the runs differ in {len(keys) - len(shown)} settings more, among them "
            f"{', '.join(keys[len(shown) : len(shown) + 5])}; show one with --setting KEY"
        )
    return "\n".join(lines) + "\n"
