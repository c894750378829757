"""N-gram models in a file that is there at once: the automaton, as it is searched in.

A file of NumPy arrays (.npz), compressed, with check sums; reading it runs no pickled code.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from asr_attn.errors import InputError
from asr_attn.files import atomic_path
from asr_attn.lm.automaton import Automaton, build_automaton
from asr_attn.lm.ngrams import SPECIALS, Array, Ngrams

SUFFIX: Final = ".npz"
"""Ending of such files."""
FORMAT_VERSION: Final = 1
_MAGIC: Final = b"PK"
_MAKE_AGAIN: Final = "make or copy the file again"
_ARRAYS: Final = {
    "format": np.int64,
    "symbols": np.uint8,
    "lengths": np.int64,
    "successors": np.int32,
    "tokens": np.int32,
    "log_probs": np.float32,
    "following": np.int32,
    "suffix": np.int32,
    "backoff": np.float32,
}


@dataclass(frozen=True)
class CompiledNgrams:
    """A model as an automaton.

    Attributes:
        symbols: the vocabulary.
        automaton: over the numbers of these symbols.
    """

    symbols: tuple[str, ...]
    automaton: Automaton


def compile_ngrams(ngrams: Ngrams) -> CompiledNgrams:
    """Make the automaton of a model whose contexts are all n-grams of it."""
    return CompiledNgrams(ngrams.symbols, build_automaton(ngrams))


def is_compiled(path: Path) -> bool:
    """Whether a file is of this kind, by its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def write_compiled(path: Path, compiled: CompiledNgrams) -> None:
    """Write a model; the old file stays if anything fails.

    Raises:
        InputError: the file cannot be written.
    """
    automaton = compiled.automaton
    nodes = len(automaton.suffix)
    begins = automaton.keys.searchsorted(np.arange(nodes + 1) * automaton.symbols)
    arrays = {
        "format": np.array(FORMAT_VERSION),
        "symbols": np.frombuffer("\n".join(compiled.symbols).encode(), dtype=np.uint8),
        "lengths": np.array(automaton.lengths),
        "successors": np.diff(begins),
        "tokens": automaton.keys % automaton.symbols,
        "log_probs": automaton.log_probs,
        "following": automaton.following[nodes - 1 :],  # those before lead to the next node
        "suffix": automaton.suffix,
        "backoff": automaton.backoff,
    }
    typed: dict[str, Any] = {name: arrays[name].astype(kind) for name, kind in _ARRAYS.items()}
    with atomic_path(path) as scratch, scratch.open("wb") as stream:
        np.savez_compressed(stream, **typed)


def read_compiled(path: Path) -> CompiledNgrams:
    """Read a model.

    Raises:
        InputError: it cannot be read, is damaged, or is of another kind or version.
    """
    try:
        arrays = _read_arrays(path)
        compiled = _assembled(arrays)
    except KeyError as error:
        raise InputError(
            f"{path} is no n-gram model: it lacks {error}; name an ARPA file or one that asr-attn "
            "lm wrote"
        ) from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}); {_MAKE_AGAIN}") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path} cannot be read ({reason}); check its permissions") from None
    if compiled is None:
        raise InputError(
            f"{path} has format version {int(arrays['format'])}, but this asr_attn reads version "
            f"{FORMAT_VERSION}; use the asr_attn that wrote it, or a newer one"
        )
    return compiled


def _read_arrays(path: Path) -> dict[str, Array]:
    with path.open("rb") as file, np.load(io.BufferedReader(file), allow_pickle=False) as archive:
        if int(archive["format"]) != FORMAT_VERSION:
            return {"format": archive["format"]}
        return {name: archive[name] for name in _ARRAYS}


def _assembled(arrays: dict[str, Array]) -> CompiledNgrams | None:
    """The model; None if it is of another version.

    Raises:
        ValueError: the arrays do not fit together.
    """
    if len(arrays) == 1:
        return None
    symbols = tuple(arrays["symbols"].tobytes().decode().split("\n"))
    lengths = tuple(arrays["lengths"].tolist())
    successors, suffix = arrays["successors"], arrays["suffix"].astype(np.int64)
    tokens, size, nodes = arrays["tokens"], len(symbols), sum(lengths)
    keys = np.repeat(np.arange(nodes), successors) * size + tokens
    following = np.arange(1, len(keys) + 1)
    following[nodes - 1 :] = arrays["following"]
    sound = (
        len(set(symbols)) == size
        and set(SPECIALS) <= set(symbols)
        and lengths[:1] == (1,)
        and (len(suffix), len(arrays["backoff"])) == (nodes, nodes)
        and len(arrays["log_probs"]) == len(keys)
        and bool((np.diff(keys) > 0).all())
        and successors[0] == size
        and _within(suffix, nodes)
        and _within(following, nodes)
        and _within(tokens, size)
        # a context backs off to a shorter one, so that this ends
        and bool((suffix[1:] < np.arange(1, nodes)).all())
    )
    if not sound:
        raise ValueError("its parts do not fit together")
    return CompiledNgrams(
        symbols,
        Automaton(
            keys,
            arrays["log_probs"],
            following,
            suffix,
            arrays["backoff"],
            lengths,
            int(following[symbols.index("<s>")]),
            size,
        ),
    )


def _within(values: Array, size: int) -> bool:
    return not len(values) or (int(values.min()) >= 0 and int(values.max()) < size)
