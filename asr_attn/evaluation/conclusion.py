"""What can be concluded from a comparison, in plain words."""

from asr_attn.evaluation.comparison import Comparison
from asr_attn.evaluation.intervals import FEWEST


def conclusion(
    result: Comparison,
    count: int,
    names: tuple[str, str] = ("A", "B"),
    unit: str = "utterances",
) -> str:
    """What can be concluded, in plain words.

    Args:
        result: of the comparison.
        count: utterances that were compared.
        names: of the systems.
        unit: what was resampled, in the plural.
    """
    a, b = names
    low, high = 100 * result.interval.low, 100 * result.interval.high
    if result.shown:
        better, worse = (b, a) if high < 0 else (a, b)
        least, most = sorted((abs(low), abs(high)))
        text = (
            f"{better} is better than {worse}, by {least:.2f} to {most:.2f} points of WER (95 %)."
        )
    else:
        text = (
            f"Neither is shown to be better: {b} may have {_points(low)} to {_points(high)} points "
            f"of WER than {a} (95 %).{_what_would_tell(result, count, unit)}"
        )
    return text + _caution(result.seeds, names)


def _what_would_tell(result: Comparison, count: int, unit: str) -> str:
    if not result.differing:
        return f" Both make the same number of errors in each of the {unit}."
    text = ""
    if result.differing < FEWEST:
        text = f" They differ in only {result.differing} of the {unit}, too few to tell."
    if result.needed is None:
        if max(result.seeds) > 1 and result.difference:
            text += (
                " More utterances alone would not do: seeds differ too much, so train more of them."
            )
    elif result.needed > count:
        others = "" if unit == "utterances" else f", of other {unit},"
        text += (
            f" If the difference is what it seems, about {_rounded(result.needed - count)} "
            f"utterances more{others} would tell (with a probability of 80 %)."
        )
    return text


def _rounded(count: int) -> int:
    """A count to two digits; more would be a pretence."""
    return int(float(f"{count:.1e}"))


def _caution(seeds: tuple[int, int], names: tuple[str, str]) -> str:
    if seeds == (1, 1):
        return (
            " This is of two trained models: training again, with other seeds, may turn it around;"
            " compare several seeds of each to tell."
        )
    if 1 in seeds:
        single = names[seeds.index(1)]
        return f" There is one seed of {single}: how much its seeds differ is not in the interval."
    return ""


def _points(value: float) -> str:
    return f"{abs(value):.2f} {'fewer' if value < 0 else 'more'}"
