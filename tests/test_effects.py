"""Settings that contradict each other, or change nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from asr_attn.config import (
    name_groups,
    register_lm_schemas,
    register_schemas,
    resolve,
    resolve_lm,
    written_name,
)
from asr_attn.effects import differing, refuse_contradictions, without_effect
from asr_attn.errors import ConfigError
from asr_attn.lm_settings import LmRunConfig
from asr_attn.settings import RunConfig

CONF = Path(__file__).resolve().parents[1] / "conf"


def composed(arguments: str, task: str = "asr") -> tuple[RunConfig | LmRunConfig, list[str]]:
    """The settings of a command line, and the keys that it names."""
    (register_lm_schemas if task == "lm" else register_schemas)()
    overrides = name_groups(arguments.split(), task)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("lm" if task == "lm" else "train", overrides=overrides)
    settings = resolve_lm(config) if task == "lm" else resolve(config)
    return settings, [written_name(o.split("=")[0]) for o in overrides]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("data.train=a.jsonl", "data.train: .*synthetic digits; add data=manifests"),
        ("data.train=a.jsonl data.dev=b.jsonl data.test=c.jsonl", "add data=manifests"),
        ("data=digits data.train=a.jsonl", "add data=manifests"),
        ("data.test=c.jsonl", "add data=manifests .* or data=digits if they are meant"),
        ("data.also_train=[c.jsonl]", "data.also_train: .* or data=digits"),
    ],
)
def test_own_recordings_beside_synthetic_digits_are_refused(arguments: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        refuse_contradictions(*composed(arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "data=manifests data.train=a.jsonl data.dev=b.jsonl",
        "data=fsdd data.train=a.jsonl",
        "data=digits data.test=own.jsonl",
        "experiment=fsdd_pretrain data.also_train=[more.jsonl]",
        "data.folder=elsewhere",
    ],
)
def test_what_goes_together_passes(arguments: str) -> None:
    config, changed = composed(arguments)
    refuse_contradictions(config, changed)
    assert without_effect(config, changed) == []


def test_the_spelling_of_a_language_model_is_that_of_its_recogniser() -> None:
    given = "tokenizer.of=digits tokenizer.normalizer.lowercase=false"
    with pytest.raises(
        ConfigError, match=r"tokenizer\.normalizer\.lowercase: tokenizer\.of brings"
    ):
        refuse_contradictions(*composed(given, "lm"))
    for fine in ("tokenizer.of=digits", "tokenizer.normalizer.lowercase=false"):
        refuse_contradictions(*composed(fine, "lm"))


@pytest.mark.parametrize(
    ("arguments", "keys", "reason"),
    [
        ("search.lm_weight=0.5", "search.lm_weight has", "search.lm is not set"),
        ("start_with=model", "start_with has", "start_from is not set"),
        (
            "training.guided_attention=0 training.guided_until=0.2",
            "training.guided_until has",
            "training.guided_attention is 0",
        ),
        ("training.intermediate_layer=2", "training.intermediate_layer has", "intermediate_ctc"),
        ("training.score_function=0.2", "training.score_function has", "draw"),
        (
            "data.loading.mixing.max_words=4 data.loading.mixing.until=0.5",
            "data.loading.mixing.max_words, data.loading.mixing.until have",
            "data.loading.mixing.share is 0",
        ),
        ("scheduler=inverse_sqrt scheduler.hold=0.5", "scheduler.hold has", "inverse_sqrt"),
        (
            "data=manifests data.train=a data.dev=b data.folder=c",
            "data.folder has",
            "do not lie in it",
        ),
        ("model.attention.reach=3", "model.attention.reach has", "dynamics is none"),
        (
            "model.attention=additive model.attention.channels=3",
            "model.attention.channels has",
            "score is not location",
        ),
        (
            "model.encoder.channels=8 model.encoder.kernel_size=3",
            "model.encoder.kernel_size has",
            "other convolutions",
        ),
        ("augmentation.noise_snr_db=[0,5]", "augmentation.noise_snr_db has", "noise_probability"),
        ("augmentation.reverb_seconds=[0.1,0.2]", "reverb_seconds has", "reverb_probability"),
        ("augmentation.band_low_hz=[0,200]", "band_low_hz has", "band_probability"),
        (
            "augmentation.noise_probability=1 augmentation.babble_voices=[2,3]",
            "babble_voices has",
            "lacks babble",
        ),
        (
            "augmentation.frequency_masks=0 augmentation.frequency_mask_bins=3",
            "frequency_mask_bins has",
            "frequency_masks is 0",
        ),
        (
            "augmentation.time_masks_per_frame=0.1 augmentation.time_masks=3",
            "augmentation.time_masks has",
            "takes their place",
        ),
    ],
)
def test_what_changes_nothing_is_told(arguments: str, keys: str, reason: str) -> None:
    config, changed = composed(arguments)
    (sentence,) = without_effect(config, changed)
    assert keys in sentence
    assert reason in sentence
    assert without_effect(config, []) == []


def test_what_has_an_effect_is_not_told() -> None:
    for arguments in (
        "search.lm=x.arpa search.lm_weight=0.5",
        "augmentation.noise_probability=0.5 augmentation.noise_snr_db=[0,5]",
        "data.loading.mixing.share=0.5 data.loading.mixing.max_words=4",
        "scheduler.hold=0.5 training.guided_until=0.2 augmentation.time_masks=3",
        "model.attention.kernel_size=5 model.encoder.kernel_size=3",
    ):
        assert without_effect(*composed(arguments)) == []


def test_differences_are_found_by_their_keys() -> None:
    config = RunConfig()
    other = replace(config, seed=3, features=replace(config.features, n_mels=40))
    from dataclasses import asdict

    assert list(differing(asdict(other), asdict(config))) == ["seed", "features.n_mels"]
