"""Training with every kind of tokenizer."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import asr_attn
from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.checkpoint import load_model, save_model
from asr_attn.data.manifest import read_manifest, write_manifest
from asr_attn.data.planning import MixingConfig
from asr_attn.decoding.hotwords import Hotword
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.errors import ConfigError, InputError
from asr_attn.lm.arpa import write_arpa
from asr_attn.lm.kneser_ney import KneserNeyConfig, train
from asr_attn.lm.storage import Workspace
from asr_attn.lm.vocabulary import token_symbols
from asr_attn.settings import RunConfig, TrainingConfig
from asr_attn.text.build import TokenizerConfig
from asr_attn.text.tokenizer import BpeTokenizer, UnigramTokenizer
from asr_attn.training.run import fit, set_up, with_settings_of_start
from tests.training.conftest import PITCHES
from tests.training.test_run import assert_same_training, stop_after

MakeConfig = Callable[..., RunConfig]
QUIET = AugmentationConfig(
    speed=(1.0,), gain_db=0.0, frequency_masks=0, time_masks=0, vocal_tract=0.0
)
CHOICES = [
    TokenizerConfig("bpe", 16, 0.1),
    TokenizerConfig("unigram", 12, 0.5),
    TokenizerConfig("bytes"),
    TokenizerConfig("words"),
]


def no_training(*_: Any) -> None:
    raise AssertionError("a resumed run has its tokenizer")


@pytest.mark.slow
def test_resume_draws_what_an_uninterrupted_run_draws(
    tone_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tone_config(tokenizer=TokenizerConfig("bpe", 16, 0.4))
    config = replace(config, trainer=replace(config.trainer, max_epochs=2))
    whole, parts, plain = (str(tmp_path / name) for name in ("whole", "parts", "plain"))
    fit(replace(config, run_dir=whole))
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        assert fit(replace(config, run_dir=parts)).stopped
    with monkeypatch.context() as patch:
        patch.setattr(BpeTokenizer, "train", no_training)
        fit(replace(config, resume=parts))
    assert_same_training(Path(whole), Path(parts))
    fit(replace(config, run_dir=plain, tokenizer=TokenizerConfig("bpe", 16)))
    weights = [load_model(folder).network.ctc.weight for folder in (whole, plain)]
    assert not torch.equal(*weights)  # the draws do make a difference


def test_cuts_differ_from_step_to_step_but_not_from_run_to_run(tone_config: MakeConfig) -> None:
    task, _ = set_up(tone_config(tokenizer=TokenizerConfig("unigram", 12, 0.3)))
    found = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(task._tokens_of(["do re mi do re mi"]))
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[2] != found[1]
    assert isinstance(task.model.tokenizer, UnigramTokenizer)
    assert {task.model.tokenizer.decode(row) for (row,) in found} == {"do re mi do re mi"}


def test_a_size_that_cannot_be_is_refused_before_training(tone_config: MakeConfig) -> None:
    config = tone_config(tokenizer=TokenizerConfig("bpe", 300))
    with pytest.raises(InputError, match=r"^tokenizer\.size=300: .*set it to at most \d+$"):
        fit(config)
    assert not Path(config.run_dir).exists()


def test_starting_from_a_model_keeps_its_tokens_and_may_sample(
    tone_config: MakeConfig, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task, _ = set_up(tone_config(tokenizer=TokenizerConfig("words", 5)))
    assert "hold words that the model has no tokens for" in capsys.readouterr().err
    start = tmp_path / "words.safetensors"
    save_model(start, task.model)
    later = with_settings_of_start(tone_config(start_from=str(start)))
    assert later.tokenizer == TokenizerConfig("words", 5)
    utterances = read_manifest(tones / "train.jsonl")
    other = [replace(u, text=u.text.replace("do", "fa")) for u in utterances]
    write_manifest(tmp_path / "other.jsonl", other)
    data = replace(later.data, train=str(tmp_path / "other.jsonl"))
    assert set_up(replace(later, data=data))[0].model.tokenizer == task.model.tokenizer
    sampled = TokenizerConfig("bpe", 16, 0.1)
    with pytest.raises(ConfigError, match=r"start_from=.*: tokenizer\.sampling=0\.1: words"):
        with_settings_of_start(tone_config(start_from=str(start), tokenizer=sampled))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.name)
def test_learns_and_searches_with_all_scorers(
    choice: TokenizerConfig, tone_config: MakeConfig, tones: Path, tmp_path: Path
) -> None:
    config = tone_config(
        tokenizer=choice,
        augmentation=QUIET,
        training=TrainingConfig(
            ctc_warmup=0.3, align_at=(0.4,), label_smoothing=0.0, scheduled_sampling=0.0
        ),
    )
    model = replace(
        config.model,
        encoder=replace(config.model.encoder, dropout=0.0),
        decoder=replace(config.model.decoder, dropout=0.0),
    )
    loading = replace(config.data.loading, mixing=MixingConfig(0.5, 3, (0.0, 0.1)))
    config = replace(
        config,
        model=model,
        data=replace(config.data, loading=loading),
        trainer=replace(config.trainer, max_epochs=240, check_val_every_n_epoch=20),
        callbacks=replace(config.callbacks, pictures=1),
    )
    result = fit(config)
    assert result.dev_wer == 0.0
    assert result.model is not None
    tokenizer = load_model(result.model).tokenizer
    utterances = read_manifest(tones / "train.jsonl")
    files = []
    for units in ("words", "tokens"):
        symbols = token_symbols(tokenizer)
        text = [
            u.text.split() if units == "words" else [symbols[t] for t in tokenizer.encode(u.text)]
            for u in utterances
        ]
        files.append(tmp_path / f"{units}.arpa")
        known = symbols if units == "tokens" else ()
        with Workspace(1 << 26) as workspace:
            write_arpa(files[-1], train(text, KneserNeyConfig(2, ()), workspace, known).ngrams)
    searches = [SearchConfig(), SearchConfig(4), SearchConfig(4, ctc_weight=0.3)]
    searches += [SearchConfig(4, ctc_weight=0.3, lm=str(path), lm_weight=0.2) for path in files]
    for search in searches:
        hotwords = [Hotword("do re", 0.5)] if search.beam > 1 else []
        recognizer = asr_attn.load(result.model, search=search, hotwords=hotwords)
        for utterance in utterances:
            found = recognizer.transcribe(utterance.audio)
            assert found.text == utterance.text
            assert [word.text for word in found.words] == utterance.text.split()
            assert "".join(token.text for token in found.tokens) == found.text
            check_times(found, utterance.audio)


def check_times(found: asr_attn.Transcript, audio: Path) -> None:
    """Words come in order, and each is where its tone is: the pitch there is that of the word."""
    import numpy as np
    import soundfile

    samples, rate = soundfile.read(audio)
    for word in found.words:
        assert word.source == "ctc"
        middle = int((word.start + word.end) / 2 * rate)
        piece = samples[max(0, middle - 400) : middle + 400]
        spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 8000))
        pitch = spectrum.argmax() * rate / 8000
        assert abs(pitch - PITCHES[word.text]) < 60
    starts = [word.start for word in found.words]
    assert starts == sorted(starts)
