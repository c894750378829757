import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asr_attn.config import save_settings
from asr_attn.settings import RunConfig, TrainingConfig
from tests.training.conftest import copied, incidents


def test_two_processes_train_on_disjoint_shards_and_agree_on_the_weights(
    tone_config: Callable[..., RunConfig], tones: Path, tmp_path: Path
) -> None:
    config = tone_config(training=TrainingConfig(ctc_warmup=0.4, align_at=(0.3,)))
    dev = copied(tones, tmp_path / "data")
    texts = dev.read_text(encoding="utf-8")
    dev.write_text(texts.replace('"text": "', '"text": "zz '), encoding="utf-8")
    config = replace(config, data=replace(config.data, dev=str(dev)))
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
    assert done.stderr.count("the validation and test texts hold characters") == 1
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


def run_two(
    config: RunConfig, folder: Path, fault: str
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Train in two processes with a fault; how that ended, and the state that was saved last."""
    trainer = replace(config.trainer, devices=2, strategy="ddp", accumulate_grad_batches=2)
    loading = replace(config.data.loading, batch_seconds=2.0)
    config = replace(
        config,
        trainer=trainer,
        data=replace(config.data, loading=loading),
        run_dir=str(folder / fault),
    )
    save_settings(folder / f"{fault}.json", config)
    script = Path(__file__).with_name("two_faulty_processes.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder / f"{fault}.json"), fault],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    state = torch.load(folder / fault / "last.ckpt", weights_only=True)
    return done, state


@pytest.mark.slow
def test_a_process_with_less_memory_takes_the_same_steps(steady: RunConfig, tmp_path: Path) -> None:
    done, whole = run_two(steady, tmp_path, "none")
    assert done.returncode == 0, done.stderr
    done, parts = run_two(steady, tmp_path, "memory")
    assert done.returncode == 0, done.stderr
    for name, value in whole["state_dict"].items():
        torch.testing.assert_close(parts["state_dict"][name], value, rtol=1e-4, atol=1e-5)
    rows = incidents(tmp_path / "memory")
    assert {(row["kind"], row["process"]) for row in rows} == {("memory", 1)}
    limits = [found["training"] for found in parts["memory_limits"]]
    assert limits[0] == float("inf")
    assert limits[1] == pytest.approx(rows[-1]["limit"], abs=1e-3)


@pytest.mark.slow
def test_processes_skip_a_step_together(steady: RunConfig, tmp_path: Path) -> None:
    done, state = run_two(steady, tmp_path, "not finite")
    assert done.returncode == 0, done.stderr
    (row,) = incidents(tmp_path / "not finite")
    assert row["utterances"] == ["u3"]
    assert all(weight.isfinite().all() for weight in state["state_dict"].values())
    steps = state["optimizer_states"][0]["state"]
    assert steps  # momentum of every weight, and none of it spoilt
    assert all(s["momentum_buffer"].isfinite().all() for s in steps.values())


@pytest.mark.slow
def test_processes_stop_together_and_one_of_them_says_why(
    steady: RunConfig, tones: Path, tmp_path: Path
) -> None:
    manifest = copied(tones, tmp_path / "data")
    config = replace(steady, data=replace(steady.data, train=str(manifest)))
    done, state = run_two(config, tmp_path, "unreadable")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("stopped: ") == 1
    assert "2 of 8 recordings of the train set turned out to be unreadable" in done.stderr
    assert state["epoch"] == 0
    assert sorted(name for r in incidents(tmp_path / "unreadable") for name in r["utterances"]) == [
        "u3",
        "u5",
    ]
