import importlib.util

import pytest

from asr_attn.errors import ConfigError
from asr_attn.settings import LoggerConfig
from asr_attn.training.trainer import make_loggers


@pytest.mark.parametrize(("name", "value"), [("mlflow", "file:mlruns"), ("wandb", "speech")])
def test_a_logger_whose_package_is_missing_says_so(name, value, tmp_path):
    if importlib.util.find_spec(name) is not None:
        pytest.skip(f"{name} is installed")
    with pytest.raises(ConfigError, match=f"logger.{name}: needs the package {name}"):
        make_loggers(LoggerConfig(tensorboard=False, **{name: value}), tmp_path)


def test_loggers_are_those_that_are_asked_for(tmp_path):
    assert make_loggers(LoggerConfig(tensorboard=False), tmp_path) == []
    (board,) = make_loggers(LoggerConfig(), tmp_path)
    assert board.save_dir == str(tmp_path) or board.save_dir == tmp_path
