from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from asr_attn.data.batches import Batch
from asr_attn.data.datamodule import SpeechData
from asr_attn.data.manifest import read_manifest, write_manifest
from asr_attn.errors import AudioError
from asr_attn.settings import RunConfig
from asr_attn.training.run import fit, set_up
from asr_attn.training.task import RecognizerTask
from tests.training.conftest import RATE, copied, incidents


@pytest.fixture
def breaking(
    steady: RunConfig, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., RunConfig]:
    """Makes a run whose recordings break when its second epoch begins."""

    def make(*numbers: int, split: str = "train", **loading: Any) -> RunConfig:
        manifest = copied(tones, tmp_path / "data")
        original = SpeechData.train_dataloader

        def train_dataloader(self: SpeechData) -> Any:
            assert self.trainer is not None
            if self.trainer.current_epoch == 1:
                for number in numbers:
                    path = manifest.with_name(f"{number}.wav")
                    path.write_bytes(path.read_bytes()[:200])
            return original(self)

        monkeypatch.setattr(SpeechData, "train_dataloader", train_dataloader)
        changed = replace(steady.data.loading, **loading)
        data = replace(steady.data, loading=changed, **{split: str(manifest)})
        return replace(steady, data=data, trainer=replace(steady.trainer, max_epochs=2))

    return make


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[str], torch.Tensor]]:
    """Epoch, utterances and audio of all batches."""
    rows = []
    original = RecognizerTask.training_step

    def step(self: RecognizerTask, batch: Batch, batch_idx: int) -> torch.Tensor:
        rows.append((self.current_epoch, batch.ids, batch.waveforms))
        return original(self, batch, batch_idx)

    monkeypatch.setattr(RecognizerTask, "training_step", step)
    return rows


@pytest.mark.parametrize("batch_seconds", [0.1, pytest.param(4.0, marks=pytest.mark.slow)])
def test_a_recording_that_breaks_is_named_once_and_left_out(
    breaking: Callable[..., RunConfig],
    trained_on: list[tuple[int, list[str], torch.Tensor]],
    capsys: pytest.CaptureFixture[str],
    batch_seconds: float,
) -> None:
    config = breaking(5, batch_seconds=batch_seconds)  # 0.1: each is a batch of its own
    fit(config)
    for epoch in range(2):
        names = sorted(name for e, ids, _ in trained_on if e == epoch for name in ids)
        assert names == [f"u{i}" for i in range(8) if epoch == 0 or i != 5]
    (row,) = incidents(Path(config.run_dir))
    assert (row["kind"], row["epoch"], row["utterances"]) == ("unreadable", 1, ["u5"])
    assert "damaged or cut short" in row["note"]
    assert capsys.readouterr().err.count("u5") == 1


def test_the_rest_of_a_mixed_example_is_kept(
    breaking: Callable[..., RunConfig], tones: Path
) -> None:
    config = breaking(batch_seconds=100.0)
    _, data = set_up(config)
    plan = data.plan(0)
    first, second = (next(e for e in plan.examples if e.segments[0].utterance == i) for i in (1, 2))
    joined = replace(first, segments=(*first.segments, *second.segments))
    plan.examples, plan.batches = [joined], [[0]]
    assert plan[0].ids == ["u1+u2"]
    manifest = Path(str(config.data.train))
    manifest.with_name("1.wav").unlink()
    batch = plan[0]
    assert batch.ids == ["u2"]
    assert batch.texts == [data.train[2].text]
    samples, _ = soundfile.read(manifest.with_name("2.wav"), dtype="float32")
    torch.testing.assert_close(batch.waveforms[0], torch.from_numpy(samples))
    ((name, reason),) = batch.faults
    assert name == "u1"
    assert "1.wav does not exist" in reason
    manifest.with_name("2.wav").unlink()
    batch = plan[0]
    assert (batch.ids, batch.texts, len(batch.lengths)) == ([], [], 0)
    assert [name for name, _ in batch.faults] == ["u1", "u2"]


@pytest.mark.parametrize(
    ("numbers", "share", "message"),
    [
        ((5, 6), 0.01, r"2 of 8 recordings of the train set .* than the 1 that"),
        pytest.param(
            (5,),
            0.0,
            r"1 of 8 recordings of the train set .* than the 0 that",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_more_than_is_allowed_stop_the_run_and_are_listed(
    breaking: Callable[..., RunConfig],
    tmp_path: Path,
    numbers: tuple[int, ...],
    share: float,
    message: str,
) -> None:
    config = breaking(*numbers, unreadable=share, batch_seconds=100.0)
    with pytest.raises(AudioError, match=message) as caught:
        fit(config)
    for number in numbers:
        assert f"\n  u{number}: {tmp_path / 'data'}/{number}.wav lacks" in str(caught.value)
    assert f"go on with resume={config.run_dir}" in str(caught.value)
    assert len(incidents(Path(config.run_dir))) == len(numbers)
    state = torch.load(Path(config.run_dir) / "last.ckpt", weights_only=True)
    assert state["epoch"] == 0


@pytest.mark.slow
def test_a_share_allows_as_many_as_it_says(breaking: Callable[..., RunConfig]) -> None:
    fit(breaking(4, 5, 6, unreadable=0.4))


@pytest.mark.slow
def test_validation_goes_on_without_what_cannot_be_read(
    breaking: Callable[..., RunConfig],
) -> None:
    config = breaking(2, split="dev")
    result = fit(replace(config, callbacks=replace(config.callbacks, pictures=3)))
    assert result.dev_wer is not None
    (row,) = incidents(Path(config.run_dir))
    assert (row["split"], row["utterances"]) == ("dev", ["u2"])
    with pytest.raises(AudioError, match="3 of 8 recordings of the dev set"):
        fit(replace(breaking(2, 3, 4, split="dev"), run_dir=config.run_dir + "2"))


def damage(manifest: Path, *numbers: int) -> None:
    """Put what cannot be used into recordings, behind headers that are whole."""
    for number in numbers:
        path = manifest.with_name(f"{number}.wav")
        samples, _ = soundfile.read(path)
        samples[100] = float("nan")
        soundfile.write(path, samples, RATE, subtype="FLOAT")


@pytest.mark.parametrize("normalization", ["global", "utterance"])
def test_what_is_read_before_the_training_counts_too(
    steady: RunConfig,
    tones: Path,
    tmp_path: Path,
    normalization: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest = copied(tones, tmp_path / "data")
    damage(manifest, 4)
    loading = replace(steady.data.loading, cut_at_pauses=True, batch_seconds=100.0)
    config = replace(
        steady,
        data=replace(steady.data, train=str(manifest), loading=loading),
        features=replace(steady.features, normalization=normalization),
    )
    result = fit(config)
    assert result.dev_wer is not None
    (row,) = incidents(Path(config.run_dir))
    assert (row["kind"], row["split"], row["utterances"]) == ("unreadable", "train", ["u4"])
    assert capsys.readouterr().err.count("u4") == 1
    # the statistics are those of the others
    others = tmp_path / "data" / "others.jsonl"
    write_manifest(others, [u for u in read_manifest(manifest) if u.id != "u4"])
    task, _ = set_up(replace(config, data=replace(config.data, train=str(others))))
    lacking, _ = set_up(config)
    for ours, wanted in zip(lacking.network.features.buffers(), task.network.features.buffers()):
        torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("cut", [True, False])
def test_too_much_that_is_found_before_the_training_is_listed_whole(
    steady: RunConfig, tones: Path, tmp_path: Path, cut: bool
) -> None:
    manifest = copied(tones, tmp_path / "data")
    config = replace(steady, data=replace(steady.data, train=str(manifest)))
    _, speech = set_up(config)
    damage(manifest, 1, 4)
    with pytest.raises(
        AudioError, match=r"(?s)2 of 8 .* than the 1 .*mend them or take.*\n  u[14]: .*\n  u[14]: "
    ):
        speech.cut_at_pauses() if cut else set_up(config)
    assert not Path(config.run_dir).exists()


def test_a_recording_is_one_however_often_and_however_it_is_met(
    steady: RunConfig, tones: Path, tmp_path: Path
) -> None:
    manifest = copied(tones, tmp_path / "data")
    _, data = set_up(replace(steady, data=replace(steady.data, train=str(manifest))))
    # what is said of an MP3 that was cut short names the samples that are asked for
    reasons = [("u1", "ends after 9 of the 10 samples"), ("u1", "ends after 9 of the 12 samples")]
    for reason in reasons:
        data.note_faults("train", Batch(torch.zeros(0, 0), torch.zeros(0), [], [], (reason,)))
    assert data.unreadable["train"] == reasons[:1]
    noise = [("", "hum.wav does not exist"), ("", "rain.wav does not exist")]
    data.note_faults("train", Batch(torch.zeros(0, 0), torch.zeros(0), [], [], tuple(noise)))
    assert data.unreadable["train"] == [reasons[0], *noise]


def test_babble_of_a_recording_that_breaks_is_no_fault_of_another(
    steady: RunConfig, tones: Path, tmp_path: Path
) -> None:
    manifest = copied(tones, tmp_path / "data")
    babble = replace(
        steady.augmentation,
        noise_probability=1.0,
        noise_kinds=("babble",),
        babble_voices=(7, 7),
    )
    config = replace(steady, augmentation=babble, data=replace(steady.data, train=str(manifest)))
    _, data = set_up(config)
    manifest.with_name("5.wav").write_bytes(b"")
    batches = data.plan(0)
    faults = [name for i in range(len(batches)) for name, _ in batches[i].faults]
    assert faults == ["u5"]
