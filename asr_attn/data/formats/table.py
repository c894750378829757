"""The formats by their names."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from asr_attn.data.formats import (
    audio_folder,
    common_voice,
    hugging_face,
    kaldi,
    kaldi_writer,
    lhotse,
    lhotse_writer,
    nemo,
    tables,
    webdataset,
    webdataset_writer,
)
from asr_attn.data.formats.options import Options
from asr_attn.data.manifest import Utterance
from asr_attn.data.progress import Bars


@dataclass(frozen=True)
class Format:
    """How a format is read and written.

    Attributes:
        read: Reads a list, utterance by utterance; faults are told after the last one.
        write: Writes one, which may be gone through several times; it appears whole or not at all.
        has_columns: Whether columns can be chosen when it is read.
        keeps_extra: Whether keys without a meaning have a place in it.
        takes_members: Whether audio may be in shards when it is written.
    """

    read: Callable[[Path, Options], Iterator[Utterance]]
    write: Callable[[Path, Iterable[Utterance], Bars], None]
    has_columns: bool = False
    keeps_extra: bool = True
    takes_members: bool = False


FORMATS: Mapping[str, Format] = {
    "kaldi": Format(kaldi.read, kaldi_writer.write, keeps_extra=False),
    "lhotse": Format(lhotse.read, lhotse_writer.write),
    "nemo": Format(nemo.read, nemo.write),
    "commonvoice": Format(common_voice.read, common_voice.write),
    "csv": Format(tables.read, tables.write, has_columns=True, takes_members=True),
    "huggingface": Format(hugging_face.read, audio_folder.write, has_columns=True),
    "webdataset": Format(webdataset.read, webdataset_writer.write, takes_members=True),
}
"""The names are those of `catalogue.MEANINGS`."""
