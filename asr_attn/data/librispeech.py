"""Reading corpora laid out as LibriSpeech is: SET/SPEAKER/CHAPTER/ with one transcript file.

V. Panayotov, G. Chen, D. Povey and S. Khudanpur, "LibriSpeech: an ASR corpus based on public domain
audio books", ICASSP 2015. A chapter's folder holds SPEAKER-CHAPTER.trans.txt, with a line "ID TEXT"
for each utterance, and the files ID.flac. What either side lacks is told, never left out silently.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from asr_attn.audio.reading import audio_duration, read_audio
from asr_attn.data.corpus import DATA_VARIABLE
from asr_attn.data.manifest import Utterance
from asr_attn.errors import AudioError, InputError

ROOT = "LibriSpeech"
"""Folder that the publisher's archives unpack to."""
SAMPLE_RATE = 16000
SHOWN = 40
"""Faults that are listed; more are counted."""
_NAMED = 5
_READERS = 8
# Seconds of sound at the end of a file that are decoded: a copy that broke off has no end.
_TAIL = 0.02


@dataclass(frozen=True)
class Part:
    """A published set.

    Attributes:
        name: of its folder.
        utterances: that it has when it is complete.
        page: where its archive is.
        chapters: its chapters as SPEAKER/CHAPTER, where they are known beforehand; otherwise they
            are looked up in CHAPTERS.TXT, if that is there.
    """

    name: str
    utterances: int
    page: str
    chapters: frozenset[str] = frozenset()


PARTS = {
    name: Part(name, utterances, "https://www.openslr.org/12")
    for name, utterances in (
        ("train-clean-100", 28539),
        ("train-clean-360", 104014),
        ("train-other-500", 148688),
        ("dev-clean", 2703),
        ("dev-other", 2864),
        ("test-clean", 2620),
        ("test-other", 2939),
    )
}
"""The sets of LibriSpeech."""


@dataclass(frozen=True)
class Found:
    """What there is of a set.

    Attributes:
        utterances: those with both text and sound, in the order of their numbers.
        faults: what is missing or unusable, each in some words.
    """

    utterances: list[Utterance]
    faults: list[str]


def find_root(given: Path | None, parts: Sequence[Part]) -> Path:
    """The folder that holds the sets: the given one, or LibriSpeech under $ASR_ATTN_DATA.

    Args:
        given: that folder, or the one above it.
        parts: the sets that are needed.

    Raises:
        InputError: there is none, or it lacks all or some of the sets; the sentence names them.
    """
    shared = os.environ.get(DATA_VARIABLE)
    if given is None and not shared:
        raise InputError(
            f"It is not said where the corpus is: unpack {_wanted(parts)}, and name the folder "
            f"{ROOT} with --source or the folder above it with ${DATA_VARIABLE}."
        )
    source = (given or Path(shared or "")).expanduser()
    root = source / ROOT if (source / ROOT).is_dir() else source
    lacking = [part for part in parts if not (root / part.name).is_dir()]
    if lacking:
        names = " and ".join(part.name for part in lacking)
        raise InputError(
            f"{root if root.is_dir() else source} does not hold the folder"
            f"{'s' if len(lacking) > 1 else ''} {names}; unpack {_wanted(lacking)}, and name the "
            f"folder {ROOT} with --source or the folder above it with ${DATA_VARIABLE}."
        )
    return root


def count_chapters(root: Path, parts: Iterable[Part]) -> int:
    """How many folders of chapters there are to read."""
    return sum(len(_chapter_folders(root / part.name)) for part in parts)


def read_part(root: Path, part: Part, on_chapter: Callable[[], None] = lambda: None) -> Found:
    """Find the utterances of a set; the ends of all files are read, to see that they are whole.

    Args:
        root: the folder that holds the sets.
        part: the set.
        on_chapter: is called after each chapter.
    """
    folders = _chapter_folders(root / part.name)
    utterances: list[Utterance] = []
    faults: list[str] = []
    with ThreadPoolExecutor(_READERS) as readers:
        for found in readers.map(_read_chapter, folders):
            utterances += found.utterances
            faults += found.faults
            on_chapter()
    here = {f"{folder.parent.name}/{folder.name}" for folder in folders}
    if len(utterances) != part.utterances:
        faults += _incomplete(root, part, here, len(utterances))
    return Found(utterances, faults)


def read_parts(
    root: Path, parts: Sequence[Part], on_chapter: Callable[[], None], partial: bool
) -> tuple[dict[str, list[Utterance]], list[str]]:
    """Find the utterances of several sets.

    Args:
        root: the folder that holds them.
        parts: the sets.
        on_chapter: is called after each chapter.
        partial: go on with what is there.

    Returns:
        The utterances by set, and what is missing or unusable.

    Raises:
        InputError: something is and ``partial`` is not set; one message lists it all.
    """
    found = {part.name: read_part(root, part, on_chapter) for part in parts}
    faults = [fault for one in found.values() for fault in one.faults]
    if faults and not partial:
        raise InputError(
            f"{root} is not as it was published; unpack {_wanted(parts)} anew, or go on with what "
            f"is there by --partial:\n{fault_list(faults)}"
        )
    return {name: one.utterances for name, one in found.items()}, faults


def fault_list(faults: Sequence[str]) -> str:
    """The faults, one a line."""
    more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    return "\n".join(f"  {fault}" for fault in [*faults[:SHOWN], *more])


def _wanted(parts: Iterable[Part]) -> str:
    """The archives of some sets, and where they are."""
    pages: dict[str, list[str]] = {}
    for part in parts:
        pages.setdefault(part.page, []).append(f"{part.name}.tar.gz")
    return " and ".join(f"{', '.join(names)} from {page}" for page, names in pages.items())


def _chapter_folders(folder: Path) -> list[Path]:
    """SPEAKER/CHAPTER in the order of their numbers; both are numbers."""
    chapters = [
        chapter
        for speaker in folder.iterdir()
        if speaker.name.isdecimal() and speaker.is_dir()
        for chapter in speaker.iterdir()
        if chapter.name.isdecimal() and chapter.is_dir()
    ]
    return sorted(chapters, key=lambda path: (int(path.parent.name), int(path.name)))


def _read_chapter(folder: Path) -> Found:
    """The utterances of one chapter."""
    stem = f"{folder.parent.name}-{folder.name}"
    where = "/".join(folder.parts[-3:])
    transcript = folder / f"{stem}.trans.txt"
    sounds = {
        name.removesuffix(".flac")
        for name in os.listdir(folder)  # noqa: PTH208 (for speed)
        if name.endswith(".flac") and not name.startswith(".")
    }
    if not transcript.is_file():
        return Found([], [f"{where}: there is no {transcript.name} for its {len(sounds)} files"])
    texts, faults = _read_transcript(transcript, where)
    if silent := sorted(set(texts) - sounds):
        faults.append(f"{where}: no audio for {_some(silent)}")
    if wordless := sorted(sounds - set(texts)):
        faults.append(f"{where}: no transcript for {_some(wordless)}")
    utterances = []
    for name in sorted(sounds & set(texts)):
        path = folder / f"{name}.flac"
        try:
            duration = _whole_duration(path)
        except AudioError as error:
            faults.append(str(error).removesuffix("."))
            continue
        utterances.append(
            Utterance(
                id=name,
                audio=path,
                text=texts[name],
                duration=duration,
                speaker=folder.parent.name,
                language="en",
                extra={"chapter": folder.name},
            )
        )
    return Found(utterances, faults)


def _read_transcript(path: Path, where: str) -> tuple[dict[str, str], list[str]]:
    """Texts by utterance, and what is wrong with the file."""
    texts: dict[str, str] = {}
    faults = []
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        return {}, [f"{where}/{path.name} cannot be read ({error})"]
    for number, line in enumerate(lines, start=1):
        name, _, text = line.strip().partition(" ")
        if not name:
            continue
        if not text.strip() or name in texts or not name.startswith(path.name.partition(".")[0]):
            faults.append(f"{where}/{path.name}:{number}: should be ID TEXT, each ID once")
            continue
        texts[name] = text.strip()
    return texts, faults


def _whole_duration(path: Path) -> float:
    """Seconds of a file whose end is there.

    Raises:
        AudioError: it cannot be read, or breaks off.
    """
    duration = audio_duration(path)
    read_audio(path, SAMPLE_RATE, max(0.0, duration - _TAIL), None)
    return duration


def _incomplete(root: Path, part: Part, here: set[str], found: int) -> Iterator[str]:
    """What a set lacks as a whole, or has too much."""
    yield f"{part.name}: {found} usable utterances, but the published set has {part.utterances}"
    published = part.chapters or _chapters_listed(root / "CHAPTERS.TXT", part.name)
    if missing := sorted(published - here, key=_numbers):
        yield f"{part.name}: chapters are missing: {_some(missing, 3 * _NAMED)}"
    if part.chapters and (unknown := sorted(here - published, key=_numbers)):
        yield f"{part.name}: chapters of another set: {_some(unknown, 3 * _NAMED)}"


def _chapters_listed(path: Path, name: str) -> frozenset[str]:
    """The chapters of a set by the list of all, lines of CHAPTER | SPEAKER | MINUTES | SET | ..."""
    if not path.is_file():
        return frozenset()
    lines = path.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    rows = [[field.strip() for field in line.split("|")] for line in lines if line[:1] != ";"]
    return frozenset(f"{row[1]}/{row[0]}" for row in rows if len(row) > 3 and row[3] == name)


def _numbers(chapter: str) -> tuple[int, ...]:
    return tuple(int(number) for number in chapter.split("/") if number.isdecimal())


def _some(names: Sequence[str], most: int = _NAMED) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
