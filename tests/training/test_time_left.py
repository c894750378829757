from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import lightning.pytorch as pl
import pytest

from asr_attn.data.planning import CurriculumStage
from asr_attn.settings import RunConfig, TrainingConfig
from asr_attn.training.callbacks import ATTENTION_WORK, EpochFigures
from asr_attn.training.run import set_up
from asr_attn.training.time_left import TimeLeft, in_words

MakeConfig = Callable[..., RunConfig]


@pytest.mark.parametrize("every", [1, 3])
def test_an_even_run_is_foretold_exactly(every: int) -> None:
    """Simulated: seconds per unit of work and per validation that do not change."""
    now, per_unit, validation = 0.0, 0.5, 7.0
    sizes, batches = [10.0, 10.0, 40.0, 80.0, 80.0, 80.0], 8
    total = per_unit * sum(sizes) + validation * (len(sizes) // every)
    time_left = TimeLeft(clock=lambda: now)
    assert time_left.seconds() is None
    for epoch, size in enumerate(sizes):
        time_left.begin_epoch(epoch, sizes, every)
        for batch in range(batches):
            now += per_unit * size / batches
            time_left.trained(batch, batches)
            if epoch >= every:  # before, no validation was seen
                assert time_left.seconds() == pytest.approx(total - now)
            elif every == 3:
                unseen = validation * (len(sizes) // every)
                assert time_left.seconds() == pytest.approx(total - now - unseen)
        validated = (epoch + 1) % every == 0
        now += validation * validated
        time_left.end_epoch(validated)
        if epoch + 1 >= every:
            assert time_left.seconds() == pytest.approx(total - now)
    assert time_left.seconds() == pytest.approx(0.0)


def test_a_resumed_epoch_begins_in_its_middle_and_the_latest_epochs_count() -> None:
    now = 100.0
    time_left = TimeLeft(clock=lambda: now)
    time_left.begin_epoch(1, [4.0, 4.0, 4.0], 1)
    now += 6.0
    time_left.trained(2, 4)  # a quarter of an epoch in 6 s: 24 s each
    assert time_left.seconds() == pytest.approx(6.0 + 24.0)
    for epoch in range(1, 4):
        time_left.begin_epoch(epoch, [4.0] * 5, 1)
        now += 8.0
        time_left.trained(0, 1)
        time_left.end_epoch(validated=False)
    assert time_left.seconds() == pytest.approx(8.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "less than a minute"),
        (65, "about 1 min"),
        (59 * 60, "about 59 min"),
        (2 * 3600 + 47 * 60, "about 2 h 45 min"),
        (50 * 3600, "about 2 days 2 h"),
    ],
)
def test_times_are_as_exact_as_they_are_known(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_epochs_with_attention_count_as_longer(tone_config: MakeConfig) -> None:
    config = tone_config(training=TrainingConfig(ctc_warmup=0.5))
    config = replace(config, trainer=replace(config.trainer, max_epochs=4))
    task, data = set_up(config)
    trainer = SimpleNamespace(datamodule=data, lightning_module=task, current_epoch=0)
    sizes = EpochFigures(None, lines=False).sizes(cast(pl.Trainer, trainer))
    factors = [size / seconds for size, seconds in zip(sizes, data.epoch_seconds(), strict=True)]
    assert factors == pytest.approx([1.0, 1.0, ATTENTION_WORK, ATTENTION_WORK])


def test_words_that_are_going_to_be_located_are_counted_on(tone_config: MakeConfig) -> None:
    """Until then an epoch of single words is little; afterwards it is all of the speech."""
    config = tone_config(training=TrainingConfig(ctc_warmup=0.0, align_at=(0.5,)))
    stages = (CurriculumStage(until=1.0, max_words=1),)
    config = replace(config, trainer=replace(config.trainer, max_epochs=6))
    data_config = replace(config.data, loading=replace(config.data.loading, curriculum=stages))
    task, data = set_up(replace(config, data=data_config))
    whole = ATTENTION_WORK * sum(utterance.duration for utterance in data.train)
    short = ATTENTION_WORK * sum(u.duration for u in data.train if len(u.text.split()) == 1)
    assert short < whole
    trainer = SimpleNamespace(datamodule=data, lightning_module=task)
    for epoch in range(3):
        trainer.current_epoch = epoch
        sizes = EpochFigures(None, lines=False).sizes(cast(pl.Trainer, trainer))
        assert sizes == pytest.approx([short] * 3 + [whole] * 3)
    # then it is known which were found
    trainer.current_epoch = 3
    cut = next(u for u in data.train if len(u.text.split()) > 1)
    data.cuts = {cut.id: [0.1]}
    sizes = EpochFigures(None, lines=False).sizes(cast(pl.Trainer, trainer))
    assert sizes == pytest.approx([short + ATTENTION_WORK * cut.duration] * 6)
