"""Pictures of what was certified, as PNG, SVG or PDF.

Invariant: a picture names the settings that its figures depend on, and shows what the tables say: it is drawn from the
same readings as the page. The same results give the same file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.files import check_output, replaced
from rsuq_cli.readings.evidence import Detail, Reading
from rsuq_cli.readings.masses import Masses
from rsuq_cli.reports.names import reading_names, scoring_name
from rsuq_cli.results.exhibits import Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

Panel = Literal["curves", "masses", "tradeoff", "risk", "scatter", "ood"]
PANELS: tuple[Panel, ...] = get_args(Panel)
SUFFIXES = (".png", ".svg", ".pdf")
DETAIL = Detail(thresholds=101, radii=201, points=3000, coverages=200)
# More scorings than this are no picture any more; the lines in one panel still are, to about twice as many.
MOST = 4
MOST_LINES = 8

# mypy knows no plain dict as settings.
_LOOK: Any = {
    "font.size": 9, "axes.titlesize": 9.5, "axes.titlelocation": "left", "legend.fontsize": 7.5, "legend.frameon": True,
    "legend.framealpha": 0.85, "legend.edgecolor": "none", "legend.title_fontsize": 7.5, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": "#dddddd", "grid.linewidth": 0.6,
    "lines.markersize": 4, "lines.linewidth": 1.6, "legend.handlelength": 3.2, "svg.hashsalt": "rsuq",
    "hatch.linewidth": 0.6, "savefig.dpi": 200, "axes.axisbelow": True,
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """What a picture is about: readings, out-of-distribution scores, a title, and the masses of every scoring."""

    readings: Sequence[Reading]
    foreign: Sequence[Scores]
    title: str
    masses: Mapping[int, Masses] = field(default_factory=dict)


class _Part(NamedTuple):
    """One cell of the picture: its title, and what draws it."""

    title: str
    draw: Callable[[SubFigure], None]


def parse_panels(text: str | None) -> tuple[Panel, ...]:
    """Returns the panels that a user lists, all of them for None; raises BadInput for an unknown one."""
    if text is None:
        return PANELS
    wanted = text.replace(",", " ").split()
    for name in wanted:
        if name not in PANELS:
            raise BadInput(f"unknown panel {name!r}", nearest(name, PANELS))
    if not wanted:
        raise BadInput("--panels names none", f"known: {', '.join(PANELS)}")
    return tuple(panel for panel in PANELS if panel in wanted)


def check_picture(path: Path, *, force: bool) -> None:
    """Raises BadInput where no picture can be written to `path`; before any work is done."""
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(f"{path.name} names no picture format", f"let the name end in {', '.join(SUFFIXES)}")
    check_output(path, force=force)


def save_picture(path: Path, subject: Subject, panels: Sequence[Panel]) -> None:
    """Draws the panels of a subject into `path`, complete or not at all.

    Raises:
        BadInput: the panels asked for have nothing to show, or the file cannot be written.
    """
    save_figure(path, lambda: picture(subject, panels))


def save_figure(path: Path, draw: Callable[[], Figure]) -> None:
    """Draws a figure in the look of all pictures into `path`, complete or not at all."""
    import matplotlib as mpl

    # No time of writing inside: the same results give the same bytes.
    undated = {".png": None, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[path.suffix.lower()]
    with mpl.rc_context(_LOOK):
        figure = draw()
        with replaced(path) as temporary:
            figure.savefig(temporary, metadata=undated)


def picture(subject: Subject, panels: Sequence[Panel]) -> Figure:
    """Returns the figure, two panels a row; raises BadInput where there is nothing to show."""
    from matplotlib.figure import Figure

    parts, note = _parts(subject, panels)
    if not parts:
        raise BadInput(f"there is nothing to draw for {', '.join(panels)}", "choose other --panels, or other runs")
    columns = min(2, len(parts))
    rows = -(-len(parts) // columns)
    figure = Figure(figsize=(5.4 * columns, 4.0 * rows + 0.6), layout="constrained")
    title = textwrap.fill(subject.title, 60 * columns)
    figure.suptitle("\n".join([title, *note]), fontsize=10)
    cells = figure.subfigures(rows, columns, squeeze=False).ravel()
    for cell, part in zip(cells, parts, strict=False):
        part.draw(cell)
        cell.axes[0].set_title(textwrap.fill(part.title, 72))
    return figure


def _parts(subject: Subject, panels: Sequence[Panel]) -> tuple[list[_Part], list[str]]:
    """Returns the cells of the picture, and a line that says what there was no room for."""
    from rsuq_cli.reports import plots_panels as draw

    named = list(zip(reading_names(subject.readings), subject.readings, strict=True))
    scorings = [(scoring_name(name, reading, at), reading, at) for name, reading in named for at in reading.stored]
    rejecting = [(name, reading) for name, reading in named if reading.rejects]
    traded = [(name, reading) for name, reading in rejecting if len(reading.positions) > 1][:MOST_LINES]
    parts: list[_Part] = []
    if "tradeoff" in panels and traded:
        parts.append(_Part("what rejection gains and costs, over θ",
                           lambda cell: draw.draw_tradeoff(cell.subplots(2, 1, sharex=True), traded)))  # fmt: skip
    if "risk" in panels and scorings:
        parts.append(_Part("risk among the most certain",
                           lambda cell: draw.draw_risk(cell.subplots(), scorings[:MOST_LINES])))  # fmt: skip
    for name, reading, at in scorings[:MOST]:
        if "curves" in panels:
            parts.append(_Part(name, partial(_alone, draw.draw_curves, reading, at)))
        if "masses" in panels and (masses := _masses_at(subject, reading, at)):
            parts.append(_Part(name, partial(_alone_with, draw.draw_masses, masses)))
        if "scatter" in panels and reading.rejects:
            parts.append(_Part(name, partial(_alone, draw.draw_scatter, reading, at)))
    telling = sorted(subject.foreign, key=lambda scores: -draw.weakest_auroc(scores))
    for scores in telling[:MOST] if "ood" in panels else []:
        some = f" (one of the {MOST} best of {len(telling)} scores)" if len(telling) > MOST else ""
        title = f"run {scores.run_id}, out of distribution by {scores.score}{some}"
        parts.append(_Part(title, partial(_pair, draw.draw_ood, scores)))
    crowded = len(scorings) > MOST and {"curves", "masses", "scatter"} & set(panels)
    return parts, [
        f"the first {MOST} of {len(scorings)} scorings; choose others by run, model or measure"
    ] if crowded else []


def _masses_at(subject: Subject, reading: Reading, position: int) -> Masses | None:
    figures = reading.positions[position].figures
    return subject.masses.get(figures.scoring_id) if figures else None


def _alone_with(draw: Callable[..., None], masses: Masses, cell: SubFigure) -> None:
    draw(cell.subplots(), masses)


def _alone(draw: Callable[..., None], reading: Reading, position: int, cell: SubFigure) -> None:
    draw(cell.subplots(), reading, position)


def _pair(draw: Callable[..., None], scores: Scores, cell: SubFigure) -> None:
    draw(cell.subplots(1, 2), scores)
