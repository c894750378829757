"""How well a neural language model predicts a text."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from asr_attn.lm.neural import NeuralLm
from asr_attn.lm.perplexity import Perplexity
from asr_attn.text.tokenizer import EOS, UNK

IGNORE = -100
"""Target where a batch is padded."""
_SENTENCES_AT_ONCE = 4096
_BATCH_TOKENS = 8192


def padded(sentences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Put sentences into a batch.

    Args:
        sentences: B sequences of ids, without start and end.

    Returns:
        inputs (B, U), each from the start of the sentence on, and targets (B, U), each up to the
        end of it; padded targets are ``IGNORE``.
    """
    rows = [torch.tensor([EOS, *sentence, EOS]) for sentence in sentences]
    whole = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORE)
    inputs = whole[:, :-1]
    return inputs.masked_fill(inputs == IGNORE, EOS), whole[:, 1:].contiguous()


def predicted(network: NeuralLm, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The targets of a batch that are no padding, and their log-probabilities: (tokens,) each.

    Both are on the CPU: log-probabilities to be added up are float64, which not every device has.

    Args:
        network: the model.
        inputs: (B, U).
        targets: (B, U).
    """
    real = targets != IGNORE
    log_probs = network(inputs).log_softmax(dim=-1)
    picked = log_probs.gather(2, targets.clamp(min=0)[..., None]).squeeze(2)
    return targets[real].cpu(), picked[real].cpu().double()


@torch.inference_mode()
def measure_tokens(network: NeuralLm, sentences: Iterable[Sequence[int]]) -> Perplexity:
    """Score a text of at least one sentence, each given as ids without start and end."""
    device = network.output.weight.device
    count = tokens = unknown = 0
    total = known_total = 0.0
    for batch in _batches(sentences):
        inputs, targets = padded(batch)
        read, log_probs = predicted(network, inputs.to(device), targets.to(device))
        lacking = read == UNK
        count += len(batch)
        tokens += len(read) - len(batch)
        unknown += int(lacking.sum())
        total += float(log_probs.sum())
        known_total += float(log_probs[~lacking].sum())
    return Perplexity(count, tokens, unknown, total, known_total)


def _batches(sentences: Iterable[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Batches of sentences that are alike in length."""
    waiting = iter(sentences)
    while several := sorted(islice(waiting, _SENTENCES_AT_ONCE), key=len):
        batch: list[Sequence[int]] = []
        for sentence in several:
            if batch and (len(sentence) + 1) * (len(batch) + 1) > _BATCH_TOKENS:
                yield batch
                batch = []
            batch.append(sentence)
        yield batch
