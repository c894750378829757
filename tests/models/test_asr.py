import pytest
import torch

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.features import FeaturesConfig
from asr_attn.decoding.beam import beam_search
from asr_attn.decoding.greedy import ctc_greedy_search, greedy_search
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.decoding.scorers import AttentionScorer
from asr_attn.models.asr import AsrModel, ModelConfig
from asr_attn.models.decoders import LstmDecoderConfig
from asr_attn.models.encoders import ListenerConfig
from asr_attn.nn.attention import SoftAttentionConfig
from asr_attn.training.loss import attention_loss, ctc_loss, targets_of

LENGTHS = [8000, 3333, 5121, 160]
TEXTS = [[3, 4, 4, 5], [5], [3, 6, 2], []]


def make(seed: int = 0) -> AsrModel:
    torch.manual_seed(seed)
    config = ModelConfig(
        ListenerConfig(hidden_size=16, heads=2, feedforward_size=24),
        SoftAttentionConfig(size=12, channels=4, kernel_size=7),
        LstmDecoderConfig(hidden_size=20, embedding_size=8),
    )
    model = AsrModel(FeaturesConfig(sample_rate=8000, n_mels=20), config, 7).eval()
    for parameter in [*model.decoder.parameters(), *model.ctc.parameters()]:
        torch.nn.init.normal_(parameter, std=0.8)
    return model


def waveforms() -> torch.Tensor:
    torch.manual_seed(9)
    out = torch.zeros(len(LENGTHS), max(LENGTHS))
    for row, length in zip(out, LENGTHS, strict=True):
        row[:length] = 0.1 * torch.randn(length)
    return out


def test_memory_is_the_same_alone_and_in_a_batch():
    model, batch = make(), waveforms()
    memory, steps = model.encode(batch, torch.tensor(LENGTHS))
    log_probs = model.ctc_log_probs(memory)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(memory.shape[:2]))
    for i, length in enumerate(LENGTHS):
        alone, count = model.encode(batch[i : i + 1, :length], torch.tensor([length]))
        assert count.tolist() == [alone.size(1)] == [int(steps[i])]
        torch.testing.assert_close(memory[i, : int(count)], alone[0], atol=1e-4, rtol=1e-4)
        assert not memory[i, int(count) :].any()


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("seed", [1, 4, 5])
def test_transcript_is_the_same_alone_and_in_a_batch(beam, seed):
    model, batch = make(seed), waveforms()
    config = SearchConfig(beam=beam)

    def transcribe(samples, lengths):
        memory, steps = model.encode(samples, lengths)
        greedy = greedy_search(model.speller, memory, steps, config)
        lists = beam_search([(AttentionScorer(model.speller), 1.0)], memory, steps, config, 2)
        return greedy, lists, ctc_greedy_search(model.ctc_log_probs(memory), steps)

    greedy, lists, paths = transcribe(batch, torch.tensor(LENGTHS))
    assert len({tuple(path) for path in paths}) > 1
    for i, length in enumerate(LENGTHS):
        alone = transcribe(batch[i : i + 1, :length], torch.tensor([length]))
        assert paths[i] == alone[2][0]
        for one, other in zip([greedy[i], *lists[i]], [alone[0][0], *alone[1][0]], strict=True):
            assert one.tokens == other.tokens
            assert one.truncated == other.truncated
            assert one.log_prob == pytest.approx(other.log_prob, abs=1e-3)


def test_losses_of_a_batch_are_those_of_its_utterances_together():
    model, batch = make(), waveforms()

    def losses(samples, lengths, texts):
        memory, steps = model.encode(samples, lengths)
        inputs, targets = targets_of(texts, torch.device("cpu"))
        logits = model.decoder(memory, steps, inputs).logits
        ctc = ctc_loss(model.ctc_log_probs(memory), steps, texts)
        return attention_loss(logits, targets, 0.1), ctc

    attention, ctc = losses(batch, torch.tensor(LENGTHS), TEXTS)
    attention_sum = ctc_sum = 0.0
    for i, length in enumerate(LENGTHS):
        one, other = losses(batch[i : i + 1, :length], torch.tensor([length]), TEXTS[i : i + 1])
        attention_sum += one.item() * (len(TEXTS[i]) + 1)
        ctc_sum += other.item() * max(len(TEXTS[i]), 1)
    tokens = sum(map(len, TEXTS))
    assert attention.item() == pytest.approx(attention_sum / (tokens + len(TEXTS)), rel=1e-4)
    assert ctc.item() == pytest.approx(ctc_sum / tokens, rel=1e-4)


def test_augmentation_only_where_asked():
    model, batch = make(), waveforms()
    plain, _ = model.encode(batch, torch.tensor(LENGTHS))
    off = AugmentationConfig(frequency_masks=0, time_masks=0)
    assert torch.equal(model.encode(batch, torch.tensor(LENGTHS), off)[0], plain)
    masked, steps = model.encode(batch, torch.tensor(LENGTHS), AugmentationConfig())
    assert not torch.equal(masked, plain)
    for row, count in zip(masked, steps.tolist(), strict=True):
        assert not row[count:].any()


def test_time_of_a_memory_step():
    model = make()
    assert model.reduction == 4
    assert model.seconds_per_step == pytest.approx(0.04)
    seconds = 3.0
    _, steps = model.encode(torch.zeros(1, int(seconds * 8000)), torch.tensor([24000]))
    assert int(steps) == pytest.approx(seconds / model.seconds_per_step, abs=1.01)


def test_parameter_count_and_saved_names():
    model = make()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert model.parameter_count() == sum(
        value.numel() for name, value in model.state_dict().items() if name in trained
    )
    again = make(seed=1)
    again.load_state_dict(model.state_dict())
    batch, lengths = waveforms(), torch.tensor(LENGTHS)
    assert torch.equal(again.encode(batch, lengths)[0], model.encode(batch, lengths)[0])
