"""``asr-attn tune``: weights of the search from a validation set."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from asr_attn.commands.inputs import files_read
from asr_attn.commands.searching import WIDE_BEAM
from asr_attn.commands.terminal import Progress, opened, refuse_overwriting, say
from asr_attn.commands.tune_report import Measured, Report
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from asr_attn.checkpoint import TrainedModel
    from asr_attn.decoding.hypothesis import Hypothesis, SearchConfig
    from asr_attn.decoding.scorers import Scorer
    from asr_attn.evaluation.tuning import Pool, Weights
    from asr_attn.evaluation.tuning_searches import EncodedBatch

ROUNDS = 10
"""Most searches with the weights that are best on the pools, for what the pools lack."""
VERIFIED = 3
"""Weights that are searched with in earnest, doubts considered, beside the settings that there were
before: those whose searches made the fewest errors."""


def tune(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: the model, the language model or the recordings cannot be used.
    """
    utterances = read_manifest(args.manifest)
    read = files_read(args, [args.checkpoint], utterances)
    refuse_overwriting({"--output": args.output}, [args.manifest, *read])
    with opened(args.output) as stream:  # better to fail before the work than after
        report = _tuned(args, utterances)
        stream.write(report.to_config())
    with opened(None) as stream:
        stream.write(report.to_json() if args.format == "json" else report.to_text())
    return 0


def _tuned(args: argparse.Namespace, utterances: Sequence[Utterance]) -> Report:
    import numpy as np

    from asr_attn.decoding.hypothesis import SearchConfig

    bench = _bench(args, utterances)
    lm = str(args.lm) if args.lm is not None else None
    # what the other commands do when they are told no weights
    before = SearchConfig(beam=args.beam or (WIDE_BEAM if lm else 1), lm=lm)
    config = replace(before, beam=args.beam or WIDE_BEAM)
    found, halves = _weights(args, bench, before, config)
    untuned = bench.measured("untuned", before)
    tried = [
        bench.measured(f"tuned, {number}", weights.applied(config))
        for number, weights in enumerate(found, 1)
        if weights.applied(config) != before
    ]
    held_out = np.zeros((len(bench.references), 2), dtype=np.int64)
    for number, (half, weights) in enumerate(halves, 1):
        measured = bench.measured(f"half {number}", weights.applied(config), set(half.tolist()))
        held_out += measured.errors
    sizes = np.array([(len(r.split()), len(r)) for r in bench.references])
    return Report(args, sizes, untuned, tried, held_out, bench.metric)


def _weights(
    args: argparse.Namespace, bench: "_Bench", before: "SearchConfig", config: "SearchConfig"
) -> "tuple[list[Weights], list[tuple[NDArray[np.int64], Weights]]]":
    """The best weights for the whole set, and for each half those that suit the other."""
    from asr_attn.evaluation.tuning import Weights, best_weights, ranked, weights_for_halves
    from asr_attn.evaluation.tuning_searches import POOLED

    with_lm = args.lm is not None
    start = Weights(lm_weight=before.lm_weight if with_lm else 0.0)
    pool = bench.pool(config, POOLED, "searching")
    for number in range(1, ROUNDS + 1):
        [best] = best_weights(pool, with_lm, args.trials, args.seed, start, metric=bench.metric)
        if best in bench.errors:
            break
        pool = bench.pool(config, [best], f"searching on, {number}")
    found = sorted(bench.errors, key=lambda w: ranked(bench.errors[w], bench.metric))[:VERIFIED]
    halves = weights_for_halves(pool, with_lm, args.trials, args.seed, start, bench.metric)
    return found, halves


@dataclass(frozen=True)
class _Bench:
    """What every setting is tried with.

    Attributes:
        model: recogniser.
        lm: language model.
        batches: encoded recordings.
        references: what was said in them, normalised.
        found: hypotheses of each.
        errors: words and characters that each of the weights got wrong that were searched with.
        metric: "wer" or "cer".
    """

    model: "TrainedModel"
    lm: "Scorer | None"
    batches: "Sequence[EncodedBatch]"
    references: Sequence[str]
    found: "Sequence[list[Hypothesis]]"
    errors: "dict[Weights, tuple[int, int]]"
    metric: str

    def pool(self, config: "SearchConfig", settings: "Iterable[Weights]", name: str) -> "Pool":
        """Search with some more weights; all hypotheses found so far, to try weights on."""
        from asr_attn.evaluation.tuning_searches import collect, pooled, wrong

        with Progress(name, len(self.references)) as bar:
            best = collect(
                self.model, self.batches, settings, config, self.found, self.lm, bar.advance
            )
        for weights, hypotheses in best.items():
            decoded = [self.model.tokenizer.decode(h.tokens).split() for h in hypotheses]
            counts = [wrong(r, " ".join(d)) for r, d in zip(self.references, decoded, strict=True)]
            self.errors[weights] = (sum(w for w, _ in counts), sum(c for _, c in counts))
        name_of_lm = self.lm.name if self.lm is not None else None
        return pooled(self.model, self.found, self.references, name_of_lm)

    def measured(self, name: str, config: "SearchConfig", only: set[int] | None = None) -> Measured:
        """Search in earnest, everywhere or in some utterances only."""
        import numpy as np

        from asr_attn.evaluation.tuning_searches import transcribe_set, wrong

        batches = [b if only is None else b.only(only) for b in self.batches]
        errors = np.zeros((len(self.references), 2), dtype=np.int64)
        with Progress(name, sum(len(batch.indices) for batch in batches)) as bar:
            texts = transcribe_set(self.model, batches, config, self.lm, bar.advance)
        for i, text in texts.items():
            errors[i] = wrong(self.references[i], text)
        return Measured(name, config, errors)


def _bench(args: argparse.Namespace, utterances: Sequence[Utterance]) -> _Bench:
    """Load and encode all that is needed."""
    from asr_attn.checkpoint import load_model
    from asr_attn.evaluation.results import require_words
    from asr_attn.evaluation.tuning_searches import encode_set
    from asr_attn.lm.loading import load_scorer
    from asr_attn.recognizer import usable_device
    from asr_attn.text.normalizer import normalize
    from asr_attn.text.scripts import lacks_spaces

    device = usable_device(args.device or "auto")
    model = load_model(args.checkpoint, device)
    references = [normalize(utterance.text, model.normalizer) for utterance in utterances]
    lm = load_scorer(args.lm, model.tokenizer).to(device) if args.lm is not None else None
    with Progress("encoding", len(utterances)) as bar:
        try:
            require_words(references)
            batches = encode_set(model, utterances, bar.advance)
        except InputError as error:
            raise InputError(f"{args.manifest}: {error}") from None
    found: list[list[Hypothesis]] = [[] for _ in references]
    metric = args.metric
    if metric == "auto":
        metric = "cer" if lacks_spaces(references) else "wer"
        if metric == "cer":
            say(f"{args.manifest}: the texts have no spaces between words, so CER is tuned")
    return _Bench(model, cast("Scorer | None", lm), batches, references, found, {}, metric)
