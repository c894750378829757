"""Settings of the augmentation of training speech; how it is done is in the modules beside."""

import math
from dataclasses import dataclass

NOISE_KINDS = ("white", "pink", "brown", "babble", "recorded")


@dataclass(frozen=True)
class AugmentationConfig:
    """How training speech is varied; all of it is off for validation and transcribing."""

    speed: tuple[float, ...] = (0.9, 1.0, 1.1)
    """Factors to choose from: 1.1 is 10 % faster and higher (Ko et al. 2015)."""
    tempo: tuple[float, ...] = (1.0,)
    """Factors to choose from: 1.1 is 10 % faster at the same pitch."""
    pitch_semitones: float = 0.0
    """Pitch and formants change by up to this many semitones either way at the same tempo."""
    gain_db: float = 6.0
    """Volume changes by up to this many decibels either way."""
    equalizer_db: float = 0.0
    """Each utterance passes through a random equalizer of up to this many decibels either way, as
    if it had been recorded by another microphone."""
    reverb_probability: float = 0.0
    """Share of the utterances that sound as if spoken in another room."""
    reverb_seconds: tuple[float, float] = (0.1, 0.8)
    """Range of the time in which the room's echo falls by 60 dB (RT60)."""
    reverb_direct_db: tuple[float, float] = (0.0, 15.0)
    """Range of the direct sound's energy over the echo's: low is far from the microphone."""
    noise_probability: float = 0.0
    """Share of the utterances that get noise."""
    noise_snr_db: tuple[float, float] = (10.0, 40.0)
    """Range of the signal-to-noise ratio of that noise."""
    noise_kinds: tuple[str, ...] = ("white",)
    """Kinds to choose from: white, pink, brown, babble (other training utterances, several at
    once) and recorded (needs ``noise_folder``)."""
    noise_folder: str | None = None
    """Folder with recordings of noise, for the kind ``recorded``."""
    babble_voices: tuple[int, int] = (3, 7)
    """Range of the number of voices in babble."""
    band_probability: float = 0.0
    """Share of the utterances that lose the lowest and the highest frequencies, as on a telephone
    or by a codec."""
    band_low_hz: tuple[float, float] = (0.0, 300.0)
    """Range of the frequency below which they are lost."""
    band_high_hz: tuple[float, float] = (3000.0, 7000.0)
    """Range of the frequency above which they are lost."""
    vocal_tract: float = 0.0
    """Frequencies are stretched by up to this share either way, as if the speaker's vocal tract
    were shorter or longer (VTLP, Jaitly and Hinton 2013): more speakers out of few."""
    time_warp_frames: float = 0.0
    """A random moment of an utterance moves by up to this many frames, and the rest stretches
    (SpecAugment's time warping, Park et al. 2019)."""
    frequency_masks: int = 2
    """Bands that are blanked out per utterance (SpecAugment, Park et al. 2019)."""
    frequency_mask_bins: int = 15
    """Greatest width of such a band in mel bins."""
    time_masks: int = 2
    """Stretches of time that are blanked out per utterance."""
    time_mask_frames: int = 20
    """Greatest length of such a stretch in frames."""
    time_mask_share: float = 0.2
    """Greatest length of such a stretch as a share of the utterance."""
    time_masks_per_frame: float = 0.0
    """Above 0, an utterance gets this many times its frames of time masks, at most 20, in place of
    ``time_masks``, and ``time_mask_share`` alone limits their length (Park et al. 2020, who set
    both to 0.04)."""
    masks_grow_until: float = 0.0
    """Share of the training in which the masks widen from nothing to their full size: large ones
    keep a model that has not yet found the words from finding them."""

    def __post_init__(self) -> None:
        for name in ("speed", "tempo"):
            factors = getattr(self, name)
            if not factors or not all(0.5 <= factor <= 2.0 for factor in factors):
                raise ValueError(f"augmentation.{name} needs factors from 0.5 to 2, not {factors}")
        if not 0 <= self.pitch_semitones <= 12:
            raise ValueError(
                f"augmentation.pitch_semitones is from 0 to 12, not {self.pitch_semitones}"
            )
        self._check_shares()
        self._check_sizes()
        self._check_ranges()
        self._check_noise()

    @property
    def fastest(self) -> float:
        """By how much an utterance may become shorter."""
        return max(self.speed) * max(self.tempo)

    def _check_shares(self) -> None:
        if not 0 <= self.vocal_tract < 0.5:
            raise ValueError(
                f"augmentation.vocal_tract is a share from 0 to below 0.5, not {self.vocal_tract}"
            )
        for name in (
            "reverb_probability",
            "noise_probability",
            "band_probability",
            "time_mask_share",
            "time_masks_per_frame",
            "masks_grow_until",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"augmentation.{name} is from 0 to 1, not {getattr(self, name)}")

    def _check_sizes(self) -> None:
        for name in (
            "gain_db",
            "equalizer_db",
            "time_warp_frames",
            "frequency_masks",
            "frequency_mask_bins",
            "time_masks",
            "time_mask_frames",
        ):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"augmentation.{name} starts at 0, not {getattr(self, name)}")

    def _check_ranges(self) -> None:
        for name, lowest in (
            ("reverb_seconds", 0.01),
            ("reverb_direct_db", -math.inf),
            ("noise_snr_db", -math.inf),
            ("babble_voices", 1),
            ("band_low_hz", 0),
            ("band_high_hz", 100),
        ):
            ends = getattr(self, name)
            ordered = len(ends) == 2 and all(map(math.isfinite, ends)) and ends[0] <= ends[1]
            if not ordered or ends[0] < lowest:
                least = "" if lowest == -math.inf else f", and starts at {lowest} or above"
                raise ValueError(
                    f"augmentation.{name} is a range, lower end first{least}, not {ends}"
                )
        if self.reverb_seconds[1] > 10:
            raise ValueError(
                "augmentation.reverb_seconds ends at 10 seconds or below, not at "
                f"{self.reverb_seconds[1]}"
            )
        if self.band_low_hz[1] >= self.band_high_hz[0]:
            raise ValueError(
                "augmentation.band_low_hz must end below the start of augmentation.band_high_hz, "
                f"not {self.band_low_hz} and {self.band_high_hz}"
            )

    def _check_noise(self) -> None:
        unknown = [kind for kind in self.noise_kinds if kind not in NOISE_KINDS]
        if unknown or not self.noise_kinds:
            raise ValueError(
                f"augmentation.noise_kinds are some of {', '.join(NOISE_KINDS)}, not "
                f"{', '.join(map(repr, unknown)) or 'none'}"
            )
        if ("recorded" in self.noise_kinds) != (self.noise_folder is not None):
            raise ValueError(
                "augmentation.noise_folder belongs to noise_kinds that hold recorded: set both, or "
                "neither"
            )
