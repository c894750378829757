"""A picture of attention as a web page to listen to: one file that needs no network."""

import base64
import html
import io
import json
import re
from collections.abc import Sequence
from string import Template
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from numpy.typing import NDArray

from asr_attn.decoding.words import attention_spans
from asr_attn.evaluation.attention import UtteranceAttention
from asr_attn.evaluation.drawing import INK, Sound, drawing_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 72
"""Units of an SVG picture per inch of the figure."""

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
:root {
  color-scheme: light dark;
  --ground: #ffffff; --ink: #22272e; --soft: #57606a; --line: #d0d7de; --mark: #1f6feb;
}
@media (prefers-color-scheme: dark) {
  :root { --ground: #14181d; --ink: #dde3ea; --soft: #9aa5b1; --line: #343c46; --mark: #6cb0ff; }
}
body {
  margin: 0 auto; padding: 1.5rem; max-width: 75rem;
  background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
}
h1 { font-size: 1.15rem; margin: 0 0 0.25rem; overflow-wrap: anywhere; }
p { margin: 0.25rem 0; }
.soft { color: var(--soft); }
audio { width: 100%; margin: 0.75rem 0 0.25rem; }
svg { display: block; width: 100%; height: auto; color: var(--ink); }
svg .row { fill: transparent; cursor: pointer; }
svg .row.on { fill: var(--mark); fill-opacity: 0.14; }
svg .seek { fill: transparent; cursor: crosshair; }
svg .span { fill: var(--mark); fill-opacity: 0; pointer-events: none; }
svg .span.on { fill-opacity: 0.18; }
svg .playhead { stroke: #e8590c; stroke-width: 1; pointer-events: none; }
#tokens { display: flex; flex-wrap: wrap; gap: 0.2rem; margin: 0.5rem 0; }
button {
  font: inherit; color: inherit; background: none; cursor: pointer;
  border: 1px solid var(--line); border-radius: 0.3rem; padding: 0 0.4rem; min-width: 1.6rem;
}
button.on, button:focus-visible { border-color: var(--mark); color: var(--mark); }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.15rem 1.25rem 0.15rem 0; border-top: 1px solid var(--line); }
th { font-weight: 600; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$text</p>
<p>$diagnosis</p>
<audio controls preload="auto" src="data:audio/wav;base64,$audio"></audio>
<p class="soft" id="status" aria-live="polite">Point at a token to see when it was heard, click it
to hear that; click the waveform to listen from there.</p>
<div id="tokens">$buttons</div>
$picture
<table>$figures</table>
<script>
"use strict";
{
const spans = $spans, seconds = $seconds, left = $left, width = $width, margin = 0.06;
const audio = document.querySelector("audio"), head = document.querySelector(".playhead");
const band = document.querySelector(".span"), status = document.querySelector("#status");
const parts = [...document.querySelectorAll("[data-token]")];
let end = null;
const place = t => left + Math.min(t / seconds, 1) * width;
function show(token) {
  for (const part of parts) part.classList.toggle("on", Number(part.dataset.token) === token);
  band.classList.toggle("on", token !== null);
  if (token === null) return;
  const span = spans[token];
  band.setAttribute("x", place(span.start));
  band.setAttribute("width", Math.max(place(span.end) - place(span.start), 0));
  status.textContent =
    span.token + ": " + span.start.toFixed(2) + " s to " + span.end.toFixed(2) + " s";
}
function play(from, to) {
  audio.currentTime = Math.max(from, 0);
  end = to;
  audio.play();
}
function follow() {
  if (end !== null && audio.currentTime >= end) { audio.pause(); end = null; }
  head.setAttribute("x1", place(audio.currentTime));
  head.setAttribute("x2", place(audio.currentTime));
  if (!audio.paused) requestAnimationFrame(follow);
}
for (const name of ["play", "seeked", "timeupdate"]) audio.addEventListener(name, follow);
for (const part of parts) {
  const token = Number(part.dataset.token), span = spans[token];
  for (const name of ["pointerenter", "focus"]) part.addEventListener(name, () => show(token));
  for (const name of ["pointerleave", "blur"]) part.addEventListener(name, () => show(null));
  part.addEventListener("click", () => play(span.start - margin, span.end + margin));
}
for (const area of document.querySelectorAll(".seek")) area.addEventListener("click", event => {
  const box = area.getBoundingClientRect();
  play((event.clientX - box.left) / box.width * seconds, null);
});
}
</script>
</body>
</html>
""")


def alignment_page(
    figure: "Figure",
    attention: UtteranceAttention,
    sound: Sound,
    title: str,
    text: str,
    diagnosis: str,
    figures: Sequence[Sequence[str]],
) -> str:
    """A page with a picture of attention, the sound to play along, and the figures.

    Args:
        figure: from ``draw_alignment`` with the sound.
        attention: what is drawn.
        sound: of the utterance.
        title: of the page.
        text: what was read.
        diagnosis: one sentence.
        figures: rows of a table, the first one being its head.
    """
    picture, left, width, seconds = _picture(figure, len(attention.labels))
    spans = [
        {"token": label, "start": round(start, 4), "end": round(min(end, sound.seconds), 4)}
        for label, (start, end) in zip(
            attention.labels, attention_spans(attention.weights, attention.seconds_per_step)
        )
    ]
    buttons = "".join(
        f'<button type="button" data-token="{u}">{html.escape(label)}</button>'
        for u, label in enumerate(attention.labels)
    )
    rows = "".join(
        "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"
        for row, tag in zip(figures, ["th"] + ["td"] * len(figures))
    )
    return _PAGE.substitute(
        title=html.escape(title),
        text=html.escape(text),
        diagnosis=html.escape(diagnosis),
        audio=base64.b64encode(wav_of(sound.samples, sound.sample_rate)).decode(),
        buttons=buttons,
        picture=picture,
        figures=rows,
        # within a script nothing may look like its end
        spans=json.dumps(spans).replace("<", "\\u003c"),
        seconds=f"{seconds:.6f}",
        left=f"{left:.3f}",
        width=f"{width:.3f}",
    )


def wav_of(samples: NDArray[np.float32], sample_rate: int) -> bytes:
    """A WAV file of 16 bits with mono samples (samples,); what is beyond full scale is cut off."""
    buffer = io.BytesIO()
    clipped = np.clip(samples, -1.0, 1.0)
    soundfile.write(buffer, clipped, sample_rate, subtype="PCM_16", format="WAV")
    return buffer.getvalue()


def _picture(figure: "Figure", tokens: int) -> tuple[str, float, float, float]:
    """The figure as inline SVG with places to point at.

    Returns:
        the SVG, where its time axis starts and how long it is, both in its units, and seconds.
    """
    buffer = io.StringIO()
    with drawing_settings():
        figure.draw_without_rendering()  # places the panels
        figure.set_layout_engine("none")
        figure.savefig(buffer, format="svg", dpi=144, facecolor="none", metadata={"Date": None})
    across, down = (POINTS * float(inches) for inches in figure.get_size_inches())
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg)
    svg = re.sub(
        r"<svg [^>]*>", f'<svg viewBox="0 0 {across:.3f} {down:.3f}" role="img">', svg, count=1
    )
    svg = svg.replace(INK, "currentColor")
    places = []
    left = width = 0.0
    top, bottom = down, 0.0
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    for axes in panels:
        box = axes.get_position()
        left, width = across * float(box.x0), across * float(box.width)
        y, height = down * (1.0 - float(box.y1)), down * float(box.height)
        top, bottom = min(top, y), max(bottom, y + height)
        if not str(axes.get_label()).startswith("attention"):
            places.append(_rectangle("seek", left, y, width, height))
            continue
        for u in range(tokens):
            row = _rectangle("row", left, y + height * u / tokens, width, height / tokens)
            places.append(row.replace("<rect", f'<rect data-token="{u}"'))
    places.append(_rectangle("span", left, top, 0.0, bottom - top))
    places.append(
        f'<line class="playhead" x1="{left:.3f}" x2="{left:.3f}" y1="{top:.3f}" y2="{bottom:.3f}"/>'
    )
    overlay = "".join(places)
    end = svg.rindex("</svg>")
    return svg[:end] + overlay + "</svg>", left, width, float(panels[0].get_xlim()[1])


def _rectangle(kind: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="{kind}" x="{x:.3f}" y="{y:.3f}" width="{width:.3f}" height="{height:.3f}"/>'
    )
