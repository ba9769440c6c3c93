"""Figures as people read them: text, columns, and where a table shows what.

Invariant: what a figure is called and how it is written comes from its definition; nothing is computed here.
"""

from __future__ import annotations

from rsuq_cli.certificates.definitions import FIGURES, Figure
from rsuq_cli.console import Column, percent_text


def figure_column(figure: Figure) -> Column:
    """Returns the column of a figure in records that have it by its name."""
    title = f"ACR\n{figure.title}" if figure.unit == "radius" else f"{figure.title}\n%"
    return Column(title, lambda r: figure_text(figure, r[figure.name]), name=figure.name)


def figure_text(figure: Figure, value: float | None) -> str:
    """Returns a value: an average radius in pixel units, all else in percent, without its sign."""
    return acr_text(value) if figure.unit == "radius" else percent_text(value, 2)


def figure_words(figure: Figure, value: float | None) -> str:
    """Returns a value with its name, for a line of several: "coverage 90.0 %, ACR 0.1234, CC 0.0987"."""
    title = short_title(figure)
    if figure.unit == "radius":
        return f"{title} {acr_text(value)}"
    return f"{title.removesuffix(' %')} {percent_text(value)} %"


def short_title(figure: Figure) -> str:
    """Returns the title on one line, where those of average radii stand together and the first names them all."""
    if figure.unit == "radius":
        return "ACR" if figure.title == "standard" else figure.title
    return f"{figure.title} %"


def acr_text(radius: float | None) -> str:
    """Returns an average radius in four decimals, to the nearest: it guarantees nothing about any one input."""
    return "-" if radius is None else f"{radius:.4f}"


def named_figure(name: str) -> Figure | None:
    """Returns the figure of a name, None where it is no figure's."""
    return next((one for one in FIGURES if one.name == name), None)
