import csv
import itertools
import math
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from asr_attn import limits
from asr_attn.checkpoint import TrainedModel
from asr_attn.errors import CheckpointError, ConfigError, InputError
from asr_attn.lm.corpus import Line
from asr_attn.lm.neural import LstmLmConfig, TransformerLmConfig
from asr_attn.lm.neural_file import LM_FILE, load_lm
from asr_attn.lm.neural_perplexity import IGNORE, measure_tokens
from asr_attn.lm_settings import (
    LmCallbacksConfig,
    LmRunConfig,
    LmTokenizerConfig,
    TextConfig,
)
from asr_attn.settings import LoggerConfig, ScheduleConfig, TrainerConfig
from asr_attn.text.tokenizer import EOS, CharTokenizer
from asr_attn.training.callbacks import GracefulStop
from asr_attn.training.lm_data import LmData, TokenBatches, encode_text, sentences_of_epoch
from asr_attn.training.lm_run import fit_lm, set_up_lm

ROOT = Path(__file__).resolve().parents[2]
MakeConfig = Callable[..., LmRunConfig]
WORDS = ("ab", "c")
SENTENCES = [" ".join(words) for words in itertools.product(WORDS, repeat=4)]
ENTROPY = 4 * math.log(2)
"""Of a sentence of four words, each one of two with equal probability."""


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with train.txt, random sentences, and dev.txt, all that there are, once each."""
    folder = tmp_path_factory.mktemp("texts")
    random = np.random.default_rng(0)
    train = [str(s) for s in random.choice(SENTENCES, 600)]
    (folder / "train.txt").write_text("\n".join(train) + "\n", encoding="utf-8")
    (folder / "dev.txt").write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def lm_config(texts: Path, tmp_path: Path) -> MakeConfig:
    """Makes the settings of a tiny run; keywords replace parts of them."""

    def make(**changes: Any) -> LmRunConfig:
        settings = {
            "seed": 1,
            "run_dir": str(tmp_path / "run"),
            "data": TextConfig(
                train=str(texts / "train.txt"),
                dev=str(texts / "dev.txt"),
                batch_tokens=600,
                epoch_tokens=2000,
            ),
            "model": LstmLmConfig(hidden_size=24, embedding_size=8, layers=1, dropout=0.1),
            "optimizer": {"_target_": "torch.optim.AdamW", "lr": 2e-2, "fused": True},
            "scheduler": ScheduleConfig(warmup_steps=5),
            "trainer": TrainerConfig(
                max_epochs=3, accelerator="cpu", precision="32-true", threads=1
            ),
            "logger": LoggerConfig(tensorboard=False),
        }
        return LmRunConfig(**(settings | changes))

    return make


@pytest.mark.parametrize(
    "model",
    [
        LstmLmConfig(hidden_size=24, embedding_size=8, layers=1, dropout=0.0),
        TransformerLmConfig(hidden_size=16, layers=2, heads=2, feedforward_size=32, dropout=0.0),
    ],
    ids=["lstm", "transformer"],
)
def test_perplexity_comes_near_the_entropy(
    lm_config: MakeConfig, model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = replace(lm_config().trainer, max_epochs=12)
    data = replace(lm_config().data, batch_tokens=300, epoch_tokens=5000)
    result = fit_lm(lm_config(model=model, trainer=trainer, data=data))
    assert result.perplexity is not None
    assert result.word_perplexity is not None
    tokens = sum(len(sentence) + 1 for sentence in SENTENCES)
    best = math.exp(16 * ENTROPY / tokens)  # nothing predicts all of the language better
    assert best <= result.perplexity < best * 1.03
    # four words and an end of each sentence
    assert math.log(result.word_perplexity) * 80 == pytest.approx(
        math.log(result.perplexity) * tokens, rel=1e-6
    )
    kept = load_lm(result.folder)
    sentences = [kept.tokenizer.encode(sentence) for sentence in SENTENCES]
    assert measure_tokens(kept.network, sentences).perplexity == pytest.approx(
        result.perplexity, rel=1e-6
    )
    assert kept.info["tokens"] == sum(
        len(line) for line in Path(lm_config().data.train or "").read_text().splitlines()
    )
    with (result.folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(len(rows)))
    assert min(float(row["val/perplexity"]) for row in rows) == pytest.approx(result.perplexity)
    assert "epoch 1/12: perplexity" in capsys.readouterr().err


@pytest.mark.parametrize("steps", [3, 8])
def test_resumed_is_uninterrupted(
    lm_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    whole = fit_lm(lm_config(run_dir=str(tmp_path / "whole")))
    with monkeypatch.context() as patch:

        def interrupt(self: GracefulStop, trainer: pl.Trainer, *_: Any) -> None:
            if trainer.global_step == steps:
                signal.raise_signal(signal.SIGINT)

        patch.setattr(GracefulStop, "on_train_batch_end", interrupt, raising=False)
        stopped = fit_lm(lm_config())
    assert stopped.stopped
    resumed = fit_lm(lm_config(resume=str(stopped.folder), seed=5))
    assert not resumed.stopped
    states = [
        torch.load(folder / "last.ckpt", weights_only=True)
        for folder in (whole.folder, resumed.folder)
    ]
    assert states[0]["global_step"] == states[1]["global_step"] > steps
    for name, weight in states[0]["state_dict"].items():
        assert torch.equal(weight, states[1]["state_dict"][name]), name
    assert (resumed.perplexity, resumed.word_perplexity) == (
        whole.perplexity,
        whole.word_perplexity,
    )
    assert (whole.folder / LM_FILE).read_bytes() == (resumed.folder / LM_FILE).read_bytes()
    with pytest.raises(ConfigError, match="has finished its 3 epochs"):
        fit_lm(lm_config(resume=str(stopped.folder)))
    with pytest.raises(ConfigError, match="seed: a resumed run keeps its settings"):
        fit_lm(lm_config(resume=str(stopped.folder), seed=6), ["seed"])


def test_other_text_is_not_resumed_on(lm_config: MakeConfig, texts: Path, tmp_path: Path) -> None:
    text = tmp_path / "train.txt"
    text.write_text((texts / "train.txt").read_text(encoding="utf-8"), encoding="utf-8")
    data = replace(lm_config().data, train=str(text))
    result = fit_lm(lm_config(data=data))
    trainer = replace(lm_config().trainer, max_epochs=4)
    resume = lm_config(resume=str(result.folder), trainer=trainer)
    for other in ("ab ab ab c\n", "ab ab ab\n", "xy xy xy z\n"):
        text.write_text(other * 20, encoding="utf-8")
        with pytest.raises(InputError, match=r"data\.train=.* has changed since the run began"):
            fit_lm(resume, ["resume", "trainer.max_epochs"])


def test_the_best_model_is_kept_and_patience_ends(lm_config: MakeConfig) -> None:
    config = lm_config(
        # each step up the loss makes the model worse
        optimizer={"_target_": "torch.optim.SGD", "lr": 0.3, "maximize": True},
        scheduler=ScheduleConfig(warmup_steps=0, decay="constant"),
        trainer=replace(lm_config().trainer, max_epochs=20, gradient_clip_val=0.0),
        callbacks=LmCallbacksConfig(patience=2),
        data=replace(lm_config().data, batch_tokens=10**6, epoch_tokens=0),
    )
    result = fit_lm(config)
    with (result.folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        figures = [float(row["val/perplexity"]) for row in csv.DictReader(file)]
    assert len(figures) == 3
    assert figures == sorted(figures)
    assert result.perplexity == pytest.approx(figures[0])
    assert load_lm(result.folder).info["epoch"] == 0


def test_tokens_of_a_recogniser(
    lm_config: MakeConfig,
    model_file: Path,
    tiny_model: TrainedModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train, dev = tmp_path / "a.txt", tmp_path / "b.jsonl"
    train.write_text("A bad, CAB\n\nfade\n", encoding="utf-8")
    dev.write_text('{"text": "a Xerxes"}\n', encoding="utf-8")
    config = lm_config(
        data=TextConfig(train=str(train), dev=str(dev)),
        tokenizer=LmTokenizerConfig(of=str(model_file)),
    )
    task, data = set_up_lm(config)
    assert task.model.tokenizer == tiny_model.tokenizer
    assert task.model.normalizer == tiny_model.normalizer
    assert [tiny_model.tokenizer.decode(data.train.sentence(i)) for i in range(2)] == [
        "a bad cab",
        "fade",
    ]
    assert "note: data.dev: 4 of 8 tokens are unknown ('x' 'r' 's')" in capsys.readouterr().err
    train.write_text("a bad züx\nzz\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot write 'z' 'ü' 'x', which the training text"):
        set_up_lm(config)
    with pytest.raises(CheckpointError, match=r"tokenizer\.of: .*no such model file"):
        set_up_lm(replace(config, tokenizer=LmTokenizerConfig(of="gone")))


def test_characters_of_all_texts(lm_config: MakeConfig, tmp_path: Path) -> None:
    more = tmp_path / "more.txt"
    more.write_text("Xyz!\n", encoding="utf-8")
    data = replace(lm_config().data, also_train=(str(more),))
    task, texts = set_up_lm(lm_config(data=data))
    assert task.model.tokenizer == CharTokenizer.train([" abcxyz"])
    assert len(texts.train) == 601


def test_texts_that_cannot_be_used(lm_config: MakeConfig, tmp_path: Path) -> None:
    empty, long = tmp_path / "empty.txt", tmp_path / "long.txt"
    empty.write_text("\n\n", encoding="utf-8")
    long.write_text("a\n" + "ab" * 50 + "\n", encoding="utf-8")
    good = lm_config().data
    for data, message in [
        (replace(good, train=None), r"data\.train is not set"),
        (replace(good, dev=None), r"data\.dev is not set"),
        (replace(good, dev="gone.txt"), r"gone\.txt: there is no such text file"),
        (replace(good, dev=str(empty)), r"data\.dev=.*: there are no words"),
        (replace(good, train=str(long), max_tokens=99), r"long\.txt:2: this sentence has 100 tok"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            set_up_lm(lm_config(data=data))
        assert "\n" not in str(caught.value)


def test_epochs_are_parts_of_the_text() -> None:
    lengths = np.random.default_rng(0).integers(2, 40, 500)
    parts = round(lengths.sum() / 2000)
    assert parts > 3
    epochs = [sentences_of_epoch(lengths, 2000, 7, epoch) for epoch in range(2 * parts)]
    for once in (epochs[:parts], epochs[parts:]):
        assert sorted(np.concatenate(once)) == list(range(500))
    for chosen in epochs:
        assert lengths[chosen].sum() == pytest.approx(2000, rel=0.25)
    assert set(epochs[0]) != set(epochs[parts])
    assert np.array_equal(epochs[1], sentences_of_epoch(lengths, 2000, 7, 1))
    assert not np.array_equal(epochs[1], sentences_of_epoch(lengths, 2000, 8, 1))
    assert sorted(sentences_of_epoch(lengths, 0, 7, 3)) == list(range(500))
    assert sorted(sentences_of_epoch(lengths[:2], 1, 7, 0)) != [0, 1]  # no part is empty


@pytest.mark.parametrize("world_size", [1, 2])
def test_batches_hold_every_sentence_of_an_epoch_once(world_size: int) -> None:
    random = np.random.default_rng(0)
    sentences = ["a" * int(n) for n in random.integers(1, 60, 200)]
    lines = [Line(Path("x"), i, text) for i, text in enumerate(sentences)]
    text = encode_text(lines, CharTokenizer.train([" a"]), 100)
    data = LmData(text, text, TextConfig(batch_tokens=300, epoch_tokens=0), seed=3)
    plans = [data.plan(epoch, world_size) for epoch in (0, 0, 1)]
    for batches in plans:
        assert len(batches) % world_size == 0
        assert sorted(np.concatenate(batches)) == list(range(200))
        for batch in batches:
            assert len(batch) * text.lengths[batch].max() <= 300
    assert all(np.array_equal(a, b) for a, b in zip(plans[0], plans[1]))
    assert any(not np.array_equal(a, b) for a, b in zip(plans[0], plans[2]))


def test_a_batch_has_what_is_read_and_what_follows() -> None:
    lines = [Line(Path("x"), 1, "a b"), Line(Path("x"), 2, "c")]
    text = encode_text(lines, CharTokenizer.train([" abc"]), 10)
    batch = TokenBatches(text, [np.array([0, 1])])[0]
    assert batch.inputs[0].tolist() == [EOS, 4, 3, 5]
    assert batch.targets.tolist() == [[4, 3, 5, EOS], [6, EOS, IGNORE, IGNORE]]
    assert batch.inputs[1, :2].tolist() == [EOS, 6]
    assert batch.words == 3


@pytest.mark.slow
def test_command_line(texts: Path, tmp_path: Path) -> None:
    """``python train.py task=lm`` as a user runs it."""
    run = tmp_path / "run"
    arguments = [
        "task=lm",
        f"data.train={texts / 'train.txt'}",
        f"data.dev={texts / 'dev.txt'}",
        f"run_dir={run}",
        "model=transformer",
        "model.hidden_size=16",
        "model.layers=1",
        "trainer=cpu",
        "trainer.max_epochs=1",
        "trainer.threads=1",
        "logger=none",
    ]
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert f"model: {run / LM_FILE}" in done.stdout
    assert re.search(r"perplexity of a word on the validation set: \d+\.\d\d\n", done.stdout)
    assert load_lm(run).config.name == "transformer"


def test_a_model_that_diverges_is_told_in_a_sentence(lm_config, monkeypatch):
    monkeypatch.setitem(limits.MOST, "lr", 1e31)
    config = lm_config(
        optimizer={"_target_": "torch.optim.SGD", "lr": 1e30},
        scheduler=ScheduleConfig(warmup_steps=0),
        trainer=TrainerConfig(
            max_epochs=1,
            accelerator="cpu",
            precision="32-true",
            threads=1,
        ),
    )
    with pytest.raises(InputError, match=r"lower optimizer\.lr \(now 1e\+30"):
        fit_lm(config)
    assert not (Path(config.run_dir) / LM_FILE).exists()
