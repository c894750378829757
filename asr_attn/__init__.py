"""Attention-based speech recognition: train, transcribe, evaluate.

``asr_attn.load("model.safetensors").transcribe("speech.wav").text`` transcribes a file.
"""

import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# On a CPU oneDNN keeps its working memory for 1,024 shapes of input, and hardly any two batches of
# speech have the same: gigabytes that are never used again. Not fewer than a network's layers.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

if TYPE_CHECKING:
    from asr_attn.evaluation.explanations import explain
    from asr_attn.recognizer import Recognizer, load
    from asr_attn.transcript import Transcript

__all__ = ["Recognizer", "Transcript", "__version__", "explain", "load"]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import: only those who transcribe should wait for it
    if name in ("Recognizer", "Transcript", "load"):
        from asr_attn import recognizer

        return getattr(recognizer, name)
    if name == "explain":
        from asr_attn.evaluation.explanations import explain

        return explain
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
