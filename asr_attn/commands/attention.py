"""``asr-attn attention``: where a model looks in a recording, in figures and as a picture."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_attn.audio.shards import file_on_disk
from asr_attn.commands.inputs import files_read
from asr_attn.commands.searching import SETTINGS, load_recognizer
from asr_attn.commands.terminal import opened, refuse_overwriting, say
from asr_attn.errors import InputError

if TYPE_CHECKING:
    from asr_attn.evaluation.attention import UtteranceAttention
    from asr_attn.evaluation.attention_health import AttentionHealth
    from asr_attn.evaluation.drawing import Sound
    from asr_attn.recognizer import Recognizer

ENDINGS = (".png", ".svg", ".html")
"""What ``--output`` may end in."""


@dataclass(frozen=True)
class _Result:
    """What is told of a recording."""

    name: str
    text: str
    given: bool
    attention: "UtteranceAttention"
    sound: "Sound"
    health: "AttentionHealth"
    diagnosis: str


def attention(args: argparse.Namespace) -> int:
    """Run the command; returns the exit code.

    Raises:
        InputError: the arguments or the files cannot be used.
    """
    output: Path | None = args.output
    audio = Path(file_on_disk(str(args.audio)))
    refuse_overwriting({"--output": output}, [audio, *files_read(args, [args.checkpoint])])
    if output is not None and output.suffix.lower() not in ENDINGS:
        raise InputError(
            f"--output {output}: the ending says what is drawn, and {output.suffix or 'none'} is "
            f"not one of {', '.join(ENDINGS)}"
        )
    if args.text is not None:
        for name in ("beam", "hotword", "hotwords", "search", *SETTINGS):
            if getattr(args, name) is not None:
                raise InputError(
                    f"--{name.replace('_', '-')} goes with recognition, not with --text; leave one "
                    "of them out"
                )
    result = _measure(load_recognizer(args), args)
    if output is not None:
        _draw(result, output)
    with opened(None) as stream:
        if args.format == "json":
            figures = {"model": str(args.checkpoint), **_to_dict(result)}
            stream.write(json.dumps(figures, indent=2, allow_nan=False) + "\n")
        else:
            stream.write(_to_text(result))
    return 0


def _measure(recognizer: "Recognizer", args: argparse.Namespace) -> _Result:
    """Recognise the recording, or take the given text, and look where attention goes."""
    from asr_attn.audio.reading import read_audio
    from asr_attn.commands.transcribe import warn
    from asr_attn.data.batches import pad_waveforms
    from asr_attn.evaluation.attention import teacher_forced_attention
    from asr_attn.evaluation.attention_diagnosis import describe
    from asr_attn.evaluation.attention_health import attention_health
    from asr_attn.evaluation.drawing import Sound

    model = recognizer.model
    samples = read_audio(
        args.audio, recognizer.sample_rate, tell=lambda note: say(f"{args.audio} {note}")
    )
    if args.text is not None:
        text = _given_text(recognizer, args.text)
    else:
        transcript = recognizer.transcribe_samples([samples])[0]
        warn(str(args.audio), transcript)
        text = transcript.text
    drawn = teacher_forced_attention(model, [samples], [model.tokenizer.encode(text)])[0]
    device = model.network.ctc.weight.device
    padded, lengths = pad_waveforms([samples])
    features, _ = model.network.features.log_mel(padded.to(device), lengths.to(device))
    hop = model.features.hop_length / recognizer.sample_rate
    sound = Sound(samples, recognizer.sample_rate, features[0].cpu().numpy(), hop)
    health = attention_health(drawn.weights, drawn.seconds_per_step, drawn.speech)
    given = args.text is not None
    return _Result(str(args.audio), text, given, drawn, sound, health, describe(health))


def _given_text(recognizer: "Recognizer", text: str) -> str:
    """The text as the model writes it.

    Raises:
        InputError: nothing is left of it.
    """
    from asr_attn.text.normalizer import normalize

    normalized = normalize(text, recognizer.model.normalizer)
    if not normalized:
        raise InputError(f"--text {text!r} holds no words after normalisation; give what is said")
    tokenizer = recognizer.model.tokenizer
    unknown = tokenizer.unknown([normalized])
    if unknown:
        say(
            f"--text holds {tokenizer.unit} that the model does not know: "
            f"{', '.join(repr(sign) for sign in unknown)}"
        )
    return normalized


def _draw(result: _Result, output: Path) -> None:
    from asr_attn.evaluation.alignment_page import alignment_page
    from asr_attn.evaluation.drawing import draw_alignment, save_figure

    # file names need not be Unicode, but what is drawn must be
    name = Path(result.name).name.encode(errors="replace").decode()
    if output.suffix.lower() != ".html":
        title = f"{name}: {result.text}"
        save_figure(draw_alignment(result.attention, result.sound, title), output)
        return
    page = alignment_page(
        draw_alignment(result.attention, result.sound),
        result.attention,
        result.sound,
        title=name,
        text=f"{'given' if result.given else 'recognised'}: {result.text}",
        diagnosis=result.diagnosis,
        figures=_table(result),
    )
    with opened(output) as stream:
        stream.write(page)


def _to_dict(result: _Result) -> dict[str, Any]:
    """The result as JSON values."""
    from asr_attn.decoding.words import attention_spans

    drawn = result.attention
    spans = attention_spans(drawn.weights, drawn.seconds_per_step)
    return {
        "audio": result.name,
        "text": result.text,
        "recognised": not result.given,
        "duration": round(result.sound.seconds, 6),
        "aligned": result.health.aligned,
        "diagnosis": result.diagnosis,
        "health": result.health.to_dict(),
        "tokens": [
            {"token": label, "start": round(start, 6), "end": round(end, 6)}
            for label, (start, end) in zip(drawn.labels, spans)
        ],
    }


def _to_text(result: _Result) -> str:
    """The result for people."""
    rows = _table(result)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = ["  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows]
    return "\n".join([result.text, *table, result.diagnosis]) + "\n"


def _table(result: _Result) -> list[tuple[str, ...]]:
    """Figures of all heads together and of each, with what they mean."""
    health = result.health
    all_of = (health, *health.heads)
    several = len(health.heads) > 0
    heads = ("all heads", *(f"head {i + 1}" for i in range(len(health.heads))))
    rows = [("", *(heads if several else ("attention",)), "")]
    for name, form, meaning in (
        ("entropy", "{:.2f}", "0: one step at a time, 1: spread over everything"),
        ("diagonality", "{:.2f}", "1: evenly along the utterance, 0: not at all"),
        ("monotonicity", "{:.2f}", "share of the moves that do not go back"),
        ("coverage", "{:.2f}", "share of the speech that is attended to"),
        ("jump_back", "{:.2f} s", "longest move back"),
        ("jump_ahead", "{:.2f} s", "longest move ahead"),
        ("edges", "{:.2f}", "share of the weight on the first and last steps"),
        ("unattended", "{:.2f}", "share of the tokens that attend to nothing"),
    ):
        values = [form.format(getattr(figures, name)) for figures in all_of]
        rows.append((name.replace("_", " "), *values, meaning))
    return rows
