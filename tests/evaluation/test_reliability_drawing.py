import numpy as np
import pytest

from asr_attn.evaluation.drawing import save_figure
from asr_attn.evaluation.reliability_drawing import draw_reliability

CONFIDENCE = np.array([0.1, 0.2, 0.6, 0.7, 0.8, 0.96, 0.97, 0.98])
CORRECT = np.array([False, True, True, False, True, True, True, True])


def panel(figure, label):
    (axes,) = [axes for axes in figure.axes if axes.get_label() == label]
    return axes


def test_points_are_the_bins_and_their_area_the_number_of_words():
    figure = draw_reliability({"x": CONFIDENCE}, CORRECT, bins=2, equal_width=True)
    axes = panel(figure, "reliability")
    (points,) = [c for c in axes.collections if hasattr(c, "get_sizes")]
    places = np.asarray(points.get_offsets())
    np.testing.assert_allclose(places, [(0.15, 0.5), (CONFIDENCE[2:].mean(), 5 / 6)])
    small, large = points.get_sizes()
    assert small / large == pytest.approx(2 / 6)
    # (1.0 - 0.3) + (5.01 - 5), of 8 words
    assert points.get_label() == "x: off by 8.9 %"


def test_the_histogram_holds_every_word_on_the_same_axis():
    figure = draw_reliability({"x": CONFIDENCE, "y": np.ones(8)}, CORRECT)
    curve, below = panel(figure, "reliability"), panel(figure, "histogram")
    heights = [patch.get_data().values for patch in below.patches]
    assert [h.sum() for h in heights] == [8, 8, 8, 8]  # filled, and its outline
    assert heights[0][-1] == 3
    assert heights[2].tolist() == [0] * 19 + [8]
    assert curve.get_xlim() == below.get_xlim()
    figure.draw_without_rendering()
    one, other = curve.get_position(), below.get_position()
    assert (one.x0, one.x1) == pytest.approx((other.x0, other.x1))


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_it_is_written_and_any_name_is_text(tmp_path, kind, start):
    figure = draw_reliability({"a_$b^$": CONFIDENCE}, CORRECT, title="1 $ or 2 $")
    save_figure(figure, tmp_path / f"r.{kind}")
    written = (tmp_path / f"r.{kind}").read_bytes()
    assert written.startswith(start)
    if kind == "svg":
        assert b"1 $ or 2 $" in written
        assert b"a_$b^$: off by" in written


def test_no_words_are_an_empty_picture_and_many_curves_none(tmp_path):
    save_figure(draw_reliability({"x": CONFIDENCE[:0]}, CORRECT[:0]), tmp_path / "r.png")
    assert (tmp_path / "r.png").stat().st_size
    for count in (0, 3):
        with pytest.raises(ValueError, match="one or two curves"):
            draw_reliability({str(i): CONFIDENCE for i in range(count)}, CORRECT)
