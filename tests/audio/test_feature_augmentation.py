import numpy as np
import pytest
import torch

from asr_attn.audio.augmentation import AugmentationConfig
from asr_attn.audio.feature_augmentation import (
    adaptive_time_masks,
    moved_times,
    perturb_features,
    perturb_vocal_tract,
    resample_time,
    spec_augment,
    warp_time,
    warped_frequencies,
)
from asr_attn.audio.features import FeaturesConfig, LogMel

OFF = {"speed": (1.0,), "gain_db": 0.0, "frequency_masks": 0, "time_masks": 0}


def test_off_is_identity():
    features = torch.randn(2, 30, 10)
    same = perturb_features(
        features, torch.tensor([30, 20]), torch.arange(10.0), AugmentationConfig(**OFF)
    )
    assert same is features


def masked(
    lengths: list[int], bins: int, seed: int = 0, **changes
) -> tuple[torch.Tensor, torch.Tensor]:
    """Masked cells (B, T, D) of features without zeros, which must be zeroed or unchanged."""
    torch.manual_seed(seed)
    features = torch.rand(len(lengths), max(lengths), bins) + 0.5
    before = features.clone()
    config = AugmentationConfig(**{**OFF, **changes})
    out = spec_augment(features, torch.tensor(lengths), config)
    assert torch.equal(features, before)
    zeros = out == 0
    assert torch.equal(out[~zeros], features[~zeros])
    return zeros, out


def runs(line: torch.Tensor) -> list[int]:
    """Lengths of the runs of True."""
    marks = "".join("x" if value else " " for value in line.tolist())
    return [len(run) for run in marks.split()]


def test_frequency_masks_are_whole_bands_of_at_most_the_promised_width():
    hit = torch.zeros(12, dtype=torch.bool)
    widths = set()
    for seed in range(150):
        zeros, _ = masked([9, 5], 12, seed, frequency_masks=1, frequency_mask_bins=4)
        for row in zeros:
            assert (row == row[:1]).all()
            spans = runs(row[0])
            assert len(spans) <= 1
            widths.add(sum(spans))
            hit |= row[0]
    assert widths == {0, 1, 2, 3, 4}
    assert hit.all()


def test_time_masks_are_whole_frames_inside_the_utterance():
    lengths = [40, 22, 9, 4, 1]
    hit = torch.zeros(5, 40, dtype=torch.bool)
    longest = [0] * 5
    for seed in range(400):
        zeros, _ = masked(lengths, 3, seed, time_masks=1, time_mask_frames=6, time_mask_share=0.2)
        assert (zeros == zeros[:, :, :1]).all()
        hit |= zeros[:, :, 0]
        for i, row in enumerate(zeros[:, :, 0]):
            assert len(runs(row)) <= 1
            longest[i] = max([longest[i], *runs(row)])
    # the share of the utterance, or the limit where that is less
    assert longest == [6, 4, 1, 0, 0]
    for row, length, most in zip(hit, lengths, longest, strict=True):
        assert not row[length:].any()
        assert row[:length].all() or most == 0


def test_masks_add_up():
    most = 0
    for seed in range(100):
        zeros, _ = masked([50], 10, seed, time_masks=3, time_mask_frames=5, time_mask_share=1.0)
        spans = runs(zeros[0, :, 0])
        assert len(spans) <= 3
        assert sum(spans) <= 15
        most = max(most, len(spans))
    assert most == 3


def test_utterances_of_a_batch_get_masks_of_their_own():
    zeros, _ = masked([30] * 8, 20, 0, frequency_masks=1, time_masks=1)
    assert len({tuple(row.flatten().tolist()) for row in zeros}) > 4


def test_a_mask_wider_than_the_features_stays_inside():
    for seed in range(50):
        zeros, _ = masked([3], 4, seed, frequency_masks=2, frequency_mask_bins=50)
        assert zeros.shape == (1, 3, 4)


@pytest.mark.parametrize(("per_frame", "share"), [(0.04, 0.04), (0.1, 0.02), (0.03, 0.3)])
def test_adaptive_masks_have_number_and_size_by_the_length(per_frame, share):
    lengths = [1, 24, 25, 74, 75, 100, 333, 1000, 3000]
    config = AugmentationConfig(
        **{**OFF, "time_masks_per_frame": per_frame, "time_mask_share": share}
    )
    numbers, widest = adaptive_time_masks(torch.tensor(lengths), config)
    # thousandths are exact: no whole number is missed by rounding
    thousandths = [round(1000 * per_frame), round(1000 * share)]
    assert numbers.tolist() == [min(20, n * thousandths[0] // 1000) for n in lengths]
    assert widest.tolist() == [n * thousandths[1] // 1000 for n in lengths]


def test_adaptive_masks_are_what_they_say():
    lengths = [200] * 80 + [100] * 80 + [24] * 80
    changes = {"time_masks_per_frame": 0.04, "time_mask_share": 0.04, "time_mask_frames": 1}
    zeros, _ = masked(lengths, 3, **changes)
    # 8 masks of at most 8 frames, 4 of at most 4, none
    for k, (number, widest) in enumerate([(8, 8), (4, 4), (0, 0)]):
        rows = zeros[80 * k : 80 * (k + 1), :, 0]
        assert not rows[:, lengths[80 * k] :].any()
        assert max(len(runs(row)) for row in rows) <= number
        sums = rows.sum(dim=1)
        assert sums.max() <= number * widest
        # as many that do not overlap much, each half as wide on average
        assert sums.float().mean() == pytest.approx(0.42 * number * widest, rel=0.15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_time_warp_is_linear_interpolation_of_each_utterance(dtype):
    torch.manual_seed(0)
    lengths = torch.tensor([50, 31, 7, 2, 1])
    features = torch.randn(5, 50, 4).to(dtype)
    features *= (torch.arange(50)[None, :] < lengths[:, None])[:, :, None]
    last = (lengths - 1).float()
    moment = last * torch.tensor([0.3, 0.7, 0.5, 0.5, 0.0])
    target = last * torch.tensor([0.6, 0.5, 0.5, 1.0, 0.0])
    out = resample_time(features, lengths, moved_times(50, last, moment, target))
    assert out.dtype == dtype
    tolerance = 0.05 if dtype == torch.bfloat16 else 1e-4
    for i, n in enumerate(lengths.tolist()):
        knots = [0.0, float(target[i]), float(last[i])]
        values = [0.0, float(moment[i]), float(last[i])]
        sources = np.interp(np.arange(n), knots, values)
        if i == 3:  # all of it lies before the moment
            sources = np.array([0.0, 0.5])
        for d in range(4):
            row = features[i, :n, d].double().numpy()
            expected = np.interp(sources, np.arange(n), row)
            np.testing.assert_allclose(out[i, :n, d].double(), expected, atol=tolerance)
        assert not out[i, n:].any()


def test_time_warp_keeps_the_ends_and_moves_what_is_between_by_at_most_its_reach():
    lengths = torch.tensor([100, 100, 40, 3, 1])
    ramp = torch.arange(100.0)[None, :, None].repeat(5, 1, 2)
    ramp *= (torch.arange(100)[None, :] < lengths[:, None])[:, :, None]
    moved = []
    for seed in range(60):
        torch.manual_seed(seed)
        out = warp_time(ramp, lengths, 30.0)[:, :, 0]
        for i, n in enumerate(lengths.tolist()):
            assert out[i, 0] == 0
            assert out[i, n - 1] == pytest.approx(n - 1, abs=1e-3)
            assert (out[i, :n].diff() > -1e-4).all()
            assert not out[i, n:].any()
        moved.append(out - ramp[:, :, 0])
    far = torch.stack(moved).abs().amax(dim=(0, 2))
    assert 24 < far[0] <= 30
    assert 14 < far[2] <= 19.5  # half of its 39 steps is all the room there is
    both = torch.stack(moved)[:, 0]
    assert both.max() > 15
    assert both.min() < -15
    assert not torch.equal(moved[0][0], moved[0][1])


def test_warping_comes_before_the_masks_and_padding_stays_zero():
    config = AugmentationConfig(**{**OFF, "time_warp_frames": 10.0, "time_masks": 2})
    features = torch.rand(3, 60, 5) + 0.5
    lengths = torch.tensor([60, 41, 12])
    features *= (torch.arange(60)[None, :] < lengths[:, None])[:, :, None]
    torch.manual_seed(3)
    out = perturb_features(features, lengths, torch.arange(5.0), config)
    torch.manual_seed(3)
    expected = spec_augment(warp_time(features, lengths, 10.0), lengths, config)
    assert torch.equal(out, expected)
    for row, n in zip(out, lengths.tolist(), strict=True):
        assert not row[n:].any()
        hidden = (row[:n] == 0).all(dim=1)
        assert ((row[:n] > 0.4).all(dim=1) | hidden).all()


def test_views_share_the_times_alone():
    features = torch.rand(2, 60, 8) + 0.5
    lengths = torch.tensor([60, 41])
    features *= (torch.arange(60)[None, :] < lengths[:, None])[:, :, None]
    centres = 100.0 * torch.arange(1.0, 9.0)

    def views_of(**changes) -> torch.Tensor:
        torch.manual_seed(3)
        config = AugmentationConfig(**{**OFF, **changes})
        return perturb_features(features, lengths, centres, config, views=2)

    plain = views_of()
    assert torch.equal(plain, torch.cat([features, features]))
    moved = views_of(time_warp_frames=10.0)
    assert torch.equal(moved[:2], moved[2:])
    assert not torch.equal(moved[:2], features)
    for changes in ({"time_masks": 2}, {"frequency_masks": 2}, {"vocal_tract": 0.2}):
        out = views_of(time_warp_frames=10.0, **changes)
        assert not torch.equal(out[:2], out[2:])
        assert not out[[1, 3], 41:].any()
    masked = views_of(time_warp_frames=10.0, time_masks=2)
    kept = masked != 0
    assert torch.equal(masked[kept], moved[kept])


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.0, 1.1, 1.25])
def test_warped_frequencies_are_the_formula_of_the_paper(factor):
    high, knee = 8000.0, 4800.0
    frequencies = torch.linspace(0.0, high, 161, dtype=torch.float64)
    expected = []
    for f in frequencies.tolist():
        if f <= knee * min(factor, 1.0) / factor:
            expected.append(f * factor)
        else:
            turn = knee * min(factor, 1.0)
            expected.append(high - (high - turn) / (high - turn / factor) * (high - f))
    warped = warped_frequencies(frequencies, torch.tensor([[factor]], dtype=torch.float64))[0]
    np.testing.assert_allclose(warped.numpy(), expected, rtol=1e-12, atol=1e-9)
    assert (warped.diff() > 0).all()
    assert warped[-1] == high


def test_vocal_tract_moves_a_tone_by_at_most_the_share_and_to_both_sides():
    log_mel = LogMel(FeaturesConfig())
    tone = (0.5 * torch.sin(2 * torch.pi * 1500 / 16000 * torch.arange(16000)))[None].expand(
        200, -1
    )
    features, _ = log_mel.log_mel(tone, torch.full((200,), 16000))
    torch.manual_seed(0)
    moved = perturb_vocal_tract(features, log_mel.centres, 0.2)
    heard = log_mel.centres[moved[:, 50].argmax(dim=1)] / 1500.0
    assert heard.min() == pytest.approx(0.8, abs=0.04)
    assert heard.max() == pytest.approx(1.2, abs=0.04)
    assert heard.mean() == pytest.approx(1.0, abs=0.03)


def test_vocal_tract_of_no_share_changes_nothing():
    features = torch.randn(3, 7, 80)
    centres = LogMel(FeaturesConfig()).centres
    torch.testing.assert_close(perturb_vocal_tract(features, centres, 0.0), features)
