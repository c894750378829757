"""``asr-attn tune``: weights of the search from a validation set."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from asr_attn.commands.searching import TUNED, WIDE_BEAM, search_lines
from asr_attn.commands.terminal import Progress, opened, refuse_overwriting
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.errors import AudioError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from asr_attn.decoding.hypothesis import SearchConfig
    from asr_attn.evaluation.intervals import Interval
    from asr_attn.evaluation.tuning import Weights
    from asr_attn.recognizer import Recognizer

VERIFIED = 3
"""Weights that are searched with in earnest, beside those that there were before."""


@dataclass(frozen=True)
class _Measured:
    """A setting of the search and what it gave.

    Attributes:
        name: what it is called.
        config: the setting.
        errors: (B,) wrong words of each utterance.
    """

    name: str
    config: "SearchConfig"
    errors: "NDArray[np.int64]"

    @property
    def total(self) -> int:
        """All errors."""
        return int(self.errors.sum())


def tune(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: the model, the language model or the recordings cannot be used.
    """
    import numpy as np

    from asr_attn.evaluation.intervals import bootstrap_rates, percentile_interval
    from asr_attn.evaluation.recognition import normalized_references
    from asr_attn.evaluation.results import require_words
    from asr_attn.evaluation.tuning import Weights, best_weights, collect, halves

    files = [p for p in (args.checkpoint, args.manifest, args.lm) if p is not None and p.is_file()]
    refuse_overwriting({"--output": args.output}, files)
    utterances = read_manifest(args.manifest)
    recognizer, lm = _load(args)
    references = normalized_references(recognizer, utterances)
    require_words(references)
    words = np.array([len(reference.split()) for reference in references])
    with_lm = lm is not None
    start = Weights(lm_weight=recognizer.search.lm_weight if with_lm else 0.0)
    with Progress("searching", len(utterances)) as bar:
        try:
            pool = collect(recognizer, utterances, references, lm, bar.advance)
        except AudioError as error:
            raise InputError(f"{args.manifest}: {error}") from None
    tuned = best_weights(pool, with_lm, args.trials, args.seed, start, VERIFIED)
    other_half = halves(pool, with_lm, args.trials, args.seed, start)
    before = _measured("untuned", recognizer, start, utterances, references)
    found = [
        _measured(f"tuned, {i + 1}", recognizer, weights, utterances, references)
        for i, weights in enumerate(tuned)
        if weights != start
    ]
    best = min([before, *found], key=lambda m: m.total)
    rates = bootstrap_rates(np.stack([before.errors, best.errors], axis=1), words, seed=args.seed)
    change = percentile_interval(rates[:, 1] - rates[:, 0])
    report = _Report(args, best.config, before, best, found, change, int(other_half.sum()), words)
    with opened(args.output) as stream:
        stream.write(report.to_config())
    with opened(None) as stream:
        stream.write(report.to_json() if args.format == "json" else report.to_text())
    return 0


def _load(args: argparse.Namespace) -> "tuple[Recognizer, Any]":
    """The recogniser and the language model."""
    from asr_attn.checkpoint import load_model
    from asr_attn.decoding.hypothesis import SearchConfig
    from asr_attn.lm.loading import load_scorer
    from asr_attn.recognizer import Recognizer, usable_device

    device = usable_device(args.device or "auto")
    model = load_model(args.checkpoint, device)
    lm = None
    if args.lm is not None:
        lm = load_scorer(args.lm, model.tokenizer).to(device)
    config = SearchConfig(beam=args.beam or WIDE_BEAM, lm=str(args.lm) if args.lm else None)
    return Recognizer(model, config), lm


def _measured(
    name: str,
    recognizer: "Recognizer",
    weights: "Weights",
    utterances: Sequence[Utterance],
    references: Sequence[str],
) -> _Measured:
    """Search in earnest with some weights."""
    import numpy as np

    from asr_attn.evaluation.error_rates import count_errors
    from asr_attn.recognizer import Recognizer

    config = weights.applied(recognizer.search)
    errors = np.zeros(len(utterances), dtype=np.int64)
    with Progress(name, len(utterances)) as bar:
        for i, result in Recognizer(recognizer.model, config).transcribe_utterances(utterances):
            bar.advance()
            if isinstance(result, AudioError):
                raise result
            errors[i] = count_errors([references[i]], [result.text]).errors
    return _Measured(name, config, errors)


@dataclass(frozen=True)
class _Report:
    """What came of it, in the forms that are asked for."""

    args: argparse.Namespace
    config: "SearchConfig"
    before: _Measured
    best: _Measured
    found: Sequence[_Measured]
    change: "Interval"
    other_half: int
    words: "NDArray[np.int64]"

    def _rate(self, errors: int) -> float:
        return errors / int(self.words.sum())

    def _weights(self, config: "SearchConfig") -> dict[str, float]:
        names = [n for n in TUNED if n != "lm_weight" or config.lm is not None]
        return {name: getattr(config, name) for name in names}

    def _settings(self) -> dict[str, Any]:
        """What a search needs to be told to be the tuned one."""
        named = {"lm": self.config.lm} if self.config.lm is not None else {}
        return {"beam": self.config.beam, **named, **self._weights(self.config)}

    def to_config(self) -> str:
        """The file of settings."""
        wer = 100 * self._rate(self.best.total)
        old = 100 * self._rate(self.before.total)
        return (
            f"# Tuned on {self.args.manifest} ({int(self.words.sum())} words) for "
            f"{self.args.checkpoint}:\n"
            f"# WER {wer:.2f} %, untuned {old:.2f} %; {self.args.trials} trials, "
            f"seed {self.args.seed}.\n" + search_lines(self._settings())
        )

    def to_json(self) -> str:
        """All figures."""
        settings = [
            {**self._weights(m.config), "errors": m.total, "wer": self._rate(m.total)}
            for m in (self.before, *self.found)
        ]
        figures = {
            "model": str(self.args.checkpoint),
            "manifest": str(self.args.manifest),
            "words": int(self.words.sum()),
            "search": self._settings(),
            "untuned": settings[0],
            "tuned": settings[1:],
            "change": asdict(self.change),
            "wer_on_the_other_half": self._rate(self.other_half),
            "output": str(self.args.output),
        }
        return json.dumps(figures, indent=2) + "\n"

    def to_text(self) -> str:
        """A table and what it means."""
        rows = [("", "WER", *self._weights(self.config))]
        for m in (self.before, *self.found):
            values = (f"{value:g}" for value in self._weights(m.config).values())
            rows.append((m.name, f"{100 * self._rate(m.total):.2f} %", *values))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        table = ["  ".join(c.rjust(w) for c, w in zip(row, widths)) for row in rows]
        low, high = 100 * self.change.low, 100 * self.change.high
        if self.best is self.before:
            verdict = "no weights are better than the untuned ones here"
        elif high < 0:
            verdict = f"better on speech like this: by {-high:.2f} to {-low:.2f} points (95 %)"
        else:
            verdict = (
                f"the change may be chance: {low:+.2f} to {high:+.2f} points (95 %); more "
                "recordings would tell"
            )
        held = 100 * self._rate(self.other_half)
        return (
            "\n".join(
                [
                    *table,
                    verdict,
                    f"weights tuned on one half of the recordings give {held:.2f} % on the other",
                    f"written to {self.args.output}",
                ]
            )
            + "\n"
        )
