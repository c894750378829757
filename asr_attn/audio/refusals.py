"""Why libsndfile does not open a file, in words: its own messages seldom say."""

_UNSUPPORTED_SUFFIXES = frozenset(
    {".m4a", ".m4b", ".aac", ".mp4", ".mov", ".3gp", ".amr", ".wma", ".webm", ".mkv", ".ac3"}
)
_AUDIO_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"fLaC", b"OggS", b"FORM", b"caff", b"riff", b"ID3")
CONVERT = "convert it to wav or flac, for example with ffmpeg"
DAMAGED = "is damaged or cut short; copy or export it again"


def why_not_opened(suffix: str, head: bytes) -> str:
    """Returns what is wrong with a file, to be put after its name.

    Args:
        suffix: of its name, in lower case.
        head: its first 512 bytes, or all if there are fewer.
    """
    if not head:
        return "is empty (0 bytes); copy or record it again"
    if suffix in _UNSUPPORTED_SUFFIXES or head[4:8] == b"ftyp" or head[:4] == b"\x1a\x45\xdf\xa3":
        return f"is in a format that is not supported ({suffix or 'no ending'}); {CONVERT}"
    if head.startswith(_AUDIO_MAGIC):
        return f"has a header that cannot be read: it {DAMAGED}"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the audio itself; fetch it with 'git lfs pull'"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return "holds text, not audio; download or export the recording again"
    return f"holds no audio that can be read; {CONVERT}"
