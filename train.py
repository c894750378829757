"""Train a speech recogniser; ``python train.py --help`` shows what can be set."""

import sys
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from asr_attn.config import check_overrides, name_groups, register_schemas, resolve
from asr_attn.errors import ConfigError, InputError
from asr_attn.files import write_error

register_schemas()
CONF = Path(__file__).resolve().parent / "conf"
INTERRUPTED = 130


@hydra.main(config_path=str(CONF), config_name="train", version_base="1.3")
def main(config: DictConfig) -> None:
    """One run, or one of several under ``--multirun``."""
    try:
        _run(config)
    except InputError as error:  # Hydra would print a traceback
        _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        _fail(str(write_error(Path(error.filename), error)))
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)


def _run(config: DictConfig) -> None:
    hydra_config = HydraConfig.get()
    several = hydra_config.mode == RunMode.MULTIRUN
    if several:
        with open_dict(config):
            config.run_dir = hydra_config.runtime.output_dir
    settings = resolve(config)
    if several and settings.trainer.devices * settings.trainer.num_nodes > 1:
        raise ConfigError(
            "--multirun goes with one process per run; set trainer.devices=1, or start the runs "
            "one by one"
        )
    from asr_attn.training.run import fit  # Lightning takes seconds to import: not for --help

    changed = [override.split("=")[0].lstrip("+") for override in hydra_config.overrides.task]
    result = fit(settings, changed)
    if not result.main_process:
        return
    print(f"run folder: {result.folder}")
    if result.model is not None:
        print(f"model: {result.model}")
    if result.stopped:
        print(f"stopped; go on with: python train.py resume={result.folder}")
        sys.exit(INTERRUPTED)
    if result.dev_wer is None:
        _fail("training ended before the first validation, so no model was kept; train for longer")
    print(f"WER on the validation set: {100 * result.dev_wer:.2f} %")
    if result.test is not None:
        counts = result.test
        print(
            f"WER on the test set: {100 * counts.rate:.2f} % ({counts.errors} of {counts.total} "
            f"words: {counts.substitutions} substituted, {counts.deletions} deleted, "
            f"{counts.insertions} inserted)"
        )


def _fail(sentence: str, code: int = 2) -> NoReturn:
    print(f"train.py: {sentence}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    sys.argv[1:] = name_groups(sys.argv[1:])
    try:
        check_overrides(sys.argv[1:], CONF)
    except InputError as error:
        _fail(str(error))
    main()
