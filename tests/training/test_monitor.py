"""The error rate that the best models and patience go by."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from asr_attn.checkpoint import load_model
from asr_attn.data.manifest import read_manifest
from asr_attn.evaluation.error_rates import ErrorCounts
from asr_attn.evaluation.runs import read_run
from asr_attn.settings import CallbacksConfig, RunConfig
from asr_attn.text.scripts import lacks_spaces
from asr_attn.training.checkpoints import RunCheckpoints
from asr_attn.training.run import fit
from asr_attn.training.task import RecognizerTask

EPOCHS = 4


def wer_falls_and_cer_rises(tones: Path) -> Callable[[RecognizerTask, ErrorCounts], float]:
    words = sum(len(u.text.split()) for u in read_manifest(tones / "train.jsonl"))

    def pooled_rate(task: RecognizerTask, counts: ErrorCounts) -> float:
        epoch = task.current_epoch
        return 1 - epoch / 100 if counts.total == words else epoch / 100

    return pooled_rate


@pytest.mark.parametrize(("monitor", "best"), [("wer", EPOCHS - 1), ("cer", 0), ("auto", 3)])
def test_the_best_model_and_patience_go_by_what_is_named(
    steady: RunConfig, tones: Path, monkeypatch: pytest.MonkeyPatch, monitor: str, best: int
) -> None:
    monkeypatch.setattr(RecognizerTask, "_pooled_rate", wer_falls_and_cer_rises(tones))
    config = replace(
        steady,
        trainer=replace(steady.trainer, max_epochs=EPOCHS, check_val_every_n_epoch=1),
        callbacks=replace(
            steady.callbacks, monitor=monitor, keep_best=1, patience=2, save_minutes=9
        ),
    )
    result = fit(config)
    folder = Path(config.run_dir)
    (kept,) = (folder / "best").iterdir()
    found = load_model(kept).info
    assert found["epoch"] == best
    assert [found["dev_wer"], found["dev_cer"]] == pytest.approx([1 - best / 100, best / 100])
    info = load_model(folder).info
    assert info["monitor"] == result.monitor == ("cer" if monitor == "cer" else "wer")
    assert (info["dev_wer"], info["dev_cer"]) == (result.dev_wer, result.dev_cer)
    for name in ("wer", "cer"):
        low, high = info[f"dev_{name}_interval"]
        assert low <= info[f"dev_{name}"] <= high
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # patience of two ends the run that goes by CER after its third epoch
    assert len(rows) == (3 if monitor == "cer" else EPOCHS)
    assert [float(row["val/cer"]) for row in rows] == pytest.approx(
        [i / 100 for i in range(len(rows))]
    )
    run = read_run(folder)
    assert run is not None
    assert (run.wer, run.cer, run.monitor) == (result.dev_wer, result.dev_cer, result.monitor)


def test_texts_without_spaces_are_ranked_by_cer(
    steady: RunConfig, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "zh.jsonl"
    signs = {"do": "\u4f60", "re": "\u597d", "mi": "\u5417"}
    lines = []
    for line in (tones / "train.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        record["text"] = "".join(signs[word] for word in record["text"].split())
        record["audio"] = str((tones / record["audio"]).absolute())
        lines.append(json.dumps(record) + "\n")
    manifest.write_text("".join(lines), encoding="utf-8")
    data = replace(steady.data, train=str(manifest), dev=str(manifest), test=str(manifest))
    result = fit(replace(steady, data=data))
    assert result.monitor == "cer"
    assert "models are ranked by CER (callbacks.monitor=wer" in capsys.readouterr().err
    assert result.test is not None
    assert result.test_characters is not None
    assert result.test.total == 8
    assert result.test_characters.total == sum(len(json.loads(line)["text"]) for line in lines)


def test_states_of_before_there_was_a_choice_go_by_wer(tmp_path: Path) -> None:
    checkpoints = RunCheckpoints(tmp_path, CallbacksConfig(), 0.0)
    checkpoints.monitor = "cer"
    checkpoints.load_state_dict({"best": [[0.5, "epoch=0001.safetensors", 1]], "stale": 2})
    assert checkpoints.monitor == "wer"
    assert checkpoints.best[0].rate == 0.5
    checkpoints.monitor = "cer"
    others = RunCheckpoints(tmp_path, CallbacksConfig(), 0.0)
    others.load_state_dict(checkpoints.state_dict())
    assert others.monitor == "cer"


def test_an_unknown_error_rate_is_refused() -> None:
    with pytest.raises(ValueError, match=r"callbacks\.monitor='per' is not one of auto, wer, cer"):
        CallbacksConfig(monitor="per")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今天天气很好", True),
        ("今天 天气 很 好", False),
        ("東京は晴れです", True),
        ("วันนี้อากาศดีมาก ไปเที่ยวกัน", True),
        ("วัน นี้ อากาศ ดี มาก", False),
        ("ថ្ងៃនេះអាកាសធាតុល្អ", True),
        ("오늘 날씨가 좋다", False),
        ("one two three", False),
        ("two", False),
        ("नमस्ते दुनिया", False),
        ("我用 wifi 上网看电影", True),
        ("", False),
    ],
)
def test_scripts_without_spaces(text: str, expected: bool) -> None:
    assert lacks_spaces([text]) == expected
