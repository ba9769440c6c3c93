"""How a comparison is laid out: its order, its columns, its groups, and pivots of one figure.

Invariant: laying out changes no figure and drops no scoring; names are those of the machine formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from rsuq_cli.console import Column, Table, number_text
from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.formats import Record
from rsuq_cli.reports.comparability import differences
from rsuq_cli.reports.comparison import certified_table, comparison_table, figure_record
from rsuq_cli.reports.figures import acr_text, named_figure
from rsuq_cli.results.figures import Figures


class Layout(NamedTuple):
    """Tables for people, of which machines get the first, and what to know before comparing."""

    tables: list[Table]
    warnings: list[str]


class Shown(NamedTuple):
    """What is shown of a comparison beside its figures: certified curves, intervals; `machine` is who reads it."""

    curves: bool = False
    intervals: bool = False
    machine: bool = False


class Columns(NamedTuple):
    """The names to keep, in their order (None: all), and those to drop."""

    keep: Sequence[str] | None = None
    drop: Sequence[str] = ()

    @property
    def unchanged(self) -> bool:
        """Whether nothing is asked for."""
        return self.keep is None and not self.drop

    def chosen(self, known: Sequence[str]) -> list[str]:
        """Returns the names that are left of the known ones; raises BadInput for a name that is not among them."""
        for option, names in (("--keep", self.keep or ()), ("--drop", self.drop)):
            for name in names:
                if name not in known:
                    raise BadInput(f"{option}: there is no column {name!r}", nearest(name, known))
        return [name for name in (known if self.keep is None else self.keep) if name not in self.drop]


class Group(NamedTuple):
    """Scorings that share a value of what they are grouped by."""

    title: str
    figures: list[Figures]


def _threshold_key(one: Figures) -> str:
    if one.threshold_coverage is not None:
        return f"coverage {one.threshold_coverage:g}"
    return "no rejection" if one.threshold is None else f"θ = {one.threshold:.6g}"


GROUPINGS: dict[str, Callable[[Figures], Any]] = {
    "model": lambda one: one.model,
    "uncertainty": lambda one: one.measure,
    "objective": lambda one: one.objective or "-",
    "sigma": lambda one: one.sigma,
    # Thresholds of two measures are on two scales: the coverage that they were calibrated for is what they share.
    "threshold": _threshold_key,
    "rule": lambda one: one.rule,
    "dataset": lambda one: one.dataset,
    "run": lambda one: one.run_id,
    "source": lambda one: one.source or "-",
}


def check_groupings(names: Sequence[str]) -> None:
    """Raises BadInput for a name that nothing can be grouped by, a repeated one, and more than two."""
    for name in names:
        if name not in GROUPINGS:
            raise BadInput(f"--by {name!r} is unknown", nearest(name, GROUPINGS))
    if len(names) > 2 or len(set(names)) < len(names):
        raise BadInput("--by takes one name to group, or two different ones to pivot", "--by model --by sigma")


def laid_out(figures: Sequence[Figures], by: str | None, shown: Shown) -> Layout:
    """Returns the comparison of these scorings, one table for each group, and certified accuracies if asked for.

    Machines get all scorings in one table, in the order of the groups.
    """
    groups = grouped(figures, by) if by else [Group("certified", list(figures))]
    everything = [one for group in groups for one in group.figures]
    if shown.machine:
        return Layout([comparison_table(everything)], differences(everything))
    tables = [comparison_table(group.figures, title=group.title, intervals=shown.intervals) for group in groups]
    return Layout(tables + ([certified_table(everything)] if shown.curves else []), differences(everything))


def pivoted(figures: Sequence[Figures], by: Sequence[str], figure: str) -> Layout:
    """Returns one figure with the values of one setting as rows and those of another as columns."""
    return Layout([pivot_table(figures, by, figure)], differences(figures))


def grouped(figures: Sequence[Figures], by: str) -> list[Group]:
    """Returns the scorings by the value that `by` names, in the order of the values."""
    key = GROUPINGS[by]
    values = sorted({key(one) for one in figures})
    return [Group(f"{by} {_value(value)}", [one for one in figures if key(one) == value]) for value in values]


def sorted_by(figures: Sequence[Figures], key: str | None) -> list[Figures]:
    """Returns the scorings in the order of a figure or setting, descending with a leading "-", unknown values last.

    Raises:
        BadInput: there is no such name, or its values have no order.
    """
    if key is None or not figures:
        return list(figures)
    name, descending = key.removeprefix("-"), key.startswith("-")
    values = {one.scoring_id: figure_value(one, name, option="--sort") for one in figures}
    known = [one for one in figures if values[one.scoring_id] is not None]
    rest = [one for one in figures if values[one.scoring_id] is None]
    return sorted(known, key=lambda one: values[one.scoring_id], reverse=descending) + rest


def figure_value(one: Figures, name: str, *, option: str) -> Any:
    """Returns a figure, setting, or point of a curve (`certified_cc@0.25`) by its name; raises BadInput for others."""
    record = figure_record(one)
    curve, _, radius = name.partition("@")
    if radius and curve.startswith("certified_") and curve in record:
        points = {f"{point['radius']:g}": point["value"] for point in record[curve]}
        if radius not in points:
            raise BadInput(f"{option}: there is no radius {radius} in the curves", f"give --radii {radius}")
        return points[radius]
    scalars = {key: value for key, value in record.items() if not isinstance(value, (list, tuple, Mapping))}
    if name not in scalars:
        raise BadInput(f"{option}: there is no figure {name!r}", nearest(name, scalars))
    return scalars[name]


def arranged(table: Table, columns: Columns) -> Table:
    """Returns the table with only the columns to keep, in their order, and without those to drop.

    A table whose columns have no names, such as the one of certified accuracies, stays as it is.

    Raises:
        BadInput: a name that no record has.
    """
    shown = {column.name: column for column in table.columns if column.name}
    if not table.records or not shown or columns.unchanged:
        return table
    names = columns.chosen(list(table.records[0]))
    if columns.keep is None:
        return replace(table, columns=[c for c in table.columns if c.name not in columns.drop], names=names)
    return replace(table, columns=[shown.get(name) or _plain_column(name) for name in names], names=names)


def pivot_table(figures: Sequence[Figures], by: Sequence[str], figure: str) -> Table:
    """Returns one figure with the values of one setting as rows and those of another as columns.

    A cell that several scorings share shows the smallest and the largest value and how many there are.
    """
    rows, columns = (grouped(figures, name) for name in by)
    records = []
    for row in rows:
        cells = {}
        for column in columns:
            shared = [one for one in row.figures if one in column.figures]
            cells[column.title] = [figure_value(one, figure, option="--figure") for one in shared]
        records.append({by[0]: row.title.removeprefix(f"{by[0]} "), "figure": figure, **cells})
    shown = [Column(by[0], lambda r: str(r[by[0]]), "left", by[0])]
    shown += [Column(column.title, _pivot_cell(column.title, figure), name=column.title) for column in columns]
    note = "low to high (how many) where several scorings share a cell"
    many = any(len(record[column.title]) > 1 for record in records for column in columns)
    return Table(f"{figure} by {by[0]} and {by[1]}", records, shown, (note,) if many else ())


def _pivot_cell(name: str, figure: str) -> Callable[[Record], str]:
    def cell(record: Record) -> str:
        values = [value for value in record[name] if value is not None]
        if not values:
            return "-"
        low, high = (_figure_text(figure, value) for value in (min(values), max(values)))
        return low if low == high else f"{low} to {high} ({len(values)})"

    return cell


def _figure_text(name: str, value: Any) -> str:
    figure = named_figure(name)
    if figure is not None and figure.unit == "radius":
        return acr_text(value)
    return f"{100 * value:.2f} %" if figure is not None or "@" in name else _value(value)


def _plain_column(name: str) -> Column:
    def cell(record: Record) -> str:
        value = record[name]
        return "-" if value is None else _figure_text(name, value)

    return Column(name, cell, "right", name)


def _value(value: Any) -> str:
    return number_text(value) if isinstance(value, float) else str(value)
