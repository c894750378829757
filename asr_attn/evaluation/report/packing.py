"""Arrays and sound in a form that fits into a web page."""

import base64
import io
import zlib
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from asr_attn.errors import InputError

CODECS = {"opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III")}
"""Name of a codec: its format and subtype in libsndfile."""
RATES = {
    "opus": (8000, 12000, 16000, 24000, 48000),
    "mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
}
"""Sample rates that a codec has, rising."""
_TYPES = {"opus": "audio/ogg", "mp3": "audio/mpeg"}


def packed(values: NDArray[np.uint8]) -> str:
    """Bytes of an array of any shape, in row-major order: deflated (zlib), in base64."""
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode("ascii")


def levels(values: NDArray[np.floating[Any]], low: float, high: float) -> NDArray[np.uint8]:
    """Values in 256 steps from ``low`` or less (0) to ``high`` or more (255)."""
    scaled = (values - low) / max(high - low, 1e-12)
    steps: NDArray[np.uint8] = np.round(255.0 * np.clip(scaled, 0.0, 1.0)).astype(np.uint8)
    return steps


def outline(samples: NDArray[np.float32], points: int) -> NDArray[np.uint8]:
    """The outline of a waveform (samples,): (points or fewer, 2) least and greatest values.

    128 is silence, and the loudest sample is 0 or 255.
    """
    size = max(1, -(-len(samples) // points))
    cut = np.pad(samples, (0, -len(samples) % size), mode="edge").reshape(-1, size)
    ends = np.stack([cut.min(axis=1), cut.max(axis=1)], axis=1)
    peak = max(float(np.abs(samples).max(initial=0.0)), 1e-3)
    return (128 + np.round(127 * ends / peak)).astype(np.uint8)


def sound_address(samples: NDArray[np.float32], sample_rate: int, codec: str) -> str:
    """Mono samples (samples,) as a data: address with compressed sound.

    Raises:
        InputError: the installed libsndfile lacks the codec.
    """
    rate = next((r for r in RATES[codec] if r >= sample_rate), RATES[codec][-1])
    if rate != sample_rate:
        samples = soxr.resample(samples, sample_rate, rate, quality="HQ")
    buffer = io.BytesIO()
    form, subtype = CODECS[codec]
    try:
        soundfile.write(buffer, np.clip(samples, -1.0, 1.0), rate, format=form, subtype=subtype)
    except (soundfile.LibsndfileError, ValueError):
        others = [name for name in (*CODECS, "none") if name != codec]
        raise InputError(
            f"--audio {codec}: the installed libsndfile cannot write it; choose "
            f"{' or '.join(others)}, or pip install --upgrade soundfile"
        ) from None
    return f"data:{_TYPES[codec]};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
