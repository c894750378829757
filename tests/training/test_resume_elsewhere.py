"""A run goes on from another working directory, and with data that lies elsewhere by now."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from asr_attn.config import CONFIG_FILE, load_settings
from asr_attn.errors import ConfigError, InputError
from asr_attn.lm_settings import LmRunConfig, LmTokenizerConfig, TextConfig
from asr_attn.settings import LoggerConfig, RunConfig, TrainerConfig
from asr_attn.training.lm_run import fit_lm
from asr_attn.training.resuming import with_absolute_paths
from asr_attn.training.run import fit
from tests.training.conftest import copied
from tests.training.test_resume_changed import stop_within


@pytest.fixture
def stopped(
    steady: RunConfig, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunConfig:
    """A run with relative paths in the folder ``here``, stopped within its first epoch."""
    here = tmp_path / "here"
    copied(tones, here / "data")
    monkeypatch.chdir(here)
    data = replace(
        steady.data,
        folder="data",
        train="data/train.jsonl",
        dev="data/train.jsonl",
        test="data/train.jsonl",
    )
    config = replace(steady, data=data, run_dir="runs/first")
    with monkeypatch.context() as patch:
        stop_within(patch, 0)
        assert fit(config).stopped
    return replace(config, resume=str(here / "runs" / "first"))


def edited(manifest: Path) -> None:
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('"text": "mi', '"text": "re', 1), encoding="utf-8")


def test_from_another_working_directory(
    stopped: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = load_settings(tmp_path / "here" / "runs" / "first" / CONFIG_FILE)
    assert saved.data.train == str(tmp_path / "here" / "data" / "train.jsonl")
    assert saved.run_dir == str(tmp_path / "here" / "runs" / "first")
    monkeypatch.chdir(tmp_path)
    assert fit(stopped).test is not None


@pytest.mark.parametrize("one_by_one", [True, False])
def test_with_data_that_was_moved(
    stopped: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_by_one: bool
) -> None:
    shutil.move(tmp_path / "here" / "data", tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"data\.train=.*no such file.* resume=.* data\.train=PATH"
    ):
        fit(stopped)
    place = "there/train.jsonl"
    names = ("train", "dev", "test") if one_by_one else ("folder",)
    data = replace(stopped.data, **{name: place if name != "folder" else "there" for name in names})
    assert fit(replace(stopped, data=data), [f"data.{name}" for name in names]).test is not None
    saved = load_settings(tmp_path / "here" / "runs" / "first" / CONFIG_FILE)
    assert saved.data.dev == str(tmp_path / "there" / "train.jsonl")


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_other_data_is_refused(stopped: RunConfig, tmp_path: Path, split: str) -> None:
    other = tmp_path / "other" / "train.jsonl"
    shutil.copytree(tmp_path / "here" / "data", other.parent)
    edited(other)
    data = replace(stopped.data, **{split: str(other)})
    folder = Path(str(stopped.resume))
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(InputError, match=rf"data\.{split}={other}: this data has changed"):
        fit(replace(stopped, data=data), [f"data.{split}"])
    assert {p: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


def test_values_that_are_as_they_were_are_no_change(stopped: RunConfig) -> None:
    names = [
        "run_dir",
        "data.train",
        "data.folder",
        "data.loading.batch_seconds",
        "model.encoder",
        "model.encoder.hidden_size",
        "optimizer",
        "trainer.precision",
        "callbacks.pictures",
    ]
    other = replace(stopped, callbacks=replace(stopped.callbacks, pictures=2), seed=8)
    with pytest.raises(ConfigError, match=r"^callbacks\.pictures, seed: a resumed run keeps"):
        fit(other, ["seed", *names])
    # an experiment may set anything
    with pytest.raises(ConfigError, match=r"^experiment: a resumed run keeps"):
        fit(other, ["experiment"])
    assert not fit(stopped, ["resume", "experiment", "logger", *names]).stopped


def test_a_run_of_before_goes_on(
    stopped: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions kept paths as they were given, and knew the bytes of manifests alone."""
    folder = Path(str(stopped.resume))
    settings = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    settings["run_dir"] = "runs/first"
    settings["data"] |= dict.fromkeys(("train", "dev", "test"), "data/train.jsonl")
    (folder / CONFIG_FILE).write_text(json.dumps(settings), encoding="utf-8")
    path = folder / "environment.json"
    environment = json.loads(path.read_text(encoding="utf-8"))
    (first,) = environment["sessions"]
    del first["fingerprints"]
    first["data"] = {"data/train.jsonl": next(iter(first["data"].values()))}
    path.write_text(json.dumps(environment), encoding="utf-8")
    other = tmp_path / "other" / "train.jsonl"
    shutil.copytree(tmp_path / "here" / "data", other.parent)
    moved = replace(stopped, data=replace(stopped.data, dev=str(other)))
    edited(other)
    with pytest.raises(InputError, match=r"data\.dev=.* has changed"):
        fit(moved, ["data.dev"])
    shutil.copy(tmp_path / "here" / "data" / "train.jsonl", other)
    with monkeypatch.context() as patch:
        stop_within(patch, 0)
        assert fit(stopped).stopped
    assert not fit(moved, ["data.dev"]).stopped


def test_a_language_model_goes_on_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_lm: Callable[[Path], LmRunConfig]
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "text.txt").write_text("one two\nthree\n" * 9, encoding="utf-8")
    config = make_lm(Path("text.txt"))
    result = fit_lm(config)
    shutil.move(here / "text.txt", tmp_path / "moved.txt")
    monkeypatch.chdir(tmp_path)
    more = replace(make_lm(Path("moved.txt")), resume=str(here / result.folder))
    more = replace(more, trainer=replace(more.trainer, max_epochs=2))
    changed = ["trainer.max_epochs", "data.train", "data.dev", "tokenizer.of"]
    assert fit_lm(more, changed).perplexity is not None
    (tmp_path / "moved.txt").write_text("one two\nfour\n" * 9, encoding="utf-8")
    longer = replace(more, trainer=replace(more.trainer, max_epochs=3))
    with pytest.raises(InputError, match=r"data\.train=.*moved\.txt: this data has changed"):
        fit_lm(longer, changed)


@pytest.fixture
def make_lm() -> Callable[[Path], LmRunConfig]:
    """Makes the settings of a tiny run on a text, with the tokens of a model of the package."""

    def make(text: Path) -> LmRunConfig:
        return LmRunConfig(
            run_dir="lm",
            data=TextConfig(train=str(text), dev=str(text)),
            tokenizer=LmTokenizerConfig(of="digits"),
            trainer=TrainerConfig(max_epochs=1, accelerator="cpu", precision="32-true"),
            logger=LoggerConfig(tensorboard=False),
        )

    return make


def test_names_of_models_stay_names(
    steady: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lm.arpa").write_bytes(b"")
    config = replace(
        steady, start_from="digits", search=replace(steady.search, beam=2, lm="lm.arpa")
    )
    absolute = with_absolute_paths(config)
    assert absolute.start_from == "digits"
    assert absolute.search.lm == str(tmp_path / "lm.arpa")
    assert with_absolute_paths(absolute) == absolute
    for given, expected in (
        ("sqlite:///runs/ml.db", f"sqlite:///{tmp_path}/runs/ml.db"),
        ("sqlite:////data/ml.db", "sqlite:////data/ml.db"),
        ("file:mlruns", f"file:{tmp_path}/mlruns"),
        ("file:///data/mlruns", "file:///data/mlruns"),
        ("http://localhost:5000", "http://localhost:5000"),
    ):
        logger = replace(config.logger, mlflow=given)
        assert with_absolute_paths(replace(config, logger=logger)).logger.mlflow == expected
