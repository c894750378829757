"""Train a speech recogniser; ``python train.py --help`` shows what can be set."""

import sys
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from asr_attn.config import check_overrides, register_schemas, resolve
from asr_attn.errors import InputError

register_schemas()
CONF = Path(__file__).resolve().parent / "conf"


@hydra.main(config_path=str(CONF), config_name="train", version_base="1.3")
def main(config: DictConfig) -> None:
    """One run, or one of several under ``--multirun``."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        with open_dict(config):
            config.run_dir = HydraConfig.get().runtime.output_dir
    try:
        settings = resolve(config)
        from asr_attn.training.run import fit  # Lightning takes seconds to import: not for --help

        result = fit(settings)
    except InputError as error:  # Hydra would print a traceback
        _fail(error)
    if not result.main_process:
        return
    print(f"run folder: {result.folder}")
    if result.model is not None:
        print(f"model: {result.model}")
    if result.dev_wer is not None:
        print(f"WER on the validation set: {100 * result.dev_wer:.2f} %")
    if result.test is not None:
        counts = result.test
        print(
            f"WER on the test set: {100 * counts.rate:.2f} % ({counts.errors} of {counts.total} "
            f"words: {counts.substitutions} substituted, {counts.deletions} deleted, "
            f"{counts.insertions} inserted)"
        )
    if result.stopped:
        print(f"stopped; go on with: python train.py resume={result.folder}")


def _fail(error: InputError) -> NoReturn:
    print(f"train.py: {error}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    try:
        check_overrides(sys.argv[1:], CONF)
    except InputError as error:
        _fail(error)
    main()
