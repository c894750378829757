import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

import asr_attn
from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.checkpoint import load_model
from asr_attn.data.manifest import read_manifest
from asr_attn.data.planning import CurriculumStage, LoadingConfig, MixingConfig
from asr_attn.errors import ConfigError, InputError
from asr_attn.settings import RunConfig, ScheduleConfig, TrainingConfig
from asr_attn.training.callbacks import GracefulStop
from asr_attn.training.checkpoints import average_models
from asr_attn.training.run import fit, precision_for

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


def test_same_seed_gives_the_same_weights_and_another_seed_others(
    varied: RunConfig, tmp_path: Path
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        fit(replace(varied, run_dir=str(tmp_path / name), seed=seed))
    assert_same_training(tmp_path / "a", tmp_path / "b")
    weights = [final_state(tmp_path / n)["state_dict"]["network.ctc.weight"] for n in "ac"]
    assert not torch.equal(*weights)


@pytest.mark.parametrize("steps", range(1, 13, 2))
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


def test_resume_takes_the_settings_of_the_run(
    varied: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        fit(varied)
    other = replace(varied, seed=7, scheduler=ScheduleConfig(warmup_steps=50))
    resumed = replace(other, resume=varied.run_dir)
    fit(resumed)
    fit(replace(varied, run_dir=str(tmp_path / "whole")))
    assert_same_training(tmp_path / "whole", Path(varied.run_dir))


def test_resume_refuses_a_folder_without_a_run_and_changed_data(
    varied: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tones: Path
) -> None:
    with pytest.raises(ConfigError, match=r"last\.ckpt"):
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
    original = pl.Trainer.save_checkpoint

    def failing(self: pl.Trainer, path: Any, *rest: Any, **named: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            Path(path).write_bytes(b"half of a checkp")
            raise OSError(28, "No space left on device")
        original(self, path, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(pl.Trainer, "save_checkpoint", failing)
        with pytest.raises(InputError, match="disk is full"):
            fit(varied)
    assert final_state(Path(varied.run_dir))["epoch"] == 0
    assert not list(Path(varied.run_dir).glob("*.partial"))
    fit(replace(varied, resume=varied.run_dir))
    fit(replace(varied, run_dir=str(tmp_path / "whole")))
    assert_same_training(tmp_path / "whole", Path(varied.run_dir))


def test_average_is_the_mean_of_the_weights(varied: RunConfig) -> None:
    fit(varied)
    files = sorted((Path(varied.run_dir) / "best").glob("*.safetensors"))
    assert len(files) == 2
    averaged = average_models(files)
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
        "last.ckpt",
        "metrics.csv",
        "model.safetensors",
    }
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
        fit(replace(config, data=replace(config.data, max_duration=1.0)))
    text = (tones / "train.jsonl").read_text().replace('"audio": "', f'"audio": "{tones}/')
    lines = text.splitlines()
    lines[0] = lines[0].replace('"text": "', '"text": "' + "da di du " * 20)
    lines[1] = lines[1].replace('"text": "', '"text": "!?"').replace('!?"', "!?", 1)
    manifest = tmp_path / "train.jsonl"
    manifest.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"characters in .* s cannot be right"):
        fit(replace(config, data=replace(config.data, train=str(manifest))))
    assert not Path(config.run_dir).exists()


def test_precision_is_chosen_by_the_processor(
    tone_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = replace(tone_config().trainer, precision="auto")
    for flags, expected in (({"avx512_bf16": True}, "bf16-mixed"), ({}, "32-true")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda flags=flags: flags, raising=False)
        assert precision_for(trainer) == expected
    assert precision_for(replace(trainer, precision="32-true")) == "32-true"
