"""Bounds of numeric settings: all are finite, and none asks for more than a machine can give."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

GREATEST = 1e9
"""Bound of the magnitude of every number that has none of its own in ``MOST``."""

MOST: Mapping[str, float] = {
    "seed": 2**32 - 1,
    "sample_rate": 192_000,
    # data
    "max_duration": 86_400,
    "batch_seconds": 100_000,
    "batch_tokens": 10_000_000,
    "workers": 1024,
    "gap_seconds": 60,
    "digits.train": 1_000_000,
    "digits.dev": 1_000_000,
    "digits.test": 1_000_000,
    "max_digits": 100,
    "tokenizer.size": 1_000_000,
    # features and their augmentation
    "n_mels": 1024,
    "window_ms": 1000,
    "hop_ms": 1000,
    "gain_db": 100,
    "equalizer_db": 100,
    "reverb_direct_db": 100,
    "noise_snr_db": 100,
    "babble_voices": 100,
    "band_low_hz": 96_000,
    "band_high_hz": 96_000,
    "time_warp_frames": 10_000,
    "frequency_masks": 100,
    "frequency_mask_bins": 1024,
    "time_masks": 100,
    "time_mask_frames": 100_000,
    # networks
    "hidden_size": 16_384,
    "embedding_size": 16_384,
    "attention.size": 16_384,
    "feedforward_size": 65_536,
    "gating_size": 65_536,
    "layers": 256,
    "recurrent_layers": 256,
    "attention_layers": 256,
    "intermediate_layer": 256,
    "halvings": 10,
    "stride": 100,
    "heads": 1024,
    "channels": 4096,
    "kernel_size": 1001,
    "merge_kernel_size": 1001,
    "components": 1000,
    "reach": 10_000,
    "attention.step": 1000,
    "attention.width": 10_000,
    "attention.bias": 100,
    "attention.noise": 100,
    "temperature": 1000,
    # training
    "ctc_consistency": 1000,
    "guided_attention": 1000,
    "monotonicity": 1000,
    "score_function": 1000,
    "lr": 100,
    "eps": 1,
    "weight_decay": 100,
    "max_epochs": 1_000_000,
    "devices": 1024,
    "num_nodes": 10_000,
    "threads": 1024,
    "keep_best": 1000,
    "pictures": 1000,
}
"""Largest magnitude by key, or by the end of a key."""

LEAST: Mapping[str, float] = {
    "max_duration": 0.01,
    "window_ms": 1,
    "hop_ms": 1,
    "attention.step": 0.001,
    "temperature": 0.001,
    "lr": 0,
    "eps": 0,
    "weight_decay": 0,
}
"""Smallest number by key, or by the end of a key, where nothing else says it."""


def check_numbers(settings: Mapping[str, Any]) -> None:
    """Check the magnitude of all numbers of a run's settings.

    Args:
        settings: plain data, as ``dataclasses.asdict`` gives it.

    Raises:
        ValueError: a number is not finite, or beyond its bounds; the message names its key.
    """
    for key, value in _numbers(settings, ""):
        least, most = _bound(LEAST, key), _bound(MOST, key)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key}={value} is no finite number; give one")
        most = GREATEST if most is None else most
        if abs(value) > most or (least is not None and value < least):
            lowest = -most if least is None and value < 0 else least or 0
            raise ValueError(
                f"{key}={_shown(value)} is out of range; give a number from {lowest:.10g} to "
                f"{most:.10g}"
            )


def _numbers(value: Any, key: str) -> Iterator[tuple[str, int | float]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value


def _bound(table: Mapping[str, float], key: str) -> float | None:
    """The bound of the longest end of a key that has one."""
    end = key
    while end not in table and "." in end:
        end = end.partition(".")[2]
    return table.get(end)


def _shown(value: float) -> str:
    """A number as a sentence can hold it: an integer may have any number of digits."""
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 20 else f"{text[:20]}..."
