import json
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

import asr_attn
from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.checkpoint import average_models, load_model
from asr_attn.data.manifest import read_manifest
from asr_attn.data.planning import CurriculumStage, LoadingConfig, MixingConfig
from asr_attn.errors import ConfigError, InputError
from asr_attn.nn.precision import bfloat16_pays
from asr_attn.settings import RunConfig, ScheduleConfig, TrainingConfig
from asr_attn.training.callbacks import GracefulStop
from asr_attn.training.run import fit, set_up
from asr_attn.training.task import RecognizerTask
from asr_attn.training.trainer import precision_for

MakeConfig = Callable[..., RunConfig]
NO_AUGMENTATION = AugmentationConfig(speed=(1.0,), gain_db=0.0, frequency_masks=0, time_masks=0)


def final_state(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "last.ckpt", weights_only=True)
    return state


def assert_same_training(first: Path, second: Path) -> None:
    """Weights and optimizer state equal to the bit."""
    a, b = final_state(first), final_state(second)
    assert a["state_dict"].keys() == b["state_dict"].keys()
    for name, weight in a["state_dict"].items():
        assert torch.equal(weight, b["state_dict"][name]), name
    moments = [s["optimizer_states"][0]["state"] for s in (a, b)]
    for index, state in moments[0].items():
        for name, value in state.items():
            assert torch.equal(value, moments[1][index][name]), (index, name)
    assert a["global_step"] == b["global_step"]


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Ask training to stop, as Ctrl-C does, when ``steps`` are done."""

    def interrupt(self: GracefulStop, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == steps:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(GracefulStop, "on_train_batch_end", interrupt)


def test_overfits_eight_utterances_to_zero_wer(tone_config: MakeConfig, tones: Path) -> None:
    config = tone_config(
        augmentation=NO_AUGMENTATION,
        training=TrainingConfig(ctc_warmup=0.2, label_smoothing=0.0, scheduled_sampling=0.0),
    )
    model = replace(
        config.model,
        encoder=replace(config.model.encoder, dropout=0.0),
        decoder=replace(config.model.decoder, dropout=0.0),
    )
    config = replace(
        config,
        model=model,
        trainer=replace(config.trainer, max_epochs=150, check_val_every_n_epoch=15),
        callbacks=replace(config.callbacks, pictures=0),
    )
    result = fit(config)
    assert result.dev_wer == 0.0
    assert result.model is not None
    recognizer = asr_attn.load(result.model)
    for utterance in read_manifest(tones / "train.jsonl"):
        assert recognizer.transcribe(utterance.audio).text == utterance.text
        assert recognizer.transcribe(utterance.audio, beam=4).text == utterance.text


@pytest.fixture
def varied(tone_config: MakeConfig) -> RunConfig:
    """A run with everything random or stateful switched on: 3 epochs of several steps."""
    config = tone_config(
        training=TrainingConfig(ctc_warmup=0.3, align_at=(0.3,), scheduled_sampling=0.5)
    )
    loading = LoadingConfig(
        batch_seconds=2.0,
        curriculum=(CurriculumStage(0.5, 2),),
        mixing=MixingConfig(0.5, 3, (0.0, 0.1)),
    )
    return replace(config, data=replace(config.data, loading=loading))


def test_nothing_is_mixed_after_its_share_of_the_training(tone_config: MakeConfig) -> None:
    config = tone_config()
    mixing = MixingConfig(1.0, 6, until=0.5)
    loading = LoadingConfig(batch_seconds=10.0, mixing=mixing)
    config = replace(
        config,
        data=replace(config.data, loading=loading),
        trainer=replace(config.trainer, max_epochs=2),
    )
    _, data = set_up(config)
    joined = [
        max(len(example.segments) for example in data.plan(epoch).examples) for epoch in (0, 1)
    ]
    assert joined[0] > 1
    assert joined[1] == 1


def test_same_seed_gives_the_same_weights_and_another_seed_others(
    varied: RunConfig, tmp_path: Path
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        fit(replace(varied, run_dir=str(tmp_path / name), seed=seed))
    assert_same_training(tmp_path / "a", tmp_path / "b")
    weights = [final_state(tmp_path / n)["state_dict"]["network.ctc.weight"] for n in "ac"]
    assert not torch.equal(*weights)


@pytest.mark.parametrize(
    "steps", [1, 5, 11, *(pytest.param(steps, marks=pytest.mark.slow) for steps in (3, 7, 9))]
)
def test_resume_equals_uninterrupted_to_the_bit(
    varied: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    fit(replace(varied, run_dir=str(whole)))
    with monkeypatch.context() as patch:
        stop_after(patch, steps)
        stopped = fit(replace(varied, run_dir=str(parts)))
    assert stopped.stopped
    assert final_state(parts)["global_step"] == steps
    resumed = fit(replace(varied, resume=str(parts)))
    assert not resumed.stopped
    assert_same_training(whole, parts)
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM"])
def test_signals_that_end_a_process_save_first(
    varied: RunConfig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)

    def end(self: GracefulStop, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == 2:
            signal.raise_signal(number)
            if name == "SIGHUP":  # a terminal that closes says so more than once
                signal.raise_signal(number)

    monkeypatch.setattr(GracefulStop, "on_train_batch_end", end, raising=False)
    assert fit(varied).stopped
    assert final_state(Path(varied.run_dir))["global_step"] == 2
    assert signal.getsignal(number) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_what_nohup_has_ignored_stays_ignored(
    varied: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang_up(self: GracefulStop, *_: Any) -> None:
        signal.raise_signal(signal.SIGHUP)

    monkeypatch.setattr(GracefulStop, "on_train_batch_end", hang_up, raising=False)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert not fit(varied).stopped
    finally:
        signal.signal(signal.SIGHUP, before)


def test_resume_takes_the_settings_of_the_run(
    varied: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        fit(varied)
    other = replace(
        varied,
        seed=7,
        scheduler=ScheduleConfig(warmup_steps=50),
        trainer=replace(varied.trainer, max_epochs=9, gradient_clip_val=0.1),
    )
    fit(replace(other, resume=varied.run_dir))
    fit(replace(varied, run_dir=str(tmp_path / "whole")))
    assert_same_training(tmp_path / "whole", Path(varied.run_dir))


def test_resume_may_change_the_length_but_not_the_task(
    varied: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        fit(varied)
    longer = replace(varied, resume=varied.run_dir, trainer=replace(varied.trainer, max_epochs=4))
    linear = replace(longer, scheduler=replace(varied.scheduler, decay="linear"))
    with pytest.raises(ConfigError, match=r"scheduler\.decay: a resumed run keeps its settings"):
        fit(linear, changed=["resume", "scheduler.decay"])
    fit(longer, changed=["resume", "trainer.max_epochs"])
    rows = (Path(varied.run_dir) / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2", "3"]
    with pytest.raises(ConfigError, match="has finished its 4 epochs"):
        fit(replace(varied, resume=varied.run_dir))
    (Path(varied.run_dir) / "last.ckpt").write_bytes(b"half of a checkp")
    with pytest.raises(ConfigError, match="damaged"):
        fit(replace(varied, resume=varied.run_dir))


def test_a_folder_that_holds_a_run_is_not_overwritten(varied: RunConfig) -> None:
    folder = Path(varied.run_dir)
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds a run already"):
        fit(varied)
    (folder / "config.json").unlink()
    folder.rmdir()
    folder.write_text("a file")
    with pytest.raises(ConfigError, match="cannot be made"):
        fit(varied)


@pytest.mark.parametrize(
    ("trainer", "optimizer", "message"),
    [
        ({"accelerator": "abacus"}, {}, "trainer: .*abacus"),
        ({"max_time": "soon"}, {}, "trainer: "),
        ({}, {"betas": [2.0, 0.9]}, "optimizer: .*beta"),
        ({}, {"fussed": True}, "optimizer: .*fussed"),
    ],
)
def test_values_that_libraries_refuse_are_explained(
    varied: RunConfig, trainer: dict[str, Any], optimizer: dict[str, Any], message: str
) -> None:
    config = replace(
        varied,
        trainer=replace(varied.trainer, **trainer),
        optimizer={**varied.optimizer, **optimizer},
    )
    with pytest.raises(ConfigError, match=message):
        fit(config)


def test_early_stopping_counts_validations_without_gain(
    varied: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecognizerTask, "_pooled_rate", lambda self, counts: 0.5)
    config = replace(
        varied,
        trainer=replace(varied.trainer, max_epochs=20),
        callbacks=replace(varied.callbacks, patience=2, pictures=0),
    )
    fit(config)
    rows = (Path(config.run_dir) / "metrics.csv").read_text().splitlines()
    # attention and full length from epoch 10 on (half of 20); the first value is a gain over none
    last = int(rows[-1].split(",")[0])
    assert 10 <= last <= 12


def test_resume_refuses_a_folder_without_a_run_and_changed_data(
    varied: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tones: Path
) -> None:
    with pytest.raises(ConfigError, match="name the folder of a run"):
        fit(replace(varied, resume=str(tmp_path)))
    manifest = tmp_path / "train.jsonl"
    text = (tones / "train.jsonl").read_text().replace('"audio": "', f'"audio": "{tones}/')
    manifest.write_text(text)
    config = replace(varied, data=replace(varied.data, train=str(manifest)))
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        fit(config)
    manifest.write_text("\n".join(text.splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match="has changed"):
        fit(replace(varied, resume=config.run_dir))


def test_a_crash_while_saving_leaves_the_last_good_state(
    varied: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    original = torch.save

    def failing(state: Any, file: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            file.write(b"half of a checkp")
            raise OSError(28, "No space left on device")
        original(state, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", failing)
        with pytest.raises(InputError, match=r"disk is full.* go on with resume="):
            fit(varied)
    assert final_state(Path(varied.run_dir))["epoch"] == 0
    assert not list(Path(varied.run_dir).rglob("*.partial"))
    fit(replace(varied, resume=varied.run_dir))
    fit(replace(varied, run_dir=str(tmp_path / "whole")))
    assert_same_training(tmp_path / "whole", Path(varied.run_dir))


def test_average_is_the_mean_of_the_weights(varied: RunConfig) -> None:
    fit(varied)
    files = sorted((Path(varied.run_dir) / "best").glob("*.safetensors"))
    assert len(files) == 2
    averaged = average_models(files).network.state_dict()
    models = [load_model(file).network.state_dict() for file in files]
    for name, value in averaged.items():
        torch.testing.assert_close(value, (models[0][name] + models[1][name]) / 2)


def test_run_folder_holds_what_is_promised(varied: RunConfig) -> None:
    fit(varied)
    folder = Path(varied.run_dir)
    assert {p.name for p in folder.iterdir()} == {
        "attention",
        "best",
        "config.json",
        "environment.json",
        "last.ckpt",
        "metrics.csv",
        "model.safetensors",
    }
    model = load_model(folder)
    assert model.calibration is not None
    low, high = model.info["dev_wer_interval"]
    assert low <= model.info["dev_wer"] <= high
    pictures = list((folder / "attention").iterdir())
    assert pictures
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in pictures)
    header = (folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"val/wer", "val/ctc_wer", "train/ctc_loss", "train/attention_loss"} <= set(header)


def test_faulty_data_is_reported_before_training(
    tone_config: MakeConfig, tones: Path, tmp_path: Path
) -> None:
    config = tone_config()
    with pytest.raises(InputError, match=r"(?s)u2.*over data.max_duration=1"):
        fit(
            replace(
                config,
                run_dir=str(tmp_path / "first"),
                data=replace(config.data, max_duration=1.0),
            )
        )
    text = (tones / "train.jsonl").read_text().replace('"audio": "', f'"audio": "{tones}/')
    lines = text.splitlines()
    lines[0] = lines[0].replace('"text": "', '"text": "' + "da di du " * 20)
    manifest = tmp_path / "train.jsonl"
    manifest.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"characters in .* s cannot be right"):
        fit(replace(config, data=replace(config.data, train=str(manifest))))
    lines[0] = re.sub(r'"text": "[^"]*"', '"text": "?!"', lines[0])
    lines[1] = lines[1].replace('"duration": 0', '"duration": 5')
    manifest.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"(?s)u1 .*its file is .* long.*u0: has no text"):
        fit(
            replace(
                config,
                run_dir=str(tmp_path / "other"),
                data=replace(config.data, train=str(manifest)),
            )
        )


def test_precision_is_chosen_by_the_processor(
    tone_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = replace(tone_config().trainer, precision="auto")
    zen = {"avx512_bf16": True, "cpu_name": "AMD Zen 5"}
    rapids = {"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon"}
    masked = {"avx512_bf16": True, "amx_bf16": False, "cpu_name": "Intel Xeon"}
    for flags, expected in (
        (zen, "bf16-mixed"),
        (rapids, "bf16-mixed"),
        (masked, "32-true"),
        ({}, "32-true"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags, raising=False)
        bfloat16_pays.cache_clear()
        assert precision_for(trainer) == expected
    bfloat16_pays.cache_clear()
    assert precision_for(replace(trainer, precision="32-true")) == "32-true"


def test_further_manifests_are_trained_on_too(
    tone_config: MakeConfig, tones: Path, tmp_path: Path
) -> None:
    config = tone_config()
    again = replace(config, data=replace(config.data, also_train=(str(tones / "train.jsonl"),)))
    with pytest.raises(InputError, match="8 utterances have ids that another"):
        set_up(again)
    text = (tones / "train.jsonl").read_text().replace('"audio": "', f'"audio": "{tones}/')
    more = tmp_path / "more.jsonl"
    more.write_text(text.replace('"id": "u', '"id": "v'))
    _, data = set_up(replace(config, data=replace(config.data, also_train=(str(more),))))
    assert [u.id for u in data.train] == [f"{k}{i}" for k in "uv" for i in range(8)]


def with_confidences(source: Path, target: Path, values: list[object]) -> str:
    """A manifest of the same recordings as a recogniser would have written it."""
    lines = [json.loads(line) for line in source.read_text().splitlines()]
    for i, (line, value) in enumerate(zip(lines, values, strict=True)):
        line |= {"id": f"v{i}", "audio": str(source.parent / line["audio"]), "confidence": value}
    target.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(target)


def test_what_a_recogniser_was_not_sure_of_is_not_trained_on(
    tone_config: MakeConfig, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = [0.2, 0.8, None, 0.79, 1.0, 0.0, 0.9, 0.1]
    more = with_confidences(tones / "train.jsonl", tmp_path / "more.jsonl", values)
    config = tone_config()
    data = replace(config.data, also_train=(more,), least_confidence=0.8)
    _, speech = set_up(replace(config, data=data))
    assert [u.id for u in speech.train] == [*(f"u{i}" for i in range(8)), "v1", "v4", "v6"]
    assert "3 of 8 utterances with a confidence are trained on" in capsys.readouterr().err
    poor = with_confidences(tones / "train.jsonl", tmp_path / "poor.jsonl", [0.5] * 8)
    with pytest.raises(InputError, match="leaves no utterance"):
        set_up(replace(config, data=replace(data, train=poor, also_train=())))
    wrong = with_confidences(tones / "train.jsonl", tmp_path / "wrong.jsonl", ["high"] * 8)
    with pytest.raises(InputError, match="'v0': its confidence is 'high', not a number"):
        set_up(replace(config, data=replace(data, also_train=(wrong,))))


def test_a_language_model_that_cannot_be_used_is_told_before_the_training(
    varied: RunConfig,
) -> None:
    search = replace(varied.search, lm="none.arpa")
    with pytest.raises(InputError, match=r"none\.arpa"):
        fit(replace(varied, search=search))
    assert not (Path(varied.run_dir) / "config.json").exists()
