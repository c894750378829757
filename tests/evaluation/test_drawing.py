import base64
import io
import json
import re
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from asr_attn.decoding.alignment import TokenSpan
from asr_attn.errors import InputError
from asr_attn.evaluation.alignment_page import alignment_page, wav_of
from asr_attn.evaluation.attention import UtteranceAttention
from asr_attn.evaluation.drawing import CTC, Sound, draw_alignment, drawing_settings, save_figure

LABELS = ["a", "<b>", "$c", "␣", "语", "end"]
STEPS, STEP = 20, 0.05


def attention(heads: int = 1, tokens: int = 6) -> UtteranceAttention:
    weights = np.random.default_rng(0).dirichlet(np.ones(STEPS), size=(tokens, heads))
    labels = LABELS if tokens == 6 else ["x"] * tokens
    spans = tuple(TokenSpan(3 + u, 3 * u, 3 * u + 2) for u in range(min(tokens, 6) - 1))
    return UtteranceAttention(
        weights.astype(np.float32), labels, STEP, np.ones(STEPS, dtype=bool), spans
    )


def sound() -> Sound:
    random = np.random.default_rng(1)
    samples = (0.2 * random.standard_normal(7840)).astype(np.float32)  # 0.98 s
    return Sound(samples, 8000, random.standard_normal((99, 16)).astype(np.float32), 0.01)


def panels(figure) -> list:
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


@pytest.mark.parametrize("heads", [1, 3])
def test_all_panels_share_time_and_width(heads):
    figure = draw_alignment(attention(heads), sound(), title="a_b: 1 $ or 2 $")
    with drawing_settings():
        figure.draw_without_rendering()
    drawn = panels(figure)
    assert len(drawn) == 2 + heads
    assert {axes.get_xlim() for axes in drawn} == {(0.0, STEPS * STEP)}
    edges = {(round(a.get_position().x0, 6), round(a.get_position().x1, 6)) for a in drawn}
    assert len(edges) == 1
    assert len(panels(draw_alignment(attention(heads)))) == heads


def test_weights_labels_and_marks_are_where_they_belong():
    drawn = attention(2)
    for head, axes in enumerate(panels(draw_alignment(drawn))):
        (image,) = axes.get_images()
        np.testing.assert_array_equal(image.get_array(), drawn.weights[:, head])
        # row u is centred on u, and step s reaches from s * STEP to (s + 1) * STEP
        assert tuple(image.get_extent()) == (0.0, STEPS * STEP, 5.5, -0.5)
        assert [label.get_text() for label in axes.get_yticklabels()] == LABELS
        (marks,) = axes.collections
        assert [segment[0][0] for segment in marks.get_segments()] == pytest.approx(
            [STEP * (3 * u + 1) for u in range(5)]
        )
        assert [segment.mean(axis=0)[1] for segment in marks.get_segments()] == list(range(5))


def test_without_ctc_there_are_no_marks():
    drawn = attention()
    bare = UtteranceAttention(drawn.weights, drawn.labels, STEP, drawn.speech)
    axes = panels(draw_alignment(bare))[0]
    assert not axes.collections
    assert axes.get_title(loc="right") == ""


def test_rows_that_are_too_many_to_name_are_thinned_out():
    figure = draw_alignment(attention(tokens=600))
    (axes,) = panels(figure)
    named = axes.get_yticks()
    assert 50 < len(named) < 300
    assert len(set(np.diff(named))) == 1
    assert figure.get_size_inches()[1] < 16


def same_but_for_names(data: bytes) -> bytes:
    """Without the names of paths, which matplotlib makes of addresses in memory."""
    return re.sub(rb"\b[a-z][0-9a-f]{10}\b", b"x", data)


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_files_are_whole_and_repeat(tmp_path, ending, start):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # letters that the font lacks are no warning
        for name in ("a", "b"):
            save_figure(draw_alignment(attention(), sound()), tmp_path / f"{name}.{ending}")
    data = (tmp_path / f"a.{ending}").read_bytes()
    assert data.startswith(start)
    other = (tmp_path / f"b.{ending}").read_bytes()
    assert same_but_for_names(data) == same_but_for_names(other)
    assert {p.name for p in tmp_path.iterdir()} == {f"a.{ending}", f"b.{ending}"}
    with pytest.raises(InputError, match="part of the path is a file"):
        save_figure(draw_alignment(attention()), tmp_path / f"a.{ending}" / f"c.{ending}")


class Page(HTMLParser):
    """Elements with their attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.script = ""
        self._tag = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._tag = tag

    def handle_data(self, data):
        if self._tag == "script":
            self.script += data

    def of(self, tag: str, kind: str | None = None) -> list[dict[str, str | None]]:
        return [a for t, a in self.elements if t == tag and kind in (None, a.get("class"))]


def page_of(heads: int = 1, text: str = "a </script><b> $c") -> str:
    drawn, heard = attention(heads), sound()
    figure = draw_alignment(drawn, heard)
    return alignment_page(figure, drawn, heard, "x & y", text, "well", [("", "n"), ("e", "1")])


def test_the_page_needs_nothing_from_outside():
    page = page_of()
    assert not re.search(r"https?:|//www|@import|<link", page)
    for tag, attributes in Page(page).elements:
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value)
    assert "prefers-color-scheme: dark" in page
    assert "#22272e" not in page[page.index("<svg") :]  # ink follows the scheme


def test_the_page_plays_what_was_heard():
    (audio,) = Page(page_of()).of("audio")
    data = base64.b64decode(audio["src"].removeprefix("data:audio/wav;base64,"))
    samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    assert rate == 8000
    np.testing.assert_allclose(samples, sound().samples, atol=1 / 32768)
    loud, _ = soundfile.read(io.BytesIO(wav_of(np.array([3.0, -3.0], np.float32), 8000)))
    np.testing.assert_allclose(loud, [1.0, -1.0], atol=1e-4)


def test_text_cannot_break_the_page():
    page = Page(page_of())
    assert len(page.of("script")) == 1
    assert not page.of("b")
    spans = json.loads(re.search(r"spans = (\[.*?\]), seconds", page.script)[1])
    assert [span["token"] for span in spans] == LABELS
    assert all(0 <= span["start"] < span["end"] <= 0.98 for span in spans)


@pytest.mark.parametrize("heads", [1, 2])
def test_places_to_point_at_lie_over_the_panels(heads):
    text = page_of(heads)
    page = Page(text)
    assert [b["data-token"] for b in page.of("button")] == [str(u) for u in range(6)]
    rows = page.of("rect", "row")
    assert [row["data-token"] for row in rows] == [str(u) for u in range(6)] * heads
    # the frames of the panels as matplotlib drew them: "M x y L x y L x y L x y z"
    frames = []
    for i in range(1, 3 + heads):
        path = re.search(rf'<g id="axes_{i}">\s*<g id="patch_\d+">\s*<path d="([^"]*)"', text)[1]
        points = np.array(re.findall(r"[-\d.]+", path), dtype=float).reshape(-1, 2)
        frames.append((*points.min(axis=0), *points.max(axis=0)))
    for head in range(heads):
        mine = rows[6 * head : 6 * head + 6]
        x, y, width, height = (
            np.array([float(row[name]) for row in mine]) for name in ("x", "y", "width", "height")
        )
        left, top, right, bottom = frames[2 + head]
        np.testing.assert_allclose(x, left, atol=0.01)
        np.testing.assert_allclose(x + width, right, atol=0.01)
        np.testing.assert_allclose([y[0], y[-1] + height[-1]], [top, bottom], atol=0.01)
        np.testing.assert_allclose(y[1:], (y + height)[:-1], atol=0.01)
    assert len(page.of("rect", "seek")) == 2
    assert float(re.search(r"left = ([\d.]+)", page.script)[1]) == pytest.approx(
        frames[0][0], abs=0.01
    )
    assert float(re.search(r"seconds = ([\d.]+)", page.script)[1]) == STEPS * STEP


def test_marks_keep_their_colour_in_the_page():
    assert CTC in page_of()
