"""Why an audio file is not read, in words: the libraries' own messages seldom say."""

CONVERT = "convert it to wav or flac, for example with ffmpeg"
DAMAGED = "is damaged or cut short; copy or export it again"
NO_SAMPLES = "holds no samples; record or export it again"

_AUDIO_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"FORM", b"caff", b"riff", b"ID3")
_MOVIE_MAGIC = (b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"#!AMR")
_OTHER_MAGIC = (b"NIST_1A", b"PVF1", b"HTK")
_COMPRESSED_SUFFIXES = frozenset(
    {".m4a", ".m4b", ".aac", ".mp4", ".mov", ".3gp", ".amr", ".wma", ".webm", ".mkv", ".ac3"}
)


class RefusedError(Exception):
    """Why a file is not read, in words to be put after its name; readers turn it to AudioError."""


def holds_text(head: bytes) -> bool:
    """Whether a file that begins so is text, and so not given to decoders that guess.

    Args:
        head: its first bytes.
    """
    text = all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
    return text and not head.startswith((*_OTHER_MAGIC, *_AUDIO_MAGIC, *_MOVIE_MAGIC))


def why_not_opened(suffix: str, head: bytes) -> str:
    """Returns what is wrong with a file, to be put after its name.

    Args:
        suffix: of its name, in lower case.
        head: its first 512 bytes, or all if there are fewer.
    """
    if not head:
        return "is empty (0 bytes); copy or record it again"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the audio itself; fetch it with 'git lfs pull'"
    if holds_text(head):
        return "holds text, not audio; download or export the recording again"
    known = head.startswith((*_AUDIO_MAGIC, *_MOVIE_MAGIC)) or head[4:8] == b"ftyp"
    if known or suffix in _COMPRESSED_SUFFIXES:
        return f"has a header that cannot be read: it {DAMAGED}"
    if head.startswith(_OTHER_MAGIC):
        return f"is in a format that is not supported ({suffix or 'no ending'}); {CONVERT}"
    return f"holds no audio that can be read; {CONVERT}"
