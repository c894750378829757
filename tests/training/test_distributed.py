import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from asr_attn.config import save_settings
from asr_attn.settings import RunConfig, TrainingConfig


def test_two_processes_train_on_disjoint_shards_and_agree_on_the_weights(
    tone_config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = tone_config(training=TrainingConfig(ctc_warmup=0.4, align_at=(0.3,)))
    trainer = replace(config.trainer, devices=2, strategy="ddp", max_epochs=3)
    save_settings(tmp_path / "config.json", replace(config, trainer=trainer))
    script = Path(__file__).with_name("two_processes.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "config.json"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    for name, weight in first["weights"].items():
        assert torch.equal(weight, second["weights"][name]), name
    for epoch in range(3):
        ids = [
            [name for e, batch in part["seen"] if e == epoch for name in batch]
            for part in (first, second)
        ]
        assert not set(ids[0]) & set(ids[1])
        assert Counter(ids[0] + ids[1]) == Counter(f"u{i}" for i in range(8))
        steps = [sum(e == epoch for e, _ in part["seen"]) for part in (first, second)]
        assert steps[0] == steps[1]
