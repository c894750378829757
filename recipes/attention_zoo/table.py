"""Makes the tables of README.md and the plot from the files in results/.

Example:
  python recipes/attention_zoo/table.py
"""

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

from asr_attn.nn.attention import ATTENTIONS

HERE = Path(__file__).resolve().parent
START, END = "<!-- results: made by table.py -->", "<!-- end of results -->"
HEADER = (
    "| name | WER | seeds | spread | epochs to align | training | decoding | parameters |\n"
    "|---|---|---|---|---|---|---|---|"
)


def epochs_to_align(aligned: Sequence[bool]) -> int | None:
    """First epoch (from 1) in which attention was aligned; None if it never was."""
    return next((i + 1 for i, done in enumerate(aligned) if done), None)


def row(name: str, runs: list[dict[str, Any]]) -> str:
    """One line of a table: means over seeds."""
    rates = [100 * run["wer"] for run in runs]
    spread = f"± {statistics.stdev(rates):.2f}" if len(rates) > 1 else "one seed"
    aligned = [epochs_to_align(run["aligned"]) for run in runs]
    shown = "/".join("never" if epoch is None else str(epoch) for epoch in aligned)
    # of the seed that other work on the machine disturbed least
    speed = max(run["training_speed"] for run in runs)
    factor = min(run["real_time_factor"] for run in runs)
    return (
        f"| `{name}` | {statistics.mean(rates):.2f} % | {len(runs)} | {spread} | {shown} | "
        f"{speed:.0f} x real time | RTF {factor:.4f} | {runs[0]['parameters'] / 1e6:.2f} M |"
    )


def tables(results: list[dict[str, Any]]) -> str:
    """Attentions, then encoders with decoders, best first."""
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        by_name[result["name"]].append(result)

    def table(names: list[str]) -> str:
        ranked = sorted(names, key=lambda n: statistics.mean(run["wer"] for run in by_name[n]))
        return "\n".join([HEADER, *(row(name, by_name[name]) for name in ranked)])

    attentions = [name for name in by_name if name in ATTENTIONS]
    pairs = [name for name in by_name if name not in ATTENTIONS]
    parts = ["### Attention mechanisms\n\n" + table(attentions)] if attentions else []
    parts += ["### Encoders and decoders\n\n" + table(pairs)] if pairs else []
    return "\n\n".join(parts)


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Draw the WER of each run, contestants by their mean."""
    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    rates: dict[str, list[float]] = defaultdict(list)
    for result in results:
        rates[result["name"]].append(max(100 * result["wer"], 0.05))
    names = sorted(rates, key=lambda name: -statistics.mean(rates[name]))
    figure = Figure(figsize=(8, 0.22 * len(names) + 1.0), layout="constrained")
    axes = figure.add_subplot()
    for place, name in enumerate(names):
        axes.scatter(rates[name], [place] * len(rates[name]), s=18, color="#2f81f7")
    axes.axvline(3.0, color="#8b949e", linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.grid(axis="y", linewidth=0.3)
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 3, 10, 30, 100], ["0.5", "1", "3", "10", "30", "100"])
    axes.set_xlabel("WER on the test strings (%), one point a seed")
    figure.savefig(path, dpi=110)


def main() -> int:
    """Rewrite README.md between its marks; returns the exit code."""
    files = sorted((HERE / "results").glob("*.json"))
    if not files:
        print("there are no results yet; run recipes/attention_zoo/run.py", file=sys.stderr)
        return 2
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    readme = HERE / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{START}\n\n{tables(results)}\n\n{END}{after}", encoding="utf-8")
    plot(results, HERE / "results.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
