"""Puts a page together: text and tables with every name escaped, scripts, styles, data."""

from __future__ import annotations

import base64
import gzip
import html
import json
from importlib.resources import files
from string import Template
from typing import Any

from tfp_mdn._version import __version__
from tfp_mdn.report._content import Table

__all__ = ["page", "table"]

_SCRIPTS = ("mixture", "network", "plots", "inputs", "page")
# Fixed, so that a report is the same whenever it is written from the same data.
_NO_TIME = 0
_MISSING_EXTRA = 'the report needs the extra "report": pip install "tfp-mdn[report]"'


def page(title: str, *, parts: dict[str, str], data: dict[str, Any]) -> str:
    """Return the page.

    Args:
        title: Title, as plain text.
        parts: HTML by the name of its place in page.html.
        data: What the scripts read.

    Raises:
        ImportError: If Plotly is not installed.
    """
    scripts = "\n".join(_own(f"{name}.js") for name in _SCRIPTS)
    return Template(_own("page.html")).substitute(
        parts,
        title=html.escape(title),
        version=html.escape(__version__),
        style=_own("page.css"),
        data=_json(data),
        plotly=_plotly(),
        scripts=scripts,
    )


def table(content: Table, caption: str) -> str:
    """Return a table whose cells are plain text."""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in content.header)
    body = "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in others)
        + "</tr>"
        for first, *others in content.rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(caption)}"><table>'
        f"<caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _json(data: dict[str, Any]) -> str:
    """Return JSON that cannot end the script element that it stands in."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _plotly() -> str:
    """Return Plotly's JavaScript, compressed: 2 MB in place of 4.8."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError(_MISSING_EXTRA) from error
    packed = gzip.compress(get_plotlyjs().encode("utf-8"), mtime=_NO_TIME)
    return base64.b64encode(packed).decode("ascii")


def _own(name: str) -> str:
    return files("tfp_mdn.report").joinpath(name).read_text(encoding="utf-8")
