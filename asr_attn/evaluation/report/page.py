"""The page of a report: everything in one file, readable without a network."""

import html
import json
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

STYLE = "page.css"
SCRIPTS = ("base.js", "charts.js", "summary.js", "table.js", "drawing.js", "detail.js", "start.js")
"""Run in this order; what one defines, those after it use."""


def page_of(title: str, data: Mapping[str, Any], details: Mapping[int, Mapping[str, Any]]) -> str:
    """Write the page.

    Args:
        title: of the page.
        data: what is told of all utterances, see ``report.report``.
        details: of single utterances, by number. Each has an element of its own, which is read
            when it is looked at, so that the page opens at once.
    """
    parts = files(__package__) / "parts"

    def text(name: str) -> str:
        return (parts / name).read_text(encoding="utf-8")

    blocks = [_block("data", data), *(_block(f"detail-{i}", d) for i, d in details.items())]
    return Template(text("page.html")).substitute(
        title=html.escape(title),
        style=text(STYLE),
        data="\n".join(blocks),
        script="\n".join(text(name) for name in SCRIPTS),
    )


def _block(name: str, values: Mapping[str, Any]) -> str:
    """JSON in an element of its own; nothing in it may look like the end of that."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    text = text.encode("utf-8", errors="replace").decode("utf-8")
    return f'<script type="application/json" id="{name}">{text}</script>'
