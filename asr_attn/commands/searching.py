"""From the arguments of a command to a recogniser that searches as they say."""

import argparse
from typing import TYPE_CHECKING, Any

from asr_attn.errors import InputError

if TYPE_CHECKING:
    from asr_attn.decoding.hypothesis import SearchConfig
    from asr_attn.recognizer import Recognizer

SETTINGS = (
    "ctc_weight",
    "lm",
    "lm_weight",
    "length_bonus",
    "length_exponent",
    "doubt_penalty",
)
"""Arguments that are settings of the search of the same name."""
WIDE_BEAM = 10
"""Beam where more than attention is asked and none is given."""


def load_recognizer(args: argparse.Namespace) -> "Recognizer":
    """Load ``args.checkpoint`` with the settings and the hotwords given.

    Raises:
        InputError: the model, the settings, the language model or the hotwords cannot be used.
    """
    from asr_attn.checkpoint import load_model
    from asr_attn.decoding.hotwords import parse_hotword, read_hotwords
    from asr_attn.recognizer import Recognizer, usable_device

    hotwords = [parse_hotword(text) for text in args.hotword or ()]
    config = search_config(args)
    model = load_model(args.checkpoint, usable_device(args.device or "auto"))
    if args.hotwords is not None:
        hotwords += read_hotwords(args.hotwords, model.normalizer, model.tokenizer)
    return Recognizer(model, config, hotwords)


def search_config(args: argparse.Namespace) -> "SearchConfig":
    """The settings of the search that ``args`` ask for.

    Raises:
        InputError: they do not go together.
    """
    from asr_attn.decoding.hypothesis import SearchConfig

    given: dict[str, Any] = {
        name: getattr(args, name) for name in SETTINGS if getattr(args, name) is not None
    }
    if given.get("lm_weight") is not None and given.get("lm") is None:
        raise InputError("--lm-weight goes with --lm FILE")
    if given.get("length_bonus"):
        given.setdefault("length_exponent", 0.0)
    wide = bool({"ctc_weight", "lm"} & set(given) or args.hotword or args.hotwords)
    given["beam"] = args.beam or (WIDE_BEAM if wide else 1)
    if "lm" in given:
        given["lm"] = str(given["lm"])
    try:
        return SearchConfig(**given)
    except ValueError as error:
        raise InputError(str(error)) from None
