"""How far the times of words are from where they are known to be.

Takes the utterances of a manifest whose words have times ("words": [[word, start, end], ...], in
seconds, as the strings of recipes/fsdd have, whose joints are known), lets a model align their
texts, and compares: times by CTC, as transcripts have them, and by attention alone.

Example:
  python benchmarks/word_times.py runs/fsdd_strings data/fsdd/strings/test.jsonl
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from asr_attn.audio.reading import read_audio
from asr_attn.checkpoint import TrainedModel, load_model
from asr_attn.data.batches import pad_waveforms
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.decoding.reading import Reading, read_texts
from asr_attn.decoding.words import words_of

BATCH = 16


@torch.inference_mode()
def readings(model: TrainedModel, utterances: Sequence[Utterance]) -> Iterator[Reading]:
    """What the model makes of each utterance's text."""
    network = model.network
    for begin in range(0, len(utterances), BATCH):
        part = utterances[begin : begin + BATCH]
        waveforms = [read_audio(u.audio, model.features.sample_rate) for u in part]
        memory, lengths = network.encode(*pad_waveforms(waveforms))
        yield from read_texts(
            network, memory, lengths, [model.tokenizer.encode(u.text) for u in part]
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="CHECKPOINT", type=Path)
    parser.add_argument("manifest", metavar="MANIFEST", type=Path)
    options = parser.parse_args()
    model, utterances = load_model(options.model), read_manifest(options.manifest)
    seconds = model.network.seconds_per_step
    late: dict[tuple[str, str], list[float]] = {}
    for utterance, reading in zip(utterances, readings(model, utterances)):
        alone = replace(reading, ctc=(), ctc_log_probs=reading.ctc_log_probs[:0])
        for source, given in (("CTC", reading), ("attention", alone)):
            words = words_of(given, model.tokenizer, seconds, utterance.duration)
            for word, (_, start, end) in zip(words, utterance.extra["words"], strict=True):
                late.setdefault((source, "start"), []).append(word.start - start)
                late.setdefault((source, "end"), []).append(word.end - end)
    print("| times by | edge | off by (median) | 90 % within | late by (median) |")
    print("|---|---|---|---|---|")
    for (source, edge), values in late.items():
        cells = (np.median(np.abs(values)), np.percentile(np.abs(values), 90), np.median(values))
        print(f"| {source} | {edge} | " + " | ".join(f"{1000 * c:.0f} ms" for c in cells) + " |")
    print(f"\n{len(values)} words; a memory step is {1000 * seconds:.0f} ms")


if __name__ == "__main__":
    main()
