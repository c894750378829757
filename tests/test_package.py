"""What importing the package does to the process."""

import os
import subprocess
import sys

import pytest

NAME = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"


@pytest.mark.parametrize(("own", "expected"), [(None, "64"), ("7", "7")])
def test_few_shapes_are_kept_unless_the_user_says_how_many(own, expected):
    environment = {name: value for name, value in os.environ.items() if name != NAME}
    if own is not None:
        environment[NAME] = own
    program = f"import asr_attn, os, sys; print(os.environ['{NAME}'], 'torch' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.split() == [expected, "False"]
