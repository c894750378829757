"""Prepares LibriSpeech: up to 960 hours of read English, at 16 kHz.

Writes a manifest for each set to the output folder, as train-clean-100.jsonl. Sets that are not
asked for keep the manifest they have.

The corpus is not downloaded: unpack the sets' archives from https://www.openslr.org/12, which make
a folder LibriSpeech, and name it.

Examples:
  python recipes/librispeech/prepare.py --source ~/corpora/LibriSpeech       100 hours
  python recipes/librispeech/prepare.py --source ~/corpora --sets all        960 hours
  python recipes/librispeech/prepare.py --source ~/corpora --sets test-clean test-other
"""

import sys
from pathlib import Path

from asr_attn.commands.terminal import Progress
from asr_attn.data.librispeech import PARTS
from asr_attn.data.librispeech_main import make_parser, run

MEASURED = ("dev-clean", "dev-other", "test-clean", "test-other")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = make_parser(__doc__ or "", Path("data/librispeech"))
    default = ("train-clean-100", *MEASURED)
    parser.add_argument(
        "--sets",
        metavar="SET",
        nargs="+",
        choices=(*PARTS, "all"),
        default=default,
        help=f"of {', '.join(PARTS)}, or all (default: {', '.join(default)})",
    )
    options = parser.parse_args(arguments)
    names = PARTS if "all" in options.sets else dict.fromkeys(options.sets)
    return run(options, [PARTS[name] for name in names], dict, Progress)


if __name__ == "__main__":
    sys.exit(main())
