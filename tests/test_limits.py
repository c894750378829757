"""Every numeric setting at the edges of what can be written for it."""

import copy
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.waveform_augmentation import perturb_waveform
from asr_attn.config import settings_from_dict
from asr_attn.data.digits import DigitsConfig
from asr_attn.data.planning import CurriculumStage, LoadingConfig, MixingConfig
from asr_attn.errors import ConfigError
from asr_attn.lm.neural import NEURAL_LMS
from asr_attn.lm_settings import LmRunConfig
from asr_attn.models.asr import AsrModel, ModelConfig
from asr_attn.models.decoders import DECODERS
from asr_attn.models.encoders import ENCODERS
from asr_attn.nn.attention import ATTENTIONS
from asr_attn.settings import DataConfig, RunConfig
from asr_attn.training.schedule import learning_rate_factor

FLOATS = (math.nan, math.inf, -math.inf, -1.0, 0.0, 1e300, 1e-300)
INTS = (-1, 0, 10**12, 10**400)

LOADING = LoadingConfig(
    curriculum=(CurriculumStage(0.5, 2),), mixing=MixingConfig(0.5, 3, (0.1, 0.2))
)
BASE = RunConfig(
    data=DataConfig(digits=DigitsConfig(), folder="data", loading=LOADING),
    augmentation=AugmentationConfig(
        noise_probability=0.5, reverb_probability=0.5, band_probability=0.5, vocal_tract=0.1
    ),
)


def part(name: str, config: Any) -> RunConfig:
    """The settings with another encoder, attention or decoder."""
    model = replace(BASE.model, **{name: config})
    if name == "decoder" and config.name == "transformer":
        model = ModelConfig(model.encoder, ATTENTIONS["scaled_dot"][1], config)
    return replace(BASE, model=model)


RUNS: dict[str, RunConfig | LmRunConfig] = {"run": BASE}
for _part, _table in (("encoder", ENCODERS), ("attention", ATTENTIONS)):
    RUNS |= {f"{_part}={n}": part(_part, default) for n, (_, default) in _table.items()}
RUNS |= {
    f"decoder={n}": replace(
        BASE,
        model=ModelConfig(
            BASE.model.encoder,
            ATTENTIONS["scaled_dot" if n == "transformer" else "location"][1],
            default,
        ),
    )
    for n, (_, default) in DECODERS.items()
}
RUNS |= {f"lm={n}": LmRunConfig(model=default) for n, (_, default) in NEURAL_LMS.items()}


def numbers(value: Any, key: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """All numbers of plain data, each with the way to it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers(inner, (*key, name))
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from numbers(inner, (*key, i))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value


def with_value(data: Any, key: tuple[Any, ...], value: Any) -> Any:
    """Plain data with another value at one place."""
    if not key:
        return value
    if isinstance(data, tuple):
        data = list(data)
    data = copy.copy(data)
    data[key[0]] = with_value(data[key[0]], key[1:], value)
    return data


def tries(name: str) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    data = asdict(RUNS[name])
    rows = [*numbers(data), *([(("features", "max_hz"), 0.0)] if name == "run" else [])]
    for key, before in rows:
        if name == "run" or key[0] == "model" or name.startswith("lm="):
            for value in FLOATS if isinstance(before, float) else INTS:
                both = key[-1] == "sample_rate" and key[0] in ("data", "features")
                changed = with_value(data, key, value)
                if both and "digits" not in key:
                    changed = with_value(changed, ("data", "sample_rate"), value)
                    changed = with_value(changed, ("features", "sample_rate"), value)
                yield ".".join(k for k in key if isinstance(k, str)), changed, value


@pytest.mark.parametrize("name", RUNS)
def test_a_number_is_sensible_or_refused_by_its_name(name: str) -> None:
    kind = type(RUNS[name])
    refused = accepted = 0
    for key, data, value in tries(name):
        config, sentence = None, ""
        try:
            config = settings_from_dict(data, kind)
        except ConfigError as error:
            sentence = str(error)
        if config is None:
            assert key.rpartition(".")[2] in sentence, (key, value, sentence)
            assert "\n" not in sentence
            refused += 1
            continue
        assert math.isfinite(value), key
        assert abs(value) <= 1e9, key
        accepted += 1
        if isinstance(config, RunConfig):
            works(key, config)
    assert refused > accepted > 0


def works(key: str, config: RunConfig) -> None:
    """What is accepted can be computed with."""
    group = key.partition(".")[0]
    if group in ("model", "features", "data") and key.endswith(
        tuple(asdict(config.features)) if group == "data" else ""
    ):
        torch.manual_seed(0)
        model = AsrModel(config.features, config.model, 12)
        waveforms = 0.1 * torch.randn(1, config.features.sample_rate)
        lengths = torch.tensor([config.features.sample_rate])
        memory, steps = model.encode(waveforms, lengths)
        out = model.speller(memory, steps, torch.tensor([[1, 3, 4]]))
        assert out.logits.isfinite().all(), key
    elif group == "augmentation":
        samples = np.random.default_rng(0).standard_normal(4000).astype(np.float32)
        for seed in range(4):
            varied = perturb_waveform(
                samples,
                replace(config.augmentation, noise_kinds=("white",)),
                np.random.default_rng(seed),
                16000,
                lambda length, random: np.zeros(length, np.float32),
            )
            assert np.isfinite(varied).all(), key
    elif group == "scheduler":
        for step, progress in ((0, 0.0), (10, 0.5), (100, 1.0)):
            assert 0 <= learning_rate_factor(config.scheduler, step, progress) <= 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seed": -1}, "seed must be from 0"),
        ({"optimizer": {"_target_": "x", "lr": math.inf}}, "optimizer.lr=inf is no finite number"),
        ({"optimizer": {"_target_": "x", "lr": -1.0}}, "optimizer.lr=-1 .* from 0 to 100"),
        ({"data": DataConfig(max_duration=math.nan)}, "data.max_duration=nan is no finite"),
        (
            {"data": DataConfig(loading=LoadingConfig(workers=10**400))},
            r"data.loading.workers=10000000000000000000\.\.\. is out of range; .* 0 to 1024",
        ),
    ],
)
def test_settings_made_in_python_are_checked_too(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        RunConfig(**changes)
