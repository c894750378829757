"""From the arguments of a command to a recogniser that searches as they say."""

import argparse
import dataclasses
import difflib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_attn.errors import InputError

if TYPE_CHECKING:
    from asr_attn.decoding.hypothesis import SearchConfig
    from asr_attn.recognizer import Recognizer

SETTINGS = (
    "ctc_weight",
    "lm",
    "lm_weight",
    "internal_lm_weight",
    "length_bonus",
    "length_exponent",
    "doubt_penalty",
)
"""Arguments that are settings of the search of the same name."""
LENGTH = ("length_bonus", "length_exponent")
"""Settings of which one only may be on."""
OF_LM = ("lm_weight", "internal_lm_weight")
"""Settings that go with a language model."""
TUNED = ("ctc_weight", *OF_LM, *LENGTH)
"""Settings that ``asr-attn tune`` finds."""
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

    given: dict[str, Any] = read_search(args.search) if args.search is not None else {}
    options = {name: getattr(args, name) for name in SETTINGS if getattr(args, name) is not None}
    for one, other in (LENGTH, LENGTH[::-1]):
        if options.get(one):
            given.pop(other, None)  # they exclude each other, and the file counts less
    given |= options
    for name in OF_LM:
        if options.get(name) is not None and given.get("lm") is None:
            raise InputError(f"--{name.replace('_', '-')} goes with --lm FILE")
    if given.get("length_bonus"):
        given.setdefault("length_exponent", 0.0)
    wide = bool({"ctc_weight", "lm"} & set(given) or args.hotword or args.hotwords)
    given["beam"] = args.beam or given.get("beam") or (WIDE_BEAM if wide else 1)
    if "lm" in given:
        given["lm"] = str(given["lm"])
    try:
        return SearchConfig(**given)
    except ValueError as error:
        raise InputError(_as_options(str(error), args)) from None


def _as_options(message: str, args: argparse.Namespace) -> str:
    """A sentence about settings with those that were given as options named so."""
    for name in ("beam", *SETTINGS):
        if getattr(args, name) is not None:
            message = re.sub(rf"search\.{name}\b", f"--{name.replace('_', '-')}", message)
    return message


def search_lines(settings: Mapping[str, Any]) -> str:
    """Settings as lines of YAML, for ``--search`` and for ``conf/search/``."""
    return "".join(
        f"{name}: {json.dumps(value, ensure_ascii=not str(value).isprintable())}\n"
        for name, value in settings.items()
    )


def read_search(path: Path) -> dict[str, Any]:
    """Read settings of the search from a file of YAML.

    Raises:
        InputError: the file cannot be read, or holds what is no setting of the search.
    """
    import yaml

    from asr_attn.decoding.hypothesis import SearchConfig

    try:
        text = path.read_text(encoding="utf-8-sig")
        data, node = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or "it is not YAML"
        raise InputError(f"--search {path}: cannot be read ({reason}); see asr-attn tune") from None
    if not isinstance(data, dict):
        raise InputError(f"--search {path}: has no settings; write lines such as ctc_weight: 0.3")
    names = [key.value for key, _ in node.value]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"--search {path}: {twice} is given twice; keep one line of it")
    kinds = {field.name: field.type for field in dataclasses.fields(SearchConfig)}
    for name, value in data.items():
        if name not in kinds:
            near = difflib.get_close_matches(str(name), kinds, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(kinds)}"
            raise InputError(f"--search {path}: {name} is no setting of the search; {hint}")
        data[name] = _of_kind(value, str(kinds[name]), f"--search {path}: {name}")
    if data.get("length_bonus"):
        data.setdefault("length_exponent", 0.0)
    try:
        SearchConfig(**{"lm": "of the command line", **data})
    except ValueError as error:
        raise InputError(f"--search {path}: {str(error).replace('search.', '')}") from None
    return data


def _of_kind(value: Any, kind: str, name: str) -> Any:
    """A value of a setting; YAML takes numbers such as 1e-3 for text."""
    try:
        if "str" in kind:
            return None if value is None else str(value)
        if isinstance(value, bool) or value is None:
            raise ValueError
        number = float(value)
        if not math.isfinite(number) or ("int" in kind and number != int(number)):
            raise ValueError
        return int(number) if "int" in kind else number
    except (TypeError, ValueError, OverflowError):
        whole = "a whole number" if "int" in kind else "a number"
        raise InputError(f"{name} must be {whole}, not {value!r}") from None
