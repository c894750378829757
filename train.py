"""Train a recogniser or a language model; ``python train.py --help`` shows what can be set."""

import io
import math
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from asr_attn.config import (
    TASKS,
    check_overrides,
    is_by_clock,
    name_groups,
    register_lm_schemas,
    register_schemas,
    resolve,
    resolve_lm,
    sweep_folder_by_clock,
    task_of,
    written_name,
)
from asr_attn.effects import refuse_contradictions, without_effect
from asr_attn.errors import ConfigError, InputError
from asr_attn.files import claim_next_free, write_error
from asr_attn.lm_settings import LmRunConfig
from asr_attn.overrides import quote_paths, quoted
from asr_attn.settings import RunConfig
from asr_attn.shell import setting

if TYPE_CHECKING:
    from asr_attn.evaluation.error_rates import ErrorCounts

CONF = Path(__file__).resolve().parent / "conf"
INTERRUPTED = 130
failed_runs: list[str] = []
"""Complaints of those runs of a sweep that failed."""


def main(config: DictConfig) -> float | None:
    """One run, or one of several under ``--multirun``; returns what a sweep is to minimise."""
    try:
        return _run(config)
    except InputError as error:  # Hydra would print a traceback
        complaint = str(error)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            complaint = str(write_error(Path(error.filename), error))
        elif HydraConfig.get().mode == RunMode.MULTIRUN:
            traceback.print_exc()
            complaint = f"{type(error).__name__}: {error}"
        else:
            raise
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        _fail(complaint)
    # what one run of a sweep lacks, a setting that does not work or a loss that is not finite,
    # is no reason to lose the others
    _complain(complaint)
    failed_runs.append(complaint)
    return math.inf


def _run(config: DictConfig) -> float | None:
    hydra_config = HydraConfig.get()
    several = hydra_config.mode == RunMode.MULTIRUN
    by_clock = is_by_clock(config, "run_dir")
    if several:
        with open_dict(config):
            config.run_dir = hydra_config.runtime.output_dir
    lm = config.get("task") == "lm"
    settings = resolve_lm(config) if lm else resolve(config)
    if several and settings.trainer.devices * settings.trainer.num_nodes > 1:
        raise ConfigError(
            "--multirun goes with one process per run; set trainer.devices=1, or start the runs "
            "one by one"
        )
    changed = [written_name(override.split("=")[0]) for override in hydra_config.overrides.task]
    renamed = partial(_share_run_dir, settings) if by_clock and not several else None
    if isinstance(settings, LmRunConfig):
        return _train_lm(settings, [key for key in changed if key != "task"], renamed)
    return _train(settings, changed, renamed)


def _train(
    settings: RunConfig, changed: list[str], renamed: Callable[[Path], None] | None
) -> float | None:
    """Train a recogniser; the error rate on the validation set that its models are ranked by."""
    if settings.resume is None:
        refuse_contradictions(settings, changed)
        if "LOCAL_RANK" not in os.environ:  # once for all processes
            for sentence in without_effect(settings, changed):
                print(f"note: {sentence}", file=sys.stderr)
    from asr_attn.training.run import fit  # Lightning takes seconds to import: not for --help

    result = fit(settings, changed, renamed)
    if not result.main_process:
        return None
    _tell(result.folder, result.model, result.stopped)
    if result.dev_wer is None:
        raise _not_measured(result.folder)
    print(f"WER on the validation set: {100 * result.dev_wer:.2f} %")
    if result.dev_cer is not None:
        print(f"CER on the validation set: {100 * result.dev_cer:.2f} %")
    for name, unit, counts in (
        ("WER", "words", result.test),
        ("CER", "characters", result.test_characters),
    ):
        if counts is not None:
            print(f"{name} on the test set: {_errors(counts, unit)}")
    return result.dev_cer if result.monitor == "cer" else result.dev_wer


def _errors(counts: "ErrorCounts", unit: str) -> str:
    """An error rate and what it is made of; without reference words there is none."""
    rate = "no reference words"
    if counts.known_rate is not None:
        rate = f"{100 * counts.known_rate:.2f} %"
    return (
        f"{rate} ({counts.errors} of {counts.total} {unit}: {counts.substitutions} substituted, "
        f"{counts.deletions} deleted, {counts.insertions} inserted)"
    )


def _train_lm(
    settings: LmRunConfig, changed: list[str], renamed: Callable[[Path], None] | None
) -> float | None:
    """Train a language model; its perplexity of a token of the validation text."""
    if settings.resume is None:
        refuse_contradictions(settings, changed)
    from asr_attn.training.lm_run import fit_lm

    result = fit_lm(settings, changed, renamed)
    if not result.main_process:
        return None
    _tell(result.folder, result.model, result.stopped)
    if result.perplexity is None:
        raise _not_measured(result.folder)
    print(f"perplexity of a token on the validation set: {result.perplexity:.3f}")
    print(f"perplexity of a word on the validation set: {result.word_perplexity:.2f}")
    return result.perplexity


def _share_run_dir(settings: RunConfig | LmRunConfig, folder: Path) -> None:
    """Let the processes that Lightning starts for more devices have the run folder of this one.

    They compose the settings anew, and what names a folder by the time would name another.
    """
    if settings.trainer.devices > 1 and "LOCAL_RANK" not in os.environ:
        sys.argv.append(f"run_dir={quoted(str(folder))}")


def _claim_sweep_folder(task: str) -> None:
    """Give a sweep a folder that no other sweep has, which may have begun in the same second."""
    folder = sweep_folder_by_clock(sys.argv[1:], CONF, task)
    if folder is not None:
        sys.argv.append(f"hydra.sweep.dir={quoted(str(claim_next_free(folder)))}")


def _tell(folder: Path, model: Path | None, stopped: bool) -> None:
    """Say what there is; a run that was stopped ends here."""
    print(f"run folder: {folder}")
    if model is not None:
        print(f"model: {model}")
    if stopped:
        print(f"stopped; go on with: python train.py {setting('resume', folder)}")
        sys.exit(INTERRUPTED)


def _not_measured(folder: Path) -> InputError:
    return InputError(
        "training ended before a model was measured; the model file holds the weights as they are: "
        f"go on by {setting('resume', folder)} with a longer trainer.max_time"
    )


def _complain(sentence: str) -> None:
    print(f"train.py: {sentence}", file=sys.stderr)


def _fail(sentence: str, code: int = 2) -> NoReturn:
    _complain(sentence)
    sys.exit(code)


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        # what its encoding lacks, such as names of folders, must not end a run that has gone well
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        task, arguments = task_of(quote_paths(sys.argv[1:]))
        (register_lm_schemas if task == "lm" else register_schemas)()
        sys.argv[1:] = name_groups(arguments, task)
        check_overrides(sys.argv[1:], CONF, task)
        _claim_sweep_folder(task)
    except InputError as error:
        _fail(str(error))
    except OSError as error:
        _fail(str(write_error(Path(error.filename or "."), error)))
    hydra.main(config_path=str(CONF), config_name=TASKS[task], version_base="1.3")(main)()
    if failed_runs:
        _fail(f"{len(failed_runs)} of the runs failed; why is said above")
