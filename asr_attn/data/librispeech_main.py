"""The command line that the programs for corpora in LibriSpeech's layout share."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from asr_attn.data.corpus import DATA_VARIABLE
from asr_attn.data.librispeech import (
    ROOT,
    Part,
    count_chapters,
    fault_list,
    find_root,
    read_parts,
)
from asr_attn.data.manifest import Utterance, write_manifest
from asr_attn.errors import InputError

Manifests = Mapping[str, list[Utterance]]
"""Utterances by the name of their manifest."""


class Bar(Protocol):
    """What shows how far the reading is."""

    def advance(self) -> None:
        """One chapter more is read."""


def make_parser(description: str, output: Path) -> argparse.ArgumentParser:
    """The arguments that all these programs have.

    Args:
        description: the help text, with examples.
        output: where the shipped settings expect the manifests.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source",
        type=Path,
        help=f"the unpacked folder {ROOT}, or the one above it (default: ${DATA_VARIABLE})",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=output,
        help="folder for the manifests (default: %(default)s, where the settings look for them)",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="go on with what is there when files are missing or damaged; they are listed",
    )
    return parser


def run(
    options: argparse.Namespace,
    parts: Sequence[Part],
    split: Callable[[Manifests], Manifests],
    progress: Callable[[str, int], AbstractContextManager[Bar]],
) -> int:
    """Read the sets and write the manifests; nothing is written when anything is amiss.

    Args:
        options: of ``make_parser``.
        parts: the sets to read.
        split: makes the manifests' utterances out of the sets'.
        progress: a bar, made of what is being done and of how many chapters there are.

    Returns:
        The exit code: 0, or 2 after a fault that the user can mend, told on stderr, or 130 after
        Ctrl-C.
    """
    output: Path = options.output.expanduser()
    try:
        root = find_root(options.source, parts)
        with progress("reading chapters", count_chapters(root, parts)) as bar:
            found, faults = read_parts(root, parts, bar.advance, options.partial)
        manifests = split(found)
        if empty := [name for name, utterances in manifests.items() if not utterances]:
            raise InputError(
                f"{root} holds no usable utterances for {', '.join(empty)}; unpack it anew."
            )
        for name, utterances in manifests.items():
            write_manifest(output / f"{name}.jsonl", utterances)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: the corpus cannot be prepared: {error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if faults:
        print(f"note: {root} is partial, left out is:\n{fault_list(faults)}", file=sys.stderr)
    print(summary(output, manifests))
    return 0


def summary(output: Path, manifests: Manifests) -> str:
    """What was written, for the user."""
    lines = [f"{output}:"]
    for name, utterances in manifests.items():
        hours = sum(utterance.duration for utterance in utterances) / 3600
        speakers = len({utterance.speaker for utterance in utterances})
        lines.append(
            f"  {name}: {len(utterances):,} utterances, {speakers} speakers, {hours:.2f} h"
        )
    return "\n".join(lines)
