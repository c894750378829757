"""Commands in Kaldi's wav.scp, such as ``flac -c -d -s x.flac |``: read, checked and run.

Only sox, ffmpeg, flac and sph2pipe run, found on PATH by name and started without a shell. Their
options are those in the tables here, none of which writes to a file.
"""

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import soundfile

from asr_attn.errors import AudioError

PROGRAMS = ("sox", "ffmpeg", "flac", "sph2pipe")
"""The programs that may run."""

_SHELL_MARKS = frozenset("|;<>&$`\n\r\0")
_FLAC_FLAGS = frozenset(("-c", "-d", "-s", "--stdout", "--decode", "--silent", "--totally-silent"))
_SPH2PIPE_FLAGS = frozenset(("-p", "-u", "-a"))
_SPH2PIPE_VALUES = frozenset(("-f", "-c", "-t", "-s"))
_SOX_FLAGS = frozenset(("-G", "-D", "-R", "-q", "-S", "-V", "-V0", "-V1", "-V2", "-L", "-B", "-x"))
_SOX_VALUES = frozenset(("-t", "-r", "-b", "-c", "-e", "-v", "-C"))
_SOX_EFFECTS = frozenset(
    (
        "bandpass",
        "channels",
        "compand",
        "dcshift",
        "dither",
        "gain",
        "highpass",
        "lowpass",
        "norm",
        "pad",
        "pitch",
        "rate",
        "remix",
        "reverb",
        "sinc",
        "speed",
        "tempo",
        "trim",
        "upsample",
        "downsample",
        "vol",
    )
)
_SOX_WRITES = frozenset(("noiseprof", "spectrogram", "ladspa", "newfile", "restart", "output"))
_FFMPEG_FLAGS = frozenset(("-nostdin", "-hide_banner", "-vn", "-sn", "-dn", "-n", "-nostats"))
_FFMPEG_VALUES = frozenset(
    (
        "-i",
        "-f",
        "-ac",
        "-ar",
        "-acodec",
        "-c:a",
        "-codec:a",
        "-ss",
        "-t",
        "-to",
        "-loglevel",
        "-v",
        "-map",
        "-threads",
        "-sample_fmt",
    )
)


def program_and_words(command: str) -> tuple[str, list[str]] | None:
    """The program of a command, without its folder, and its arguments; None if they are unclear.

    Args:
        command: without the pipe sign at its end.
    """
    try:
        program, *words = shlex.split(command)
    except ValueError:  # an open quote, or no words
        return None
    return Path(program).name, words


def decoded_file(command: str) -> str | None:
    """The file whose sound a command gives as it is; None if it may do anything else."""
    parts = program_and_words(command)
    if parts is None or _SHELL_MARKS & set(command):
        return None
    program, words = parts
    if program == "sox" and len(words) == 4 and words[1:] == ["-t", "wav", "-"]:
        return words[0] if not words[0].startswith("-") else None
    if program == "flac" and _check_flac(words) is None and _flac_flags(words) <= _FLAC_FLAGS:
        return next(word for word in words if not word.startswith("-"))
    if program == "sph2pipe" and words[:-1] in _SPH2PIPE_WHOLE and not words[-1].startswith("-"):
        return words[-1]
    return None


_SPH2PIPE_WHOLE = (
    ["-f", "wav"],
    ["-f", "wav", "-p"],
    ["-p", "-f", "wav"],
    ["-f", "wav", "-c", "1"],
    ["-f", "wav", "-p", "-c", "1"],
    ["-p", "-f", "wav", "-c", "1"],
    ["-f", "wav", "-c", "1", "-p"],
)
"""Options of sph2pipe that give all of a file with one channel."""


def is_one_channel(path: Path) -> bool:
    """Whether a sphere file can be read here and has one channel."""
    try:
        return int(soundfile.info(path).channels) == 1
    except (soundfile.SoundFileError, OSError):
        return False


def refusal(command: str) -> str | None:
    """Why a command is not to run; None if it may.

    Args:
        command: without the pipe sign at its end.
    """
    if marks := sorted(_SHELL_MARKS & set(command)):
        return f"has {marks[0]!r}, which is for a shell, and none is used"
    parts = program_and_words(command)
    if parts is None:
        return "has no program, or a quotation mark is not closed"
    program, words = parts
    if program not in PROGRAMS:
        return f"is not of {', '.join(PROGRAMS[:-1])} or {PROGRAMS[-1]}"
    return _CHECKS[program](words)


def run_command(command: str, stem: Path) -> Path:
    """Run a command that `refusal` has let pass, and write its sound to a WAV file.

    Args:
        command: without the pipe sign at its end.
        stem: the file to write, without its ending.

    Returns:
        The file.

    Raises:
        AudioError: the program is not there or fails, or its output is no WAV.
    """
    parts = program_and_words(command)
    assert parts is not None, "checked before"
    program, words = parts
    place = shutil.which(program)
    if place is None:
        raise AudioError(f"the program {program} is not there; install it")
    if program == "ffmpeg":
        words = ["-nostdin", "-n", *words]
    with tempfile.TemporaryFile() as sound, tempfile.TemporaryFile() as said:
        done = subprocess.run(
            [place, *words], stdin=subprocess.DEVNULL, stdout=sound, stderr=said, check=False
        )
        said.seek(0)
        last = _last_line(said.read())
        if done.returncode:
            raise AudioError(f"{program} fails with code {done.returncode}: {last}")
        sound.seek(0)
        target = stem.with_name(f"{stem.name}.wav")
        try:
            _copy_sound(sound, target)
        except soundfile.SoundFileError:
            hint = f": {last}" if last else ""
            raise AudioError(f"what {program} gives is no WAV{hint}") from None
    return target


def _copy_sound(source: IO[bytes], target: Path) -> None:
    """Copy sound, since the header that a program writes to a pipe has no length."""
    with soundfile.SoundFile(source) as sound:
        subtype = sound.subtype if soundfile.check_format("WAV", sound.subtype) else "FLOAT"
        kind = {"PCM_16": "int16", "PCM_24": "int32", "PCM_32": "int32"}.get(subtype, "float64")
        with soundfile.SoundFile(
            target, "w", sound.samplerate, sound.channels, subtype, format="WAV"
        ) as copy:
            for block in sound.blocks(blocksize=1 << 18, dtype=kind):
                copy.write(block)
            if not copy.frames:
                raise AudioError("the command gives no sound")


def _last_line(said: bytes) -> str:
    lines = [line for line in said.decode("utf-8", errors="replace").split("\n") if line.strip()]
    return lines[-1].split("\r")[-1].strip() if lines else "it says nothing"


def _flac_flags(words: Sequence[str]) -> set[str]:
    """The options of flac, each alone where letters are written together."""
    flags: set[str] = set()
    for word in words:
        if word.startswith("-"):
            single = not word.startswith("--") and len(word) > 2
            flags |= {f"-{letter}" for letter in word[1:]} if single else {word}
    return flags


def _check_flac(words: Sequence[str]) -> str | None:
    flags = _flac_flags(words)
    ranges = {flag for flag in flags if flag.startswith(("--skip=", "--until="))}
    if unknown := sorted(flags - ranges - _FLAC_FLAGS):
        return f"has the option {unknown[0]} of flac, which is not permitted"
    if not flags & {"-c", "--stdout"} or not flags & {"-d", "--decode"}:
        return "must decode to standard output: flac -c -d -s FILE"
    files = [word for word in words if not word.startswith("-")]
    return None if len(files) == 1 else "must name one file"


def _check_sph2pipe(words: Sequence[str]) -> str | None:
    files, fault = _operands(words, _SPH2PIPE_FLAGS, _SPH2PIPE_VALUES, "sph2pipe")
    if fault is None and len(files) != 1:
        return "must name one file"
    return fault


def _check_sox(words: Sequence[str]) -> str | None:
    output = next((i for i, w in enumerate(words) if w == "-" and words[i - 1] != "-t"), None)
    if output is None:
        return "must write to standard output: sox FILE -t wav -"
    files, fault = _operands(words[:output], _SOX_FLAGS, _SOX_VALUES, "sox")
    if fault is not None:
        return fault
    if not files:
        return "must name a file before -"
    effects = words[output + 1 :]
    if effects and effects[0] not in _SOX_EFFECTS:
        return f"has {effects[0]} after -, which is no effect of sox that is permitted"
    if bad := _SOX_WRITES.intersection(effects):
        return f"has the effect {sorted(bad)[0]} of sox, which is not permitted"
    return None


def _check_ffmpeg(words: Sequence[str]) -> str | None:
    if not words or words[-1] not in ("-", "pipe:", "pipe:1"):
        return "must write to standard output: ffmpeg -i FILE -f wav -"
    files, fault = _operands(words[:-1], _FFMPEG_FLAGS, _FFMPEG_VALUES, "ffmpeg")
    if fault is None and files:
        return f"would write to {files[0]}, which is not permitted"
    if fault is None and "-i" not in words:
        return "must name a file with -i"
    last = max((i for i, word in enumerate(words) if word == "-i"), default=0)
    formats = [words[i + 1] for i in range(last + 2, len(words) - 1) if words[i] == "-f"]
    if fault is None and formats != ["wav"]:  # other formats may write to more files
        return "must give WAV: ffmpeg -i FILE -f wav -"
    return fault


def _operands(
    words: Sequence[str], flags: frozenset[str], values: frozenset[str], program: str
) -> tuple[list[str], str | None]:
    """What is neither an option nor its value, and which option is not permitted."""
    files: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in values:
            next(rest, None)
        elif word.startswith("-") and len(word) > 1 and word not in flags:
            return [], f"has the option {word} of {program}, which is not permitted"
        elif word not in flags:
            files.append(word)
    return files, None


_CHECKS: Mapping[str, Callable[[Sequence[str]], str | None]] = {
    "sox": _check_sox,
    "ffmpeg": _check_ffmpeg,
    "flac": _check_flac,
    "sph2pipe": _check_sph2pipe,
}
