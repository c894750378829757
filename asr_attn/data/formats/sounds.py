"""What must be asked of audio files: how long they are, and what to call them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from asr_attn.audio.reading import END_TOLERANCE, audio_duration
from asr_attn.data.faults import Faults
from asr_attn.data.manifest import Utterance
from asr_attn.data.progress import Bars
from asr_attn.errors import AudioError


def file_durations(paths: Iterable[Path], bars: Bars) -> dict[Path, float | AudioError]:
    """Returns the seconds that each file lasts, or why that cannot be said."""
    durations: dict[Path, float | AudioError] = {}
    distinct = list(dict.fromkeys(paths))
    with bars("reading durations", len(distinct)) as bar:
        for path in distinct:
            try:
                durations[path] = audio_duration(path)
            except AudioError as error:
                durations[path] = error
            bar.advance()
    return durations


def whole_files(
    utterances: Iterable[Utterance], path: Path, bars: Bars
) -> Iterator[tuple[Utterance, bool]]:
    """Yields utterances, and whether they are all of their files.

    Args:
        utterances: they may share files; gone through twice.
        path: where they are to be written.
        bars: show how far it is.

    Raises:
        ManifestError: an audio file cannot be read; after the last utterance.
    """
    durations = file_durations((utterance.audio for utterance in utterances), bars)
    faults = Faults(path)
    for utterance in utterances:
        total = durations[utterance.audio]
        if isinstance(total, AudioError):
            faults.add(f"utterance {utterance.id!r}", str(total).rstrip("."))
        else:
            same = abs(total - utterance.duration) <= END_TOLERANCE
            yield utterance, same and not utterance.offset
    faults.refuse()


def refuse_parts(utterances: Iterable[Utterance], path: Path, bars: Bars) -> None:
    """Makes sure that utterances are whole files, for formats that know nothing else.

    Raises:
        ManifestError: some are parts of files, or a file cannot be read.
    """
    faults = Faults(path)
    for utterance, whole in whole_files(utterances, path, bars):
        if not whole:
            faults.add(
                f"utterance {utterance.id!r}",
                f"is a part of {utterance.audio}, which this format cannot say; export to another "
                "(kaldi, lhotse, nemo, csv), or cut the file",
            )
    faults.refuse()


def file_names(paths: Iterable[Path]) -> dict[Path, str]:
    """Gives each file a name of its own: its stem, or with the folders where stems are shared."""
    distinct = list(dict.fromkeys(paths))
    names = {path: path.stem for path in distinct}
    if len(set(names.values())) < len(distinct):
        names = {path: place.replace("/", "-") for path, place in _below_all(distinct).items()}
    taken: set[str] = set()
    for path, name in names.items():
        number = 2
        while names[path] in taken:
            names[path] = f"{name}-{number}"
            number += 1
        taken.add(names[path])
    return names


def _below_all(paths: list[Path]) -> dict[Path, str]:
    """Paths without their endings, as seen from the folder that all files are in."""
    try:
        top = os.path.commonpath([path.parent for path in paths])
        return {path: path.relative_to(top).with_suffix("").as_posix() for path in paths}
    except ValueError:  # several drives
        absolute = {path: path.with_suffix("").as_posix() for path in paths}
        return {path: place.replace(":", "").lstrip("/") for path, place in absolute.items()}
