import math

import pytest

from asr_attn.audio.augmentation import AugmentationConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"speed": ()},
        {"speed": (0.4, 1.0)},
        {"speed": (1.0, 2.1)},
        {"tempo": ()},
        {"tempo": (math.nan,)},
        {"pitch_semitones": -1.0},
        {"pitch_semitones": 13.0},
        {"noise_probability": 1.1},
        {"noise_snr_db": (20.0, 10.0)},
        {"noise_kinds": ()},
        {"noise_kinds": ("white", "blue")},
        {"noise_kinds": ("recorded",)},
        {"noise_folder": "noise"},
        {"babble_voices": (0, 3)},
        {"babble_voices": (4, 3)},
        {"reverb_probability": math.nan},
        {"reverb_seconds": (0.0, 1.0)},
        {"reverb_seconds": (1.0, 100.0)},
        {"reverb_direct_db": (0.0, math.inf)},
        {"band_probability": -0.1},
        {"band_low_hz": (0.0, 4000.0)},
        {"band_high_hz": (10.0, 20.0)},
        {"time_warp_frames": -1.0},
        {"time_masks": -1},
        {"time_mask_share": -0.1},
        {"time_masks_per_frame": 1.1},
        {"vocal_tract": 0.5},
    ],
)
def test_refuses_settings_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match=f"augmentation.*{next(iter(wrong))}") as caught:
        AugmentationConfig(**wrong)
    assert "\n" not in str(caught.value)


def test_what_makes_speech_shortest():
    assert AugmentationConfig().fastest == 1.1
    assert AugmentationConfig(tempo=(0.9, 1.2, 1.0)).fastest == pytest.approx(1.32)
