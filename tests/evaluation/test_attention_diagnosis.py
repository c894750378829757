import json
import re
from dataclasses import replace
from functools import reduce
from pathlib import Path

import pytest

from asr_attn.evaluation import attention_diagnosis
from asr_attn.evaluation.attention_diagnosis import (
    EpochRecord,
    describe,
    diagnose,
    first_aligned,
    troubles,
)
from asr_attn.evaluation.attention_health import AttentionHealth
from asr_attn.nn.attention import ATTENTIONS
from asr_attn.settings import RunConfig

ALIGNED = AttentionHealth(0.3, 0.9, 1.0, 1.0, 0.0, 0.3, 0.02, 0.0, 20)
SPREAD = replace(ALIGNED, entropy=0.97, diagonality=0.02)
STUCK = replace(ALIGNED, entropy=0.1, diagonality=0.0, edges=0.8, coverage=0.1)


def history(*healths: AttentionHealth, **more: list[float]) -> list[EpochRecord]:
    """One epoch each, of a training that is over with the last of them."""
    return [
        EpochRecord(i, i + 1, (i + 1) / len(healths), health, **{k: v[i] for k, v in more.items()})
        for i, health in enumerate(healths)
    ]


def test_nothing_is_said_of_nothing():
    assert diagnose([]) == {}
    assert first_aligned([]) is None


def test_attention_that_does_not_align():
    losses = [2.31, 2.0, 1.7, 1.4, 1.2, 1.02]
    found = diagnose(history(*[SPREAD] * 6, ctc_loss=losses, wer=[1.0] * 5 + [0.98]))
    assert list(found) == ["unaligned"]
    assert found["unaligned"].startswith("after 6 epochs attention has not aligned: entropy 0.97")
    assert "the CTC loss is falling (2.31 to 1.02), WER 98 %;" in found["unaligned"]
    assert "training.ctc_warmup=0.2" in found["unaligned"]


def test_an_encoder_that_learns_nothing_is_another_matter():
    found = diagnose(history(*[SPREAD] * 6, ctc_loss=[3.0, 2.95, 2.93, 2.92, 2.92, 2.91]))
    assert "the CTC loss has hardly fallen (3.00 to 2.91)" in found["unaligned"]
    assert "the encoder has not learnt" in found["unaligned"]
    assert "guided_attention" not in found["unaligned"]


def test_it_is_not_said_early_or_where_recognition_works():
    assert diagnose(history(*[SPREAD] * 4)) == {}
    early = [replace(record, progress=record.progress / 10) for record in history(*[SPREAD] * 9)]
    assert diagnose(early) == {}
    assert diagnose(history(*[SPREAD] * 9)[:6], settled=0.7) == {}  # 0.67: short examples yet
    assert list(diagnose(history(*[SPREAD] * 9)[:7], settled=0.7)) == ["unaligned"]
    assert diagnose(history(*[SPREAD] * 9, wer=[0.2] * 9)) == {}
    assert diagnose(history(*[SPREAD] * 9))


def test_alignment_is_dated_by_the_first_aligned_epoch():
    records = history(SPREAD, SPREAD, SPREAD, ALIGNED, ALIGNED, ALIGNED)
    assert first_aligned(records) == 3
    assert diagnose(records[:3]) == {}
    for known in range(4, 7):
        found = diagnose(records[:known])
        assert list(found) == ["aligned"]
        assert found["aligned"].startswith("attention aligned in epoch 4 (entropy 0.30")
    # several epochs from one validation to the next
    sparse = [replace(record, epoch=4 * record.epoch + 3) for record in records]
    assert first_aligned(sparse) == 15


def test_alignment_that_is_lost():
    records = history(SPREAD, ALIGNED, ALIGNED, SPREAD, SPREAD, SPREAD)
    assert list(diagnose(records[:4])) == ["aligned"]  # once is no loss
    found = diagnose(records[:5])
    assert list(found) == ["aligned", "lost"]
    assert "not any more since epoch 4" in found["lost"]
    assert list(diagnose(records)) == ["aligned", "lost"]


@pytest.mark.parametrize(
    ("health", "kind", "words"),
    [
        (STUCK, "stuck", "80 % of the attention stays on the first and last steps"),
        (replace(ALIGNED, jump_back=3.1, monotonicity=0.9), "jumps", "jumps back by 3.1 s"),
        (replace(ALIGNED, jump_back=3.1, monotonicity=0.5), "jumps", "jumps back by 3.1 s"),
        (replace(ALIGNED, coverage=0.6), "skips", "40 % of the speech is passed over"),
        (replace(ALIGNED, coverage=0.6, diagonality=0.4), "skips", "40 % of the speech"),
        (replace(ALIGNED, unattended=0.3), "unattended", "30 % of the tokens attend to nothing"),
        (SPREAD, "unaligned", "entropy 0.97 of uniform, diagonality 0.02"),
        (replace(ALIGNED, monotonicity=0.5), "unaligned", "monotonicity 0.50"),
    ],
)
def test_each_trouble_has_its_words(health, kind, words):
    assert list(troubles(health)) == [kind]
    assert words in describe(health)
    found = diagnose(history(*[health] * 6))
    assert words in found[kind]
    assert set(found) <= {kind, "aligned"}


def test_healthy_attention_has_no_troubles():
    assert troubles(ALIGNED) == {}
    assert describe(ALIGNED).startswith("attention is aligned")
    assert list(diagnose(history(*[ALIGNED] * 9))) == ["aligned"]


def test_one_aligned_head_is_enough():
    idle = replace(SPREAD, coverage=0.2)
    assert troubles(replace(idle, heads=(ALIGNED, idle))) == {}
    assert list(troubles(replace(SPREAD, heads=(SPREAD, SPREAD)))) == ["unaligned"]
    skipping = replace(ALIGNED, coverage=0.5)
    assert list(troubles(replace(SPREAD, heads=(SPREAD, skipping)))) == ["skips"]


def test_records_survive_being_saved():
    record = EpochRecord(3, 2, 0.5, replace(ALIGNED, heads=(ALIGNED, SPREAD)), 1.5, None)
    assert EpochRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_advice_names_settings_that_exist():
    text = Path(attention_diagnosis.__file__).read_text(encoding="utf-8")
    names = re.findall(r"\b((?:training|trainer|data|optimizer|model)\.[a-z_.]*[a-z])", text)
    assert {"training.ctc_warmup", "data.loading.curriculum", "optimizer.lr"} <= set(names)
    for name in names:
        value = reduce(
            lambda part, key: part[key] if isinstance(part, dict) else getattr(part, key),
            name.split("."),
            RunConfig(),
        )
        assert value is not None
    assert {"location", "forward", "window"} <= set(ATTENTIONS)
