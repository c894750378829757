"""Where the words of training utterances are, by CTC: so that they can be cut between words."""

from asr_attn.checkpoint import TrainedModel
from asr_attn.data.batches import Batch
from asr_attn.decoding.alignment import align, has_path, word_boundaries, word_tokens


def words_in(model: TrainedModel, batch: Batch) -> dict[str, list[float]]:
    """Word boundaries in seconds, by id, of the utterances of a batch that CTC can align.

    Args:
        model: in evaluation mode.
        batch: B utterances.
    """
    network, tokenizer = model.network, model.tokenizer
    device = network.ctc.weight.device
    memory, lengths = network.encode(batch.waveforms.to(device), batch.lengths.to(device))
    log_probs = network.ctc_log_probs(memory).cpu()
    found: dict[str, list[float]] = {}
    rows = zip(batch.ids, batch.texts, log_probs, lengths.tolist(), batch.lengths.tolist())
    for name, text, row, steps, samples in rows:
        tokens = tokenizer.encode(text)
        if has_path(row[:steps], tokens):
            edges = word_boundaries(
                align(row[:steps], tokens), word_tokens(tokens, tokenizer), steps
            )
            duration = samples / model.features.sample_rate
            found[name] = [min(edge / steps, 1.0) * duration for edge in edges]
    return found
