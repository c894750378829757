"""Audio files in a folder, found by the endings of their names."""

from pathlib import Path

from asr_attn.errors import AudioError
from asr_attn.files import files_below

_SOUND = """
.wav .wave .bwf .rf64 .w64 .aif .aiff .aifc .caf .au .snd .sph .nist .wv1 .wv2 .voc .avr .sd2 .paf
.pvf .sf .ircam .svx .8svx .iff .flac .ogg .oga .ogx .opus .spx .mp1 .mp2 .mp3 .mpa .mpga .m1a .m2a
.m4a .m4b .m4r .f4a .aac .adts .loas .latm .mka .weba .wma .amr .awb .ac3 .eac3 .ec3 .dts .mlp .thd
.ra .ape .wv .tta .tak .mpc .shn .dsf .dff .oma .aa3 .at3 .aa .aax .qcp .gsm .g722 .g723 .g726 .g729
.sbc .c2 .dss .ds2 .dvf .msv .vox .sln .pcm .raw
"""
_FILM = """
.mp4 .m4v .mov .qt .mkv .webm .3gp .3gpp .3g2 .3gp2 .avi .wmv .asf .flv .f4v .mpg .mpeg .m2ts .vob
.ogv .ogm .rm .rmvb .mxf
"""
AUDIO_SUFFIXES = frozenset((_SOUND + _FILM).split())
"""Endings of the files that `find_audio` takes for recordings, in lower case.

Those that cannot be read are among them: whoever names a folder wants to be told of them.
"""


def find_audio(folder: Path) -> list[Path]:
    """Returns the recordings in a folder and the folders below, by `AUDIO_SUFFIXES`, sorted.

    Links are followed, those to folders too; a folder that is reached in several ways counts once.
    A link that leads nowhere is among the recordings, so that reading it tells so. Names that begin
    with "._" are left out: macOS writes them beside files on foreign disks, with the same ending
    and no sound in them.

    Raises:
        AudioError: there is no such folder, or one of the folders cannot be looked into.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AudioError(f"{folder} is not a folder; give the folder that holds the recordings.")
    try:
        found = [
            path
            for path in files_below(folder)
            if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("._")
        ]
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise AudioError(
            f"{error.filename or folder} cannot be looked into ({reason}); check its permissions."
        ) from None
    return sorted(found, key=Path.as_posix)
