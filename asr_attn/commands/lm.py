"""``asr-attn lm``: n-gram language models out of text, and how well models predict text."""

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from asr_attn.commands.inputs import files_read
from asr_attn.commands.terminal import Progress, opened, refuse_overwriting, say
from asr_attn.errors import InputError
from asr_attn.lm import corpus
from asr_attn.lm.arpa import read_arpa, write_arpa
from asr_attn.lm.kneser_ney import KneserNeyConfig, Training, steps
from asr_attn.lm.kneser_ney import train as train_ngrams
from asr_attn.lm.ngram_file import SUFFIX, compile_ngrams, write_compiled
from asr_attn.lm.ngrams import SPACE, Ngrams
from asr_attn.lm.storage import Workspace
from asr_attn.text.normalizer import NormalizerConfig
from asr_attn.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from asr_attn.lm.perplexity import Perplexity

_MEGABYTE = 1_000_000
_LEAST_MEGABYTES = 10

T = TypeVar("T")


@dataclass(frozen=True)
class _Reading:
    """How texts are read.

    Attributes:
        split: into symbols.
        vocabulary: symbols that are known beforehand.
        normalizer: how texts are spelt.
    """

    split: corpus.Splitter
    vocabulary: tuple[str, ...]
    normalizer: NormalizerConfig | None


def train(args: argparse.Namespace) -> int:
    """Run ``asr-attn lm train``; returns the exit code.

    Raises:
        InputError: the arguments or the files cannot be used.
    """
    config = KneserNeyConfig(args.order, tuple(args.prune), args.entropy, args.vocabulary)
    if args.memory < _LEAST_MEGABYTES:
        raise InputError(f"--memory {args.memory} is too little; give {_LEAST_MEGABYTES} or more")
    _check_texts(args.texts)
    models = [args.model] if args.model is not None else []
    refuse_overwriting({"--output": args.output}, [*args.texts, *files_read(args, models)])
    reading = _reading(args.units, args)
    with Workspace(args.memory * _MEGABYTE) as workspace:
        with Progress("training", _megabytes(args.texts) + steps(args.order)) as bar:
            sentences = _sentences(args.texts, reading, bar)
            training = train_ngrams(sentences, config, workspace, reading.vocabulary, bar.advance)
        _write(args.output, training.ngrams)
        _tell(args.output, training)
    return 0


def pack(args: argparse.Namespace) -> int:
    """Run ``asr-attn lm pack``; returns the exit code.

    Raises:
        InputError: the arguments or the files cannot be used.
    """
    if args.output.suffix.lower() != SUFFIX:
        raise InputError(f"--output {args.output}: name a file that ends in {SUFFIX}")
    refuse_overwriting({"--output": args.output}, [args.language_model])
    _write(args.output, read_arpa(args.language_model))
    return 0


def score(args: argparse.Namespace) -> int:
    """Run ``asr-attn lm score``; returns the exit code.

    Raises:
        InputError: the arguments or the files cannot be used.
    """
    _check_texts(args.texts)
    from asr_attn.lm.neural_file import is_neural

    scored = _score_neural(args) if is_neural(args.language_model) else _score_ngrams(args)
    with opened(None) as stream:
        if args.format == "json":
            source = {"model": str(args.language_model), **scored.kind, "units": scored.units}
            figures = {**source, **scored.result.to_dict()}
            if scored.units != "words":
                figures |= {"perplexity_per_word": scored.per_word, "words": scored.words}
            stream.write(json.dumps(figures, indent=2, allow_nan=False) + "\n")
        else:
            stream.write(_table(scored))
    return 0


def _write(path: Path, ngrams: Ngrams) -> None:
    """Write a model in the form that its name asks for."""
    if path.suffix.lower() == SUFFIX:
        write_compiled(path, compile_ngrams(ngrams))
    else:
        write_arpa(path, ngrams)


@dataclass(frozen=True)
class _Scored:
    """A text and how well it was predicted.

    Attributes:
        result: figures of the model's own units.
        units: their name.
        words: of the text.
        kind: of the model, for JSON.
    """

    result: "Perplexity"
    units: str
    words: int
    kind: dict[str, str | int]

    @property
    def per_word(self) -> float | None:
        """Perplexity of words and ends of sentences; None where it is no number.

        In a script without spaces a word is a sentence.
        """
        bits = -self.result.log_prob / math.log(2) / (self.words + self.result.sentences)
        return 2.0**bits if bits < sys.float_info.max_exp else None


def _score_ngrams(args: argparse.Namespace) -> _Scored:
    from asr_attn.lm.ngram import NgramModel
    from asr_attn.lm.perplexity import measure

    model = NgramModel.load(args.language_model)
    units = args.units or ("characters" if SPACE in model.symbols else "words")
    reading = _reading(units, args)
    words = _Words()
    with Progress("scoring", _megabytes(args.texts)) as bar:
        result = measure(model, _sentences(args.texts, reading, bar, words))
    return _Scored(result, units, words.count, {"order": model.order})


def _score_neural(args: argparse.Namespace) -> _Scored:
    from asr_attn.lm.neural_file import load_lm
    from asr_attn.lm.neural_perplexity import measure_tokens

    if args.units or args.model or args.normalize:
        raise InputError(
            f"{args.language_model}: a neural language model knows its tokens and its spelling; "
            "leave out --units, --model and --normalize"
        )
    model = load_lm(args.language_model)
    words = _Words()
    with Progress("scoring", _megabytes(args.texts)) as bar:
        lines = _lines(args.texts, model.normalizer, bar, words)
        encode = model.tokenizer.encode
        sentences = _at_least_one((encode(line.text) for line in lines), args.texts)
        result = measure_tokens(model.network, sentences)
    return _Scored(result, "tokens", words.count, {"kind": model.config.name})


def _reading(units: str, args: argparse.Namespace) -> _Reading:
    tokenizer: Tokenizer | None = None
    normalizer = NormalizerConfig() if args.normalize else None
    if args.model is not None:
        from asr_attn.checkpoint import load_model

        model = load_model(args.model)
        tokenizer, normalizer = model.tokenizer, model.normalizer
    if units == "words":
        return _Reading(corpus.split_words, (), normalizer)
    if units == "characters":
        return _Reading(corpus.split_characters, (), normalizer)
    if tokenizer is None:
        raise InputError("--units tokens needs the recogniser whose tokens they are; give --model")
    from asr_attn.lm.vocabulary import token_symbols

    return _Reading(corpus.split_tokens(tokenizer), tuple(token_symbols(tokenizer)), normalizer)


class _Words:
    """Counts the words of sentences as they are read."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, line: corpus.Line) -> corpus.Line:
        """Count those of one sentence."""
        self.count += len(line.text.split())
        return line


def _sentences(
    paths: list[Path], reading: _Reading, bar: Progress, words: _Words | None = None
) -> Iterator[list[str]]:
    """The sentences of the files, at least one, as symbols.

    Raises:
        InputError: there are none, or a file cannot be read.
    """
    lines = _lines(paths, reading.normalizer, bar, words or _Words())
    return _at_least_one(corpus.sentences(lines, reading.split), paths)


def _lines(
    paths: list[Path], normalizer: NormalizerConfig | None, bar: Progress, words: _Words
) -> Iterator[corpus.Line]:
    """The lines of the files; the bar advances with every megabyte read."""
    waiting = 0

    def on_read(size: int) -> None:
        nonlocal waiting
        waiting += size
        while waiting >= _MEGABYTE:
            waiting -= _MEGABYTE
            bar.advance()

    return map(words.add, corpus.read_lines(paths, normalizer, on_read))


def _at_least_one(sentences: Iterator[T], paths: list[Path]) -> Iterator[T]:
    """The same sentences.

    Raises:
        InputError: there are none.
    """
    first = next(sentences, None)
    if first is None:
        names = ", ".join(map(str, paths))
        raise InputError(f"{names}: there are no words in it; give text with one sentence a line")
    return chain([first], sentences)


def _megabytes(paths: list[Path]) -> int:
    return sum(path.stat().st_size for path in paths) // _MEGABYTE


def _check_texts(paths: list[Path]) -> None:
    """Refuse what is missing, and say which texts seem to hold ids."""
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: there is no such text file; check the path")
        if path.is_dir():
            raise InputError(f"{path} is a folder; name text files")
    for note in corpus.ids_notes(paths):
        say(note)


def _table(scored: _Scored) -> str:
    """The figures for people."""
    result, units = scored.result, scored.units
    share = 100 * result.unknown / max(1, result.tokens)
    small, per_word = units != "words", scored.per_word
    of_words = [("perplexity per word", f"{per_word:.2f}")] if small and per_word else []
    rows = [
        ("perplexity", f"{result.perplexity:.{3 if small else 2}f}"),
        (f"without unknown {units}", f"{result.known_perplexity:.{3 if small else 2}f}"),
        *of_words,
        (f"unknown {units}", f"{result.unknown} ({share:.2f} %)"),
        (units, f"{result.tokens}"),
        *([("words", f"{scored.words}")] if small else []),
        ("sentences", f"{result.sentences}"),
    ]
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name.ljust(width)}  {value}\n" for name, value in rows)


def _tell(output: Path, training: Training) -> None:
    sizes = ", ".join(f"{len(order):,}" for order in training.ngrams.orders)
    fallback = ""
    if training.fallback:
        lengths = " and ".join(map(str, training.fallback))
        fallback = (
            f"; the text allows no estimate of the discounts for length {lengths}, which are "
            "0.5, 1 and 1.5 instead"
        )
    say(
        f"{output}: n-grams of length 1 to {len(training.ngrams.orders)}: {sizes}; from "
        f"{training.tokens:,} tokens in {training.sentences:,} sentences{fallback}"
    )
