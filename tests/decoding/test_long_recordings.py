"""A toy recogniser that leaves out minutes of a long recording, and none of a short one."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from asr_attn.decoding.checked import Checked
from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.decoding.recheck import LONG, checked_search
from asr_attn.decoding.stretches import CONTEXT, LONGEST, REACH
from asr_attn.models.decoders.interface import DecoderOutput
from asr_attn.text.tokenizer import BLANK, EOS

SPELLINGS = ("", "", "", "a", "b", "c", " ")
SPACE, V = 6, len(SPELLINGS)
TOKENIZER = SimpleNamespace(
    spellings=SPELLINGS, decode=lambda ids: "".join(SPELLINGS[token] for token in ids)
)
SECONDS = 0.05
STEPS = 2400


def logits_of(samples: Tensor) -> Tensor:
    """What CTC makes of samples (S,) that are tokens."""
    logits = torch.zeros(len(samples), V)
    logits[torch.arange(len(samples)), samples.long()] = 12.0
    return logits


@dataclass(frozen=True)
class Place:
    memory: Tensor
    place: Tensor

    def select(self, index: Tensor) -> "Place":
        return Place(self.memory[index], self.place[index])


class Reader:
    """Reads one token after the other; in a long memory it jumps from one step to another."""

    def __init__(self, jump: tuple[int, int]) -> None:
        self.jump = jump

    def init_state(self, memory: Tensor, lengths: Tensor) -> Place:
        return Place(memory, torch.full((len(memory),), -1))

    def step(self, tokens: Tensor, state: Place) -> tuple[Tensor, Tensor, Place]:
        log_probs = torch.full((len(tokens), V), -20.0)
        weights = torch.zeros(len(tokens), 1, state.memory.size(1))
        places = state.place.clone()
        for i, (memory, place) in enumerate(zip(state.memory, state.place.tolist())):
            labels = memory.argmax(dim=-1)
            steps = torch.arange(len(labels))
            following = ((labels != BLANK) & (steps > place)).nonzero().flatten()
            if len(labels) > LONG / SECONDS and place < self.jump[0] <= following[0]:
                following = ((labels != BLANK) & (steps >= self.jump[1])).nonzero().flatten()
            places[i] = following[0] if len(following) else len(labels) - 1
            log_probs[i, labels[places[i]] if len(following) else EOS] = -1e-3
            weights[i, 0, places[i]] = 1.0
        return log_probs, weights, Place(state.memory, places)

    def __call__(self, memory: Tensor, lengths: Tensor, inputs: Tensor) -> DecoderOutput:
        state = self.init_state(memory, lengths)
        steps = []
        for tokens in inputs.T:
            *answer, state = self.step(tokens, state)
            steps.append(answer)
        logits, weights = (torch.stack(each, dim=1) for each in zip(*steps))
        return DecoderOutput(logits, weights, torch.zeros(0))


class Network:
    """Its waveforms have one sample a step: the token that is said there."""

    seconds_per_step = SECONDS
    reduction = 1
    features = SimpleNamespace(config=SimpleNamespace(hop_length=1))
    ctc = torch.nn.Linear(1, V)

    def __init__(self, jump: tuple[int, int]) -> None:
        self.speller = Reader(jump)
        self.encoded: list[int] = []

    def encode(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        self.encoded += lengths.tolist()
        return torch.stack([logits_of(samples) for samples in waveforms]), lengths

    def ctc_log_probs(self, memory: Tensor) -> Tensor:
        return memory.log_softmax(dim=-1)


def recording() -> tuple[np.ndarray, np.ndarray]:
    """Words of three letters, 1 s each, and a pause of 0.5 s after every fourth: tokens, speech."""
    samples, speech = np.zeros(STEPS, np.float32), np.zeros(STEPS, dtype=bool)
    random = np.random.default_rng(0)
    for word, start in enumerate(range(0, STEPS - 20, 20)):
        start += 10 * (word // 4)
        if start + 20 > STEPS:
            break
        samples[start + 1 : start + 14 : 5] = random.integers(3, 6, 3)
        samples[start + 17] = SPACE
        speech[start : start + 20] = True
    return samples, speech


def transcribed(network: Network, **settings: float) -> Checked:
    samples, speech = recording()
    memory = logits_of(torch.from_numpy(samples))[None]
    config = SearchConfig(**settings)
    lengths = torch.tensor([STEPS])
    (found,) = checked_search(
        network, TOKENIZER, memory, lengths, [speech], config, waveforms=[samples]
    )
    return found


def said() -> str:
    samples, _ = recording()
    return "".join(SPELLINGS[int(token)] for token in samples if token != BLANK).strip()


@pytest.mark.parametrize("skipped", [(800, 1100), (0, 500), (1500, STEPS), (60, 2300)])
def test_what_was_left_out_is_found_around_the_doubt_alone(skipped):
    network = Network(skipped)
    before = transcribed(network, doubt_penalty=0.0)
    assert [doubt.kind for doubt in before.doubts] != []
    found = transcribed(network)
    assert TOKENIZER.decode(found.hypotheses[0].tokens).strip() == said()
    assert found.again
    assert found.doubts == ()
    assert max(network.encoded) <= LONGEST / SECONDS
    around = 2 * (CONTEXT + REACH + 3.0) / SECONDS  # some words more on both sides
    assert sum(network.encoded) <= skipped[1] - skipped[0] + around


def test_what_is_not_doubted_is_not_searched_again():
    network = Network((0, 0))
    found = transcribed(network)
    assert TOKENIZER.decode(found.hypotheses[0].tokens).strip() == said()
    assert (found.again, found.doubts, network.encoded) == (False, (), [])


def test_a_loop_without_end_is_searched_again_from_where_it_begins():
    network = Network((1500, 1400))
    before = transcribed(network, doubt_penalty=0.0)
    assert before.hypotheses[0].truncated
    found = transcribed(network)
    assert TOKENIZER.decode(found.hypotheses[0].tokens).strip() == said()
    assert not found.hypotheses[0].truncated
    assert found.doubts == ()
    assert max(network.encoded) <= LONGEST / SECONDS
