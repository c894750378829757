"""Speech synthesis by eSpeak NG, repeatable to the last sample.

eSpeak NG is called through ctypes; the wheel `espeakng-loader` brings the shared library and its
data for Linux, macOS and Windows. The library is meant to sound alive, not to repeat itself: pitch
flutter and roughness read counters that run on from one utterance to the next and that no call
resets, so what a voice says depends on all that was said before. Here the library works on a copy
of its data in which every voice variant has both switched off, and the command queue, the random
numbers and every parameter are set anew each time. What is lost is wanted from the text's own
variation instead: voice, rate, pitch and pitch range.
"""

import ctypes
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr_attn.errors import InputError

INSTALL_HINT = 'pip install "asr-attn[digits]"'

# speak_lib.h
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_RATE, _VOLUME, _PITCH, _RANGE, _WORD_GAP = 1, 2, 3, 4, 7
# Full volume drives some variants into the library's gain control, which carries over too.
_QUIET_VOLUME = 40
# All that English needs of the 20 MB of data.
_DATA_FILES = ("en_dict", "intonations", "phondata", "phonindex", "phontab")
_DATA_FOLDERS = ("lang/gmw", "voices/!v")
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class Speech:
    """What to say and how.

    Attributes:
        text: English text; a comma makes a short pause.
        voice: Accent and variant, as in `en-us+f3`.
        rate: Words a minute, 80 to 450.
        pitch: 0 to 99; 50 is the voice's own.
        pitch_range: 0 (monotone) to 99; 50 is the voice's own.
        word_gap: Pause between words in units of 10 ms (at 175 words a minute).
    """

    text: str
    voice: str
    rate: int = 160
    pitch: int = 50
    pitch_range: int = 50
    word_gap: int = 0


class Synthesiser:
    """eSpeak NG as a context manager; one at a time in a process, since the library is global.

    Attributes:
        sample_rate: Of what `speak` returns, in Hz (22050).
        variants: Names of the voice variants there are.
    """

    def __init__(self) -> None:
        self.sample_rate = 0
        self.variants: frozenset[str] = frozenset()
        self._chunks: list[bytes] = []
        # ctypes keeps no reference to a callback: it must live as long as the library may call it.
        self._callback = _CALLBACK(self._receive)

    def __enter__(self) -> "Synthesiser":
        library_path, data_path = _locate()
        self._scratch = tempfile.TemporaryDirectory(prefix="asr-attn-espeak-")
        try:
            data = Path(self._scratch.name) / "espeak-ng-data"
            self.variants = _copy_data(data_path, data)
            self._library = _load(library_path)
            self.sample_rate = self._library.espeak_Initialize(
                _AUDIO_OUTPUT_SYNCHRONOUS, 0, os.fsencode(data), _INITIALIZE_DONT_EXIT
            )
            if self.sample_rate <= 0:
                raise InputError(
                    f"eSpeak NG cannot read its data in {data}; reinstall it with "
                    "`pip install --force-reinstall espeakng-loader`."
                )
            self._library.espeak_SetSynthCallback(self._callback)
        except BaseException:
            self._scratch.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._library.espeak_Terminate()
        self._scratch.cleanup()

    def speak(self, speech: Speech) -> NDArray[np.float32]:
        """Synthesises one utterance, the same whatever was said before.

        Returns:
            Mono samples within [-1, 1], shape (samples,), at `sample_rate`.

        Raises:
            InputError: The voice does not exist.
        """
        library = self._library
        library.espeak_Cancel()  # empties the command queue, or its fill shifts the timing
        # An unknown variant is not an error to the library: it speaks with the accent's own voice.
        variant = speech.voice.partition("+")[2]
        known = variant in self.variants
        if not known or library.espeak_SetVoiceByName(speech.voice.encode("utf-8")) != 0:
            raise InputError(
                f"eSpeak NG has no voice {speech.voice!r}; name an accent and a variant, "
                "as in 'en-us+f3'."
            )
        for parameter, value in (
            (_RATE, speech.rate),
            (_VOLUME, _QUIET_VOLUME),
            (_PITCH, speech.pitch),
            (_RANGE, speech.pitch_range),
            (_WORD_GAP, speech.word_gap),
        ):
            library.espeak_SetParameter(parameter, value, 0)
        library.espeak_ng_SetRandSeed(1)  # breath noise
        self._chunks.clear()
        text = speech.text.encode("utf-8")
        library.espeak_Synth(text, len(text) + 1, 0, 0, 0, _CHARS_UTF8, None, None)
        samples = np.frombuffer(b"".join(self._chunks), dtype=np.int16)
        return samples.astype(np.float32) / np.float32(32768)

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        """Called by the library with each stretch of samples; 0 asks for more."""
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0


def _locate() -> tuple[Path, Path]:
    """The shared library and its data folder, from the wheel."""
    try:
        import espeakng_loader
    except ImportError:
        raise InputError(
            "The digits data set is spoken by eSpeak NG, which is not installed; "
            f"install it with `{INSTALL_HINT}`."
        ) from None
    return Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())


def _copy_data(source: Path, target: Path) -> frozenset[str]:
    """Copies English and the voice variants, flutter and roughness off; returns their names."""
    target.mkdir()
    for name in _DATA_FILES:
        shutil.copyfile(source / name, target / name)
    for name in _DATA_FOLDERS:
        shutil.copytree(source / name, target / name)
    variants = [path for path in (target / "voices" / "!v").iterdir() if path.is_file()]
    for path in variants:
        # A later line overrides an earlier one.
        path.write_bytes(path.read_bytes() + b"\nflutter 0\nroughness 0\n")
    return frozenset(path.name for path in variants)


def _load(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise InputError(
            f"eSpeak NG's library {path} cannot be loaded ({error}); reinstall it with "
            "`pip install --force-reinstall espeakng-loader`."
        ) from None
    number, text = ctypes.c_int, ctypes.c_char_p
    signatures: dict[str, list[Any]] = {
        "espeak_Initialize": [number, number, text, number],
        "espeak_SetSynthCallback": [_CALLBACK],
        "espeak_SetVoiceByName": [text],
        "espeak_SetParameter": [number, number, number],
        "espeak_ng_SetRandSeed": [ctypes.c_long],
        "espeak_Synth": [
            *(text, ctypes.c_size_t, ctypes.c_uint, number, ctypes.c_uint, ctypes.c_uint),
            *(ctypes.c_void_p, ctypes.c_void_p),
        ],
        "espeak_Cancel": [],
        "espeak_Terminate": [],
    }
    for name, arguments in signatures.items():
        getattr(library, name).argtypes = arguments
    return library
