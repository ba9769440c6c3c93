"""The one file that a page is: its template, with style, scripts and data put in.

Invariant: what is put in is escaped unless it is markup already, and is never looked at again; the file refers to
nothing outside of itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rsuq_cli.reports.markup import Html
from rsuq_cli.version import __version__

_ASSETS = PackageLoader("rsuq_cli.reports.page", "assets")
_PAGES = Environment(loader=_ASSETS, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)


def page_of(template: str, scripts: Sequence[str], data: Any, *, made_of: str, **parts: str) -> str:
    """Returns a page of its template, the scripts in this order, their data, and the parts that the template names."""
    return _PAGES.get_template(template).render(
        parts,
        style=_asset("page.css"),
        script=Html("\n").join(_asset(f"{name}.js") for name in scripts),
        data=script_json(data),
        footer=f"Made by rsuq {__version__}; {made_of}.",
    )


def script_json(data: Any) -> Html:
    """Returns JSON that can stand inside a script element: no tag or comment can begin in it."""
    return Html(json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"))


def _asset(name: str) -> Html:
    return Html(_ASSETS.get_source(_PAGES, name)[0])
