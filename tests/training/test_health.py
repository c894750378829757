import csv
import math
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from asr_attn.checkpoint import load_model
from asr_attn.data.batches import read_utterance
from asr_attn.data.manifest import read_manifest
from asr_attn.data.planning import CurriculumStage
from asr_attn.evaluation.attention import teacher_forced_attention
from asr_attn.evaluation.attention_diagnosis import EpochRecord
from asr_attn.evaluation.attention_health import AttentionHealth, attention_health, pooled
from asr_attn.nn.attention import MonotonicAttentionConfig, SoftAttentionConfig
from asr_attn.settings import LoggerConfig, RunConfig, TrainingConfig
from asr_attn.training import health as health_module
from asr_attn.training.callbacks import LABELS, METRICS, GracefulStop
from asr_attn.training.health import figures_of
from asr_attn.training.run import fit

MakeConfig = Callable[..., RunConfig]
ATTENTION = [name for name in METRICS if name.startswith("val/attention_")]


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def state_of(folder: Path) -> dict[str, Any]:
    state = torch.load(folder / "last.ckpt", weights_only=True)
    found: dict[str, Any] = state["callbacks"]["AttentionMonitor"]
    return found


def test_every_logged_figure_has_a_column() -> None:
    health = AttentionHealth(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.0, 5)
    assert [f"val/attention_{name}" for name in figures_of(health)] == ATTENTION
    assert figures_of(health)["jump"] == 0.6
    assert set(LABELS) <= set(METRICS)


def test_figures_are_logged_from_when_attention_learns(
    tone_config: MakeConfig, tones: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tone_config(training=TrainingConfig(ctc_warmup=0.4))  # of 3 epochs: from the third on
    fit(config)
    folder = Path(config.run_dir)
    rows = rows_of(folder)
    for name in ATTENTION:
        assert [bool(row[name]) for row in rows] == [False, False, True], name
    # what is logged is what the model of that epoch does
    model = load_model(folder / "best" / "epoch=0002.safetensors")
    utterances = read_manifest(tones / "train.jsonl")
    drawn = teacher_forced_attention(
        model,
        [read_utterance(u, 8000) for u in utterances],
        [model.tokenizer.encode(u.text) for u in utterances],
    )
    expected = figures_of(
        pooled([attention_health(a.weights, a.seconds_per_step, a.speech) for a in drawn])
    )
    for name, value in expected.items():
        assert float(rows[2][f"val/attention_{name}"]) == pytest.approx(value, abs=1e-5), name
    assert [p.name for p in (folder / "attention").iterdir()] == ["0_epoch=0002.png"]
    state = state_of(folder)
    (record,) = state["records"]
    assert (record["epoch"], record["attention_epochs"], record["progress"]) == (2, 1, 1.0)
    assert record["ctc_loss"] == pytest.approx(float(rows[2]["train/ctc_loss"]))
    assert record["wer"] == pytest.approx(float(rows[2]["val/wer"]))
    assert "entropy" not in capsys.readouterr().err  # the terminal's line stays short


@pytest.mark.parametrize(
    "attention",
    [
        SoftAttentionConfig(size=16, heads=2, channels=4, kernel_size=7),
        SoftAttentionConfig("hard_gumbel", size=16, draw="gumbel"),
        MonotonicAttentionConfig(size=16),
        MonotonicAttentionConfig("mocha", size=16, chunk=3, heads=2),
    ],
)
def test_every_mechanism_has_figures(tone_config: MakeConfig, attention: Any) -> None:
    config = tone_config(training=TrainingConfig(ctc_warmup=0.0, guided_attention=0.0))
    config = replace(
        config,
        model=replace(config.model, attention=attention),
        trainer=replace(config.trainer, max_epochs=1),
        logger=LoggerConfig(tensorboard=True),
    )
    fit(config)
    (row,) = rows_of(Path(config.run_dir))
    assert all(math.isfinite(float(row[name])) for name in ATTENTION)
    assert len(state_of(Path(config.run_dir))["records"][0]["health"]["heads"]) in (0, 2)
    events = list((Path(config.run_dir) / "tensorboard").glob("events*"))
    assert any(b"val/attention_entropy" in file.read_bytes() for file in events)


def test_a_finding_is_said_once_also_when_resumed(
    tone_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:

    def findings(records: list[EpochRecord], settled: float) -> dict[str, str]:
        assert settled == 0.6  # the curriculum's end
        return {"a": "first"} | ({"b": "second"} if len(records) > 2 else {})

    monkeypatch.setattr(health_module, "diagnose", findings)
    config = tone_config(training=TrainingConfig(ctc_warmup=0.0))
    loading = replace(config.data.loading, curriculum=(CurriculumStage(0.6, 3),))
    config = replace(config, data=replace(config.data, loading=loading))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(replace(config, run_dir=str(whole)))
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("note: ")] == ["note: first", "note: second"]
    # after the line of the epoch that it is about
    assert lines.index("note: first") == 1 + next(
        i for i, line in enumerate(lines) if line.startswith("epoch 1/3")
    )

    def interrupt(self: GracefulStop, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == 7:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(GracefulStop, "on_train_batch_end", interrupt)
        assert fit(replace(config, run_dir=str(parts))).stopped
    interrupted = len(state_of(parts)["records"])
    assert interrupted > 0
    fit(replace(config, resume=str(parts)))
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert notes == ["note: first", "note: second"]
    resumed, uninterrupted = state_of(parts), state_of(whole)
    for state in (resumed, uninterrupted):  # a mean over what was left of the epoch
        state["records"][interrupted].pop("ctc_loss")
    assert resumed == uninterrupted
    for a, b in zip(rows_of(parts), rows_of(whole), strict=True):
        assert [a[name] for name in ATTENTION] == [b[name] for name in ATTENTION]


def test_pictures_may_be_switched_off(tone_config: MakeConfig) -> None:
    config = tone_config()
    fit(replace(config, callbacks=replace(config.callbacks, pictures=0)))
    folder = Path(config.run_dir)
    assert not (folder / "attention").exists()
    assert rows_of(folder)[-1]["val/attention_entropy"]
