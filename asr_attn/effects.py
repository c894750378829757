"""Settings that contradict each other, or have no effect beside others."""

from collections.abc import Collection, Iterator
from dataclasses import asdict
from typing import Any

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.errors import ConfigError
from asr_attn.lm_settings import LmRunConfig
from asr_attn.settings import RunConfig

MANIFESTS = ("data.train", "data.also_train", "data.dev", "data.test")


def refuse_contradictions(config: RunConfig | LmRunConfig, changed: Collection[str]) -> None:
    """Refuse settings of a new run that name data or tokens which others replace.

    Args:
        config: settings.
        changed: keys that were set for this run.

    Raises:
        ConfigError: there are some.
    """
    if isinstance(config, LmRunConfig):
        spelling = sorted(key for key in changed if key.startswith("tokenizer.normalizer"))
        if spelling and config.tokenizer.of is not None:
            raise ConfigError(
                f"{', '.join(spelling)}: tokenizer.of brings the spelling of its recogniser; leave "
                "one of them out"
            )
        return
    named = [key for key in MANIFESTS if key in changed]
    chosen = {"data", "experiment"} & set(changed)
    if config.data.digits is None or not named or (chosen and "data.train" not in named):
        return
    others = "" if "data.train" in named else ", or data=digits if they are meant"
    raise ConfigError(
        f"{', '.join(named)}: the other sets would be synthetic digits; add data=manifests and "
        f"name all sets (data.train, data.dev, data.test){others}"
    )


def without_effect(config: RunConfig, changed: Collection[str]) -> list[str]:
    """Sentences on settings that were set for a run and change nothing beside the others.

    Args:
        config: settings.
        changed: keys that were set for this run.
    """
    found: dict[str, list[str]] = {}
    for idle, reason, *keys in (*_of_training(config), *_of_sound(config.augmentation)):
        if idle:
            found.setdefault(reason, []).extend(key for key in keys if key in changed)
    return [
        f"{', '.join(keys)} {'has' if len(keys) == 1 else 'have'} no effect: {reason}"
        for reason, keys in found.items()
        if keys
    ]


def differing(asked: Any, kept: Any, key: str = "") -> Iterator[str]:
    """Keys of settings, as plain data, that have another value in others."""
    if isinstance(asked, dict) and isinstance(kept, dict):
        for name, value in asked.items():
            yield from differing(value, kept.get(name), f"{key}.{name}" if key else name)
    elif asked != kept:
        yield key


def _of_training(config: RunConfig) -> Iterator[tuple[Any, ...]]:
    """Whether some keys are idle, why, and the keys."""
    training, search, model = config.training, config.search, asdict(config.model)
    mixing = "data.loading.mixing"
    yield config.start_from is None, "start_from is not set", "start_with"
    yield search.lm is None, "search.lm is not set", "search.lm_weight"
    yield not search.coverage, "search.coverage is 0", "search.coverage_threshold"
    yield (
        not training.guided_attention,
        "training.guided_attention is 0",
        "training.guided_by",
        "training.guided_until",
    )
    yield (
        not training.intermediate_ctc,
        "training.intermediate_ctc is 0",
        "training.intermediate_layer",
    )
    yield (
        model["attention"].get("draw") != "score_function",
        "model.attention.draw is not score_function",
        "training.score_function",
    )
    yield (
        not config.data.loading.mixing.share,
        f"{mixing}.share is 0",
        *(f"{mixing}.{name}" for name in ("max_words", "gap_seconds", "piece_words", "until")),
    )
    yield (
        config.scheduler.decay in ("constant", "inverse_sqrt"),
        f"scheduler.decay is {config.scheduler.decay}",
        "scheduler.hold",
        "scheduler.final",
    )
    folder = config.data.folder
    yield (
        folder is not None
        and config.data.digits is None
        and not any(str(getattr(config.data, s)).startswith(folder) for s in ("train", "dev")),
        "data.train and data.dev do not lie in it",
        "data.folder",
    )
    yield (
        model["attention"].get("score", "location") != "location",
        "model.attention.score is not location",
        "model.attention.channels",
        "model.attention.kernel_size",
    )
    yield (
        model["attention"].get("dynamics") == "none",
        "model.attention.dynamics is none",
        "model.attention.reach",
    )
    yield (
        bool(model["encoder"]["name"] == "listener" and model["encoder"]["channels"]),
        "model.encoder.channels puts other convolutions in its place",
        "model.encoder.kernel_size",
    )


def _of_sound(config: AugmentationConfig) -> Iterator[tuple[Any, ...]]:
    """As ``_of_training``."""

    def keys(*names: str) -> list[str]:
        return [f"augmentation.{name}" for name in names]

    for kind, names in (
        ("reverb", ("reverb_seconds", "reverb_direct_db")),
        ("noise", ("noise_snr_db", "noise_kinds", "noise_folder", "babble_voices")),
        ("band", ("band_low_hz", "band_high_hz")),
    ):
        probability = f"augmentation.{kind}_probability"
        yield not getattr(config, f"{kind}_probability"), f"{probability} is 0", *keys(*names)
    yield (
        config.noise_probability and "babble" not in config.noise_kinds,
        "augmentation.noise_kinds lacks babble",
        *keys("babble_voices"),
    )
    bands, times = config.frequency_masks, config.time_masks or config.time_masks_per_frame
    yield not bands, "augmentation.frequency_masks is 0", *keys("frequency_mask_bins")
    yield (
        not times,
        "augmentation.time_masks is 0",
        *keys("time_mask_frames", "time_mask_share"),
    )
    yield not bands and not times, "there are no masks", *keys("masks_grow_until")
    yield (
        config.time_masks_per_frame,
        "augmentation.time_masks_per_frame takes their place",
        *keys("time_masks", "time_mask_frames"),
    )
