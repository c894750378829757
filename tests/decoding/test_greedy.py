import itertools
import math

import pytest
import torch

from asr_attn.decoding.greedy import ctc_greedy_search, greedy_search
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.decoding.scorers import AttentionScorer
from asr_attn.models.decoders import LstmDecoder, LstmDecoderConfig
from asr_attn.nn.attention import SoftAttentionConfig
from asr_attn.text.tokenizer import BLANK, EOS


def make_speller(seed: int) -> LstmDecoder:
    torch.manual_seed(seed)
    config = LstmDecoderConfig(hidden_size=10, embedding_size=5)
    attention = SoftAttentionConfig(size=6, channels=3, kernel_size=5)
    speller = LstmDecoder(6, 4, attention, config).eval()
    for parameter in speller.parameters():
        torch.nn.init.normal_(parameter)
    return speller


@torch.inference_mode()
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_equals_choosing_the_likeliest_token_of_one_utterance_at_a_time(share):
    lengths = torch.tensor([9, 5, 2, 7])
    config = SearchConfig(max_tokens_per_step=share, length_exponent=0.7)
    complete = cut = 0
    for seed in range(15):
        speller = make_speller(seed)
        memory = torch.randn(4, 9, 4)
        found = greedy_search(speller, memory, lengths, config)
        for row, length in enumerate(lengths.tolist()):
            limit = math.ceil(length * share) + 1
            state = speller.init_state(memory[row : row + 1, :length], lengths[row : row + 1])
            last, total, chosen = EOS, 0.0, []
            for _ in range(limit):
                log_probs, _, state = speller.step(torch.tensor([last]), state)
                last = max((v, t) for t, v in enumerate(log_probs[0].tolist()) if t != BLANK)[1]
                total += float(log_probs[0, last])
                chosen.append(last)
                if last == EOS:
                    break
            ended = chosen[-1] == EOS
            hypothesis = found[row]
            assert hypothesis.tokens == tuple(chosen[:-1] if ended else chosen)
            assert hypothesis.truncated == (not ended)
            assert hypothesis.log_prob == pytest.approx(total, abs=1e-4)
            assert hypothesis.score == pytest.approx(total / len(chosen) ** 0.7, abs=1e-4)
            complete += ended
            cut += not ended
    assert complete > 5
    assert cut > 5


def test_attention_scorer_is_the_decoder():
    speller = make_speller(0)
    scorer = AttentionScorer(speller)
    memory, lengths = torch.randn(2, 5, 4), torch.tensor([5, 3])
    tokens = torch.tensor([EOS, 4])
    log_probs, state = scorer.score(tokens, scorer.start(memory, lengths))
    expected, _, after = speller.step(tokens, speller.init_state(memory, lengths))
    assert torch.equal(log_probs, expected)
    assert torch.equal(state.hidden, after.hidden)


def collapse(path: tuple[int, ...]) -> list[int]:
    return [label for label, _ in itertools.groupby(path) if label != BLANK]


def test_ctc_best_path_equals_the_likeliest_of_all_paths():
    for seed in range(20):
        torch.manual_seed(seed)
        lengths = [5, 3, 1, 4]
        log_probs = (2 * torch.randn(4, 5, 3)).log_softmax(dim=-1)
        for row, length in zip(log_probs, lengths, strict=True):
            row[length:] = torch.tensor([-100.0, -100.0, 0.0])  # padding would be heard
        found = ctc_greedy_search(log_probs, torch.tensor(lengths))
        for row, length, tokens in zip(log_probs, lengths, found, strict=True):
            paths = itertools.product(range(3), repeat=length)
            best = max(paths, key=lambda path: sum(row[s, v].item() for s, v in enumerate(path)))
            assert tokens == collapse(best)


def test_ctc_best_path_joins_repeats_but_not_over_a_blank():
    path = torch.tensor([[2, 2, BLANK, 2, 3, 3, BLANK, BLANK]])
    log_probs = torch.nn.functional.one_hot(path, 4).float().log()
    assert ctc_greedy_search(log_probs, torch.tensor([8])) == [[2, 2, 3]]
    assert ctc_greedy_search(log_probs, torch.tensor([3])) == [[2]]
