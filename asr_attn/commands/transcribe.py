"""``asr-attn transcribe``: recordings in, texts out."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_attn.audio.folders import find_audio
from asr_attn.audio.reading import audio_duration
from asr_attn.audio.silence import SHORTEST
from asr_attn.commands.inputs import files_read
from asr_attn.commands.line_output import InOrder, line_output
from asr_attn.commands.searching import load_recognizer
from asr_attn.commands.terminal import (
    Progress,
    json_line,
    refuse_overwriting,
    say,
    text_name,
)
from asr_attn.data.manifest import Utterance, read_manifest
from asr_attn.data.text_files import is_manifest_name
from asr_attn.errors import AudioError, InputError

if TYPE_CHECKING:
    from asr_attn.recognizer import Recognizer
    from asr_attn.transcript import Transcript

CUT_OFF = (
    "the transcript was cut off at the longest permitted output and is likely wrong; try --beam, "
    "or a shorter recording"
)
DOUBTS = {
    "loop": "words may be written more often than they are said",
    "skip": "words may be missing",
    "early_stop": "the transcript may end too soon: words may be missing",
    "silence": "words may be written where nothing is said",
}
"""What is said of each kind of doubt."""
MUCH_LONGER = 1.5
"""Recordings this many times as long as the longest of the training are warned of."""


@dataclass
class _Recordings:
    """What is to be transcribed, in the order given; ``failures`` by index.

    ``utterances`` has an entry for every recording, those that cannot be read among them.
    """

    utterances: list[Utterance] = field(default_factory=list)
    failures: dict[int, AudioError] = field(default_factory=dict)

    def add_file(self, path: Path) -> None:
        """Add one audio file; its id is its path as given."""
        duration = 0.0
        try:
            duration = audio_duration(path)
        except AudioError as error:
            self.failures[len(self.utterances)] = error
        except OSError as error:  # the disk, not the file
            reason = error.strerror or type(error).__name__
            self.failures[len(self.utterances)] = AudioError(f"{path} cannot be read ({reason}).")
        self.utterances.append(Utterance(str(path), path, "", duration))


def transcribe(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: nothing can be done with what was given.
    """
    output: Path | None = args.output
    as_json = _wants_json(args.format, output)
    manifests = [p for p in args.inputs if is_manifest(p)]
    recordings = _gather(args.inputs)
    read = files_read(args, [args.checkpoint], recordings.utterances)
    refuse_overwriting({"--output": output}, [*manifests, *read])
    bare = len(args.inputs) == 1 and not manifests and not args.inputs[0].is_dir()
    _stop_if_none(recordings)
    if args.nbest > 1 and not as_json:
        raise InputError("--nbest needs --format jsonl")
    if args.tokens and not as_json:
        raise InputError("--tokens needs --format jsonl")
    recognizer = load_recognizer(args)
    warn_of_long(recognizer, recordings.utterances)
    total = len(recordings.utterances)
    with line_output(output, total) as lines, Progress("transcribing", total) as bar:

        def write(i: int, transcript: "Transcript") -> None:
            utterance = recordings.utterances[i]
            with bar.hidden():
                if as_json:
                    line = record(utterance, transcript)
                    if args.tokens:
                        line["tokens"] = _tokens(transcript)
                    lines.write(json_line(line))
                else:
                    name = "" if bare else f"{text_name(utterance.id)}\t"
                    lines.write(f"{name}{transcript.text}\n")
                warn(utterance.id, transcript)

        _recognize(recognizer, recordings, args, bar, InOrder(write, recordings.failures))
        _stop_if_none(recordings)
    return report_failures(
        [str(recordings.failures[i]) for i in sorted(recordings.failures)],
        len(recordings.utterances),
    )


def record(utterance: Utterance, transcript: "Transcript") -> dict[str, Any]:
    """A transcript as an object of JSON Lines, which is a line of a manifest as well."""
    place: dict[str, Any] = {"offset": utterance.offset} if utterance.offset else {}
    if utterance.speaker is not None:
        place["speaker"] = utterance.speaker
    found: dict[str, Any] = {
        "id": utterance.id,
        "audio": str(utterance.audio.absolute()),
        "text": transcript.text,
        "duration": round(transcript.duration, 6),
        **place,
        "score": transcript.score,
        "log_prob": transcript.log_prob,
        "truncated": transcript.truncated,
        "silent": transcript.silent,
        "confidence": transcript.confidence,
        "words": [
            {
                "word": word.text,
                "start": round(word.start, 3),
                "end": round(word.end, 3),
                "confidence": round(word.confidence, 4),
                "attention_start": round(word.heard[0], 3),
                "attention_end": round(word.heard[1], 3),
                "agreement": round(word.agreement, 4),
            }
            for word in transcript.words
        ],
        "doubts": [
            {
                "kind": doubt.kind,
                "start": round(doubt.start, 3),
                "end": round(doubt.end, 3),
                **({"removed": doubt.removed} if doubt.removed else {}),
            }
            for doubt in transcript.doubts
        ],
        "searched_again": transcript.searched_again,
    }
    if transcript.notes:
        found["notes"] = list(transcript.notes)
    if transcript.parts:
        found["parts"] = dict(transcript.parts)
    if transcript.alternatives:
        found["alternatives"] = [
            {
                "text": other.text,
                "score": other.score,
                "log_prob": other.log_prob,
                "truncated": other.truncated,
                "parts": dict(other.parts),
            }
            for other in transcript.alternatives
        ]
    return found


def _tokens(transcript: "Transcript") -> list[dict[str, Any]]:
    """The tokens of a transcript and their times, as an object of JSON."""
    return [
        {
            "token": token.text,
            "start": None if token.ctc is None else round(token.ctc[0], 3),
            "end": None if token.ctc is None else round(token.ctc[1], 3),
            "attention_start": round(token.attention[0], 3),
            "attention_end": round(token.attention[1], 3),
        }
        for token in transcript.tokens
    ]


def warn(name: str, transcript: "Transcript") -> None:
    """Say what the text of a transcript does not show."""
    for note in transcript.notes:
        say(f"{name} {note}")
    if transcript.silent:
        say(f"{name} is silent, or one steady sound; nothing to transcribe")
    elif transcript.duration < SHORTEST:
        say(f"{name} lasts {transcript.duration:.3f} s, too short to hold a word")
    elif transcript.truncated:
        say(f"{name}: {CUT_OFF}")
    for doubt in transcript.doubts:
        place = f"at {doubt.start:.1f} to {doubt.end:.1f} s"
        if doubt.removed:
            say(f"{name}: words were taken out where nothing is said, {place}: {doubt.removed}")
        else:
            say(f"{name}: {DOUBTS[doubt.kind]} {place}")


def warn_of_long(recognizer: "Recognizer", utterances: list[Utterance]) -> None:
    """Say once that recordings are much longer than any that the model was trained on."""
    trained = recognizer.model.info.get("longest_seconds")
    if not isinstance(trained, int | float):  # models of before it was noted
        return
    longest = max(utterances, key=lambda utterance: utterance.duration)
    if longest.duration > MUCH_LONGER * trained:
        say(
            f"{longest.id} lasts {longest.duration:.1f} s, but the model was trained on recordings "
            f"of at most {trained:.1f} s and may fail on longer ones; cut them into shorter ones"
        )


def report_failures(failures: list[str], total: int) -> int:
    """List what could not be read on standard error; returns the exit code."""
    if not failures:
        return 0
    lines = "".join(f"\n  {failure}" for failure in failures)
    say(f"{len(failures)} of {total} recordings could not be read:{lines}")
    return 1


def _wants_json(chosen: str | None, output: Path | None) -> bool:
    if chosen is not None:
        return chosen == "jsonl"
    return output is not None and is_manifest_name(output)


def is_manifest(path: Path) -> bool:
    """Whether a path names a manifest."""
    return is_manifest_name(path) and not path.is_dir()


def _gather(inputs: list[Path]) -> _Recordings:
    """The recordings that files, folders and manifests stand for."""
    recordings = _Recordings()
    for path in inputs:
        if path.is_dir():
            files = find_audio(path)
            if not files:
                raise InputError(f"{path} holds no audio files; name a folder with recordings")
            for file in files:
                recordings.add_file(file)
        elif is_manifest(path):
            recordings.utterances += read_manifest(path)
        else:
            recordings.add_file(path)
    return recordings


def _stop_if_none(recordings: _Recordings) -> None:
    """Stop, and keep no output, if all recordings failed."""
    failures = recordings.failures
    if len(failures) == len(recordings.utterances) == 1:
        raise failures[0]
    if len(failures) == len(recordings.utterances):
        lines = "".join(f"\n  {failures[i]}" for i in sorted(failures))
        raise InputError(f"none of the {len(failures)} recordings could be read:{lines}")


def _recognize(
    recognizer: "Recognizer",
    recordings: _Recordings,
    args: argparse.Namespace,
    bar: Progress,
    results: "InOrder[Transcript]",
) -> None:
    """Recognise everything; what is done when that breaks off is passed on all the same."""
    from asr_attn.evaluation.recognition import without_words

    utterances, failures = recordings.utterances, recordings.failures
    readable = [i for i in range(len(utterances)) if i not in failures]
    bar.advance(len(failures))
    try:
        for k, result in recognizer.transcribe_utterances(
            [utterances[i] for i in readable], nbest=args.nbest, batch_seconds=args.batch_seconds
        ):
            bar.advance()
            if isinstance(result, AudioError):
                failures[readable[k]] = result
                results.advance()
            else:
                results.add(readable[k], without_words(result, args.ignore or ()))
    except (KeyboardInterrupt, MemoryError, RuntimeError):
        results.rest()
        raise
