import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asr_attn.audio import feature_augmentation
from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.feature_augmentation import spec_augment
from asr_attn.settings import DECAYS, ScheduleConfig, TrainingConfig
from asr_attn.training.run import fit
from asr_attn.training.schedule import (
    attention_progress,
    guidance_at,
    learning_rate_factor,
    masks_at,
)

LATE = 10_000


def test_warmup_rises_in_a_straight_line_to_the_peak():
    config = ScheduleConfig(warmup_steps=4, decay="constant")
    factors = [learning_rate_factor(config, step, 0.0) for step in range(6)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("decay", DECAYS)
def test_no_warmup_starts_at_the_peak(decay):
    assert learning_rate_factor(ScheduleConfig(warmup_steps=0, decay=decay), 0, 0.0) == 1.0


@pytest.mark.parametrize(
    ("decay", "progress", "expected"),
    [
        ("constant", 1.0, 1.0),
        ("linear", 0.0, 1.0),
        ("linear", 0.2, 1.0),
        ("linear", 0.4, 1.0 - 0.9 * 0.25),
        ("linear", 0.6, 0.55),
        ("linear", 1.0, 0.1),
        ("linear", 1.5, 0.1),
        ("cosine", 0.0, 1.0),
        ("cosine", 0.2, 1.0),
        ("cosine", 0.4, 0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2),
        ("cosine", 0.6, 0.55),
        ("cosine", 1.0, 0.1),
        ("cosine", 1.5, 0.1),
    ],
)
def test_values_at_the_corners(decay, progress, expected):
    config = ScheduleConfig(warmup_steps=10, decay=decay, hold=0.2, final=0.1)
    assert learning_rate_factor(config, LATE, progress) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 1 / 16), (7, 0.5), (15, 1.0), (63, 0.5), (16 * 25 - 1, 0.2)]
)
def test_inverse_square_root(step, expected):
    config = ScheduleConfig(warmup_steps=16, decay="inverse_sqrt")
    assert learning_rate_factor(config, step, 0.9) == pytest.approx(expected)


@given(
    st.sampled_from(DECAYS),
    st.integers(0, 50),
    st.floats(0, 0.9),
    st.floats(0, 1),
    st.integers(0, 200),
    st.floats(0, 1),
)
def test_a_share_that_changes_without_jumps(decay, warmup, hold, final, step, progress):
    config = ScheduleConfig(warmup_steps=warmup, decay=decay, hold=hold, final=final)
    value = learning_rate_factor(config, step, progress)
    assert 0 <= value <= 1
    later = learning_rate_factor(config, step, min(progress + 1e-6, 1.0))
    assert later <= value + 1e-12
    assert value - later < 1e-4
    # one step changes the factor by no more than the slope of the warm-up or of the root
    following = learning_rate_factor(config, step + 1, progress)
    assert abs(following - value) <= 1 / (max(warmup, 1) if step < warmup else step + 1) + 1e-12
    if step >= warmup:
        assert following <= value


def test_attention_is_guided_from_the_end_of_the_warmup():
    """However long CTC learns alone, attention begins with all of the guidance."""
    config = TrainingConfig(ctc_warmup=0.6, guided_attention=2.0, guided_until=0.5)
    weights = [
        guidance_at(attention_progress(progress, config.ctc_warmup), config)
        for progress in (0.0, 0.6, 0.7, 0.8, 0.9, 1.0)
    ]
    assert weights == pytest.approx([2.0, 2.0, 1.0, 0.0, 0.0, 0.0])


def test_without_warmup_the_training_of_attention_is_the_whole_training():
    assert [attention_progress(share, 0.0) for share in (0.0, 0.3, 1.0)] == [0.0, 0.3, 1.0]


def test_no_guidance_where_it_ends_at_once():
    assert guidance_at(0.0, TrainingConfig(guided_until=0.0)) == 0.0


def test_nothing_but_the_diagonal_or_ctc_guides():
    with pytest.raises(ValueError, match=r"training\.guided_by='ear' is not one of diagonal, ctc"):
        TrainingConfig(guided_by="ear")
    with pytest.raises(ValueError, match=r"CTC off, but it is used by training\.guided_by=ctc"):
        TrainingConfig(ctc_weight=0.0, ctc_warmup=0.0, guided_by="ctc")
    TrainingConfig(ctc_weight=0.0, ctc_warmup=0.0, guided_by="ctc", guided_attention=0.0)


@pytest.mark.parametrize("per_frame", [0.0, 0.01])
def test_masks_grow_from_nothing_to_their_full_size(per_frame):
    """A mask of up to w frames covers w / 2 in the mean, and one of half the size half as many."""
    config = AugmentationConfig(
        frequency_masks=1,
        frequency_mask_bins=40,
        time_masks=1,
        time_mask_frames=40,
        time_mask_share=0.4,
        time_masks_per_frame=per_frame,
        masks_grow_until=0.5,
    )
    torch.manual_seed(0)
    ones, lengths = torch.ones(4000, 100, 80), torch.full((4000,), 100)
    covered = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        blank = spec_augment(ones, lengths, masks_at(progress, config)) == 0
        whole_bands, whole_stretches = blank.all(dim=1), blank.all(dim=2)
        covered.append(
            (whole_bands.sum(1).float().mean().item(), whole_stretches.sum(1).float().mean().item())
        )
    for (bands, stretches), share in zip(covered, (0.0, 0.5, 1.0, 1.0), strict=True):
        assert bands == pytest.approx(20 * share, abs=0.5)
        assert stretches == pytest.approx(20 * share, abs=0.5)


def test_masks_that_do_not_grow_are_as_they_are():
    assert masks_at(0.0, AugmentationConfig()) == AugmentationConfig()


def test_a_training_begins_with_no_masks_and_ends_with_all(tone_config, monkeypatch):
    widths = []

    def seen(features, lengths, config):
        widths.append(config.frequency_mask_bins)
        return spec_augment(features, lengths, config)

    monkeypatch.setattr(feature_augmentation, "spec_augment", seen)
    fit(tone_config(augmentation=AugmentationConfig(frequency_mask_bins=12, masks_grow_until=0.5)))
    assert widths[0] == 0
    assert widths[-1] == 12
    assert widths == sorted(widths)
