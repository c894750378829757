import math
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from torch.nn import functional

from asr_attn.decoding.hypothesis import SearchConfig
from asr_attn.evaluation import tuning_searches
from asr_attn.evaluation.tuning_searches import POOLED, collect, encode_set, pooled, transcribe_set
from asr_attn.lm.loading import load_scorer
from asr_attn.recognizer import Recognizer
from asr_attn.text.tokenizer import BLANK, EOS
from tests.conftest import RATE
from tests.test_recognizer import utterances_of

SYMBOLS = ["a", "b", "c", "d", "e", "f", "g", "h", "<space>", "<unk>", "</s>"]


@pytest.fixture
def unigrams(tmp_path):
    """A language model whose probabilities are added up by hand: by symbol, in log10."""
    values = {symbol: -0.5 - 0.1 * i for i, symbol in enumerate(SYMBOLS)}
    lines = [f"{value:.4f}\t{symbol}" for symbol, value in values.items()]
    path = tmp_path / "unigrams.arpa"
    path.write_text(
        f"\\data\\\nngram 1={len(values) + 1}\n\n\\1-grams:\n-99\t<s>\n"
        + "\n".join(lines)
        + "\n\n\\end\\\n",
        encoding="utf-8",
    )
    return path, values


@pytest.fixture
def utterances(recordings):
    soundfile.write(recordings / "5.wav", np.zeros(RATE // 2), RATE)
    return utterances_of(recordings)


@pytest.mark.parametrize("asks_lm", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        SearchConfig(),
        SearchConfig(beam=4, ctc_weight=0.3, length_exponent=0.2),
        SearchConfig(beam=3, length_bonus=0.5, length_exponent=0.0, lm_weight=0.4),
    ],
)
def test_texts_are_those_of_a_recogniser(tiny_model, utterances, unigrams, config, asks_lm):
    lm = load_scorer(unigrams[0], tiny_model.tokenizer) if asks_lm else None
    config = replace(config, lm=str(unigrams[0]) if asks_lm else None)
    texts = transcribe_set(tiny_model, encode_set(tiny_model, utterances), config, lm)
    recognizer = Recognizer(tiny_model, config)
    found = dict(recognizer.transcribe_utterances(utterances))
    assert texts == {i: transcript.text for i, transcript in found.items()}
    assert texts[5] == ""
    assert len(set(texts.values())) > 2


def test_a_part_of_the_set_gives_what_the_whole_does(tiny_model, utterances):
    batches = encode_set(tiny_model, utterances)
    config = SearchConfig(beam=3, ctc_weight=0.3)
    whole = transcribe_set(tiny_model, batches, config)
    part = transcribe_set(tiny_model, [b.only({1, 4}) for b in batches], config)
    assert part == {1: whole[1], 4: whole[4]}
    assert transcribe_set(tiny_model, [b.only(set()) for b in batches], config) == {}


def distance(one: list[str] | str, other: list[str] | str) -> int:
    """Levenshtein, by its definition."""
    table = {(i, 0): i for i in range(len(one) + 1)} | {(0, j): j for j in range(len(other) + 1)}
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            ways = (table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b))
            table[i, j] = min(ways)
    return table[len(one), len(other)]


def test_pools_hold_all_that_is_found_with_all_its_parts(
    tiny_model, utterances, unigrams, monkeypatch
):
    seen: dict[int, set] = {}
    real = tuning_searches.search

    def watched(network, memory, lengths, *rest, **settings):
        lists = real(network, memory, lengths, *rest, **settings)
        for row, hypotheses in enumerate(lists):
            seen.setdefault(row, set()).update((h.tokens, h.truncated) for h in hypotheses)
        return lists

    monkeypatch.setattr(tuning_searches, "search", watched)
    path, values = unigrams
    lm = load_scorer(path, tiny_model.tokenizer)
    [batch] = encode_set(tiny_model, utterances)
    references = ["a b"] * len(utterances)
    found: list[list] = [[] for _ in utterances]
    config = SearchConfig(beam=3, lm=str(path))
    collect(tiny_model, [batch], POOLED[:2], config, found, lm)
    few = sum(map(len, found))
    collect(tiny_model, [batch], POOLED[1:], config, found, lm)  # one is searched with twice
    assert sum(map(len, found)) > few
    pool = pooled(tiny_model, found, references, lm.name)
    decode = tiny_model.tokenizer.decode
    natural = {symbol: value * math.log(10) for symbol, value in values.items()}
    for row, i in enumerate(batch.indices):
        real_ones = np.isfinite(pool.attention[i])
        if batch.silent[row]:
            assert pool.errors[i][real_ones].tolist() == [2]  # nothing is written
            continue
        assert real_ones.sum() == len(seen[row]) > 3
        rows = []
        memory = batch.memory[row : row + 1, : batch.lengths[row]]
        for tokens, truncated in seen[row]:
            text = decode(tokens)
            ends = [] if truncated else [EOS]
            language = sum(natural["<space>" if sign == " " else sign] for sign in text)
            clean = " ".join(text.split())
            rows.append(
                (
                    attention_of(tiny_model, memory, [*tokens, *ends]),
                    None if truncated else ctc_of(tiny_model, memory, list(tokens)),
                    language + (0.0 if truncated else natural["</s>"]),
                    attention_of(tiny_model, memory.mean(dim=1, keepdim=True), [*tokens, *ends]),
                    len(tokens),
                    float(not truncated),
                    distance(["a", "b"], clean.split()),
                    distance("a b", clean),
                )
            )
        ours = [
            tuple(float(table[i, j]) for table in vars(pool).values())
            for j in np.flatnonzero(real_ones)
        ]
        for mine, other in zip(sorted(ours), sorted(rows, key=lambda r: r[0]), strict=True):
            checked = [(a, b) for a, b in zip(mine, other) if b is not None]
            assert [a for a, _ in checked] == pytest.approx([b for _, b in checked], abs=2e-3)


@torch.inference_mode()
def attention_of(model, memory, tokens: list[int]) -> float:
    """Log-probability of a text by the decoder, token by token."""
    speller = model.network.speller
    state = speller.init_state(memory, torch.tensor([memory.size(1)]))
    total, last = 0.0, EOS
    for token in tokens:
        log_probs, _, state = speller.step(torch.tensor([last]), state)
        total += float(log_probs[0, token])
        last = token
    return total


@torch.inference_mode()
def ctc_of(model, memory, tokens: list[int]) -> float:
    """Log-probability of a text by the CTC output."""
    log_probs = model.network.ctc_log_probs(memory).double().transpose(0, 1)
    return -float(
        functional.ctc_loss(
            log_probs,
            torch.tensor([tokens], dtype=torch.long),
            torch.tensor([log_probs.size(0)]),
            torch.tensor([len(tokens)]),
            blank=BLANK,
            reduction="sum",
        )
    )


def test_a_pool_ranks_at_least_as_high_as_each_of_its_searches(tiny_model, utterances):
    references = ["a b"] * len(utterances)
    batches = encode_set(tiny_model, utterances)
    found: list[list] = [[] for _ in utterances]
    best = collect(tiny_model, batches, POOLED, SearchConfig(beam=3), found)
    pool = pooled(tiny_model, found, references, None)
    for w in POOLED:
        weights = replace(w, lm_weight=0.0, internal_lm_weight=0.0)
        config = weights.applied(SearchConfig(beam=3, doubt_penalty=0.0))
        total = (1 - w.ctc_weight) * pool.attention + w.ctc_weight * pool.ctc
        total += w.length_bonus * pool.tokens
        ranks = total / np.maximum(pool.tokens + pool.ends, 1) ** w.length_exponent
        ranks[pool.ends == 0] = -np.inf
        for i, one in Recognizer(tiny_model, config).transcribe_utterances(utterances):
            assert tiny_model.tokenizer.decode(best[weights][i].tokens).strip() == one.text
            if not (one.silent or one.truncated):
                assert ranks[i].max() >= one.score - 1e-3
