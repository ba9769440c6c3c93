"""One row per input, figures by class, and shares at the ceiling, as people and machines read them.

Invariant: machine formats stream, so their length is bounded by the database alone; tables show as many rows as asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, cast

from rsuq_cli.certificates.definitions import FIGURES
from rsuq_cli.console import (
    Column,
    Format,
    Table,
    destination,
    is_machine,
    number_text,
    percent_text,
    print_tables,
    radius_text,
)
from rsuq_cli.formats import MachineFormat, Record, write_records
from rsuq_cli.reports.figures import figure_column
from rsuq_cli.reports.layout import Columns, arranged
from rsuq_cli.results.inputs import CeilingShare, ClassFigures

# As many rows as a person scrolls through, where none is asked for.
SHOWN = 50


def rows_to_read(style: Format, limit: int | None) -> int | None:
    """Returns how many rows to ask the database for: all for machines unless limited, else one more than is shown."""
    if is_machine(style):
        return limit
    return 1 + (SHOWN if limit is None else limit)


def print_inputs(
    rows: Iterator[dict[str, Any]], style: Format, output: Path | None, columns: Columns, *, force: bool,
    limit: int | None,
) -> None:  # fmt: skip
    """Prints rows of inputs as they come; a table shows `limit` of them (50 unless asked) and says if there are more.

    Raises:
        BadInput: as `console.print_tables` does.
    """
    if not is_machine(style):
        most = SHOWN if limit is None else limit
        shown = list(islice(rows, most))
        more = next(rows, None) is not None
        print_tables([arranged(inputs_table(shown, more=more), columns)], style, output, force=force)
        return
    with destination(output, force=force, binary=style == "parquet") as stream:
        write_records(_named(rows, columns), cast("MachineFormat", style), stream)


def _named(rows: Iterator[dict[str, Any]], columns: Columns) -> Iterator[dict[str, Any]]:
    names: list[str] | None = None
    for row in rows:
        names = columns.chosen(list(row)) if names is None else names
        yield {name: row[name] for name in names}


def inputs_table(rows: Sequence[Record], *, more: bool = False) -> Table:
    """Returns rows of inputs as a table; `more` says that there are others."""
    columns = [
        Column("scoring", lambda r: str(r["scoring_id"]), name="scoring_id"),
        Column("input", lambda r: str(r["input_index"]), name="input_index"),
        Column("label", lambda r: _class(r["label"], r["label_name"]), "left", "label"),
        Column("class", lambda r: _class(r["class_index"], r["class_name"]), "left", "class_index"),
        Column("decision", lambda r: r["decision"], "left", "decision"),
        Column("radius\nstandard", lambda r: radius_text(r["radius_standard"], 4), name="radius_standard"),
        Column("radius\nCC", lambda r: radius_text(r["radius_cc"], 4), name="radius_cc"),
        Column("radius\nNCL", lambda r: radius_text(r["radius_ncl"], 4), name="radius_ncl"),
        Column("ceiling", lambda r: "yes" if r["at_ceiling"] else "", "left", "at_ceiling"),
    ]
    notes = ["radii in pixel units, rounded down; about the class in this row, right or wrong"]
    if more:
        notes.append(f"only {len(rows):,} rows are shown: --limit shows more, --format csv all")
    return Table("inputs", rows, columns, notes)


def per_class_table(found: Sequence[ClassFigures]) -> Table:
    """Returns the figures by class."""
    figures = [one for one in FIGURES if "class" in one.views]
    columns = [
        Column("scoring", lambda r: str(r["scoring_id"]), name="scoring_id"),
        Column("model", lambda r: r["model"], "left", "model"),
        Column("uncertainty", lambda r: r["measure"], "left", "measure"),
        Column("class", lambda r: _class(r["label"], r["name"]), "left", "label"),
        Column("inputs", lambda r: f"{r['inputs']:,}", name="inputs"),
        *(
            Column(f"{title}\n%", _share_cell(name), name=name)
            for title, name in (*((one.title, one.name) for one in figures if one.counts),
                                ("confidently wrong", "wrong_with_confidence"))
        ),
        *(figure_column(one) for one in figures if not one.counts),
    ]  # fmt: skip
    note = "over the inputs of the class; shares with their 95 % Wilson interval"
    return Table("by class", [_of_class(one) for one in found], columns, (note,))


def ceiling_table(found: Sequence[CeilingShare]) -> Table:
    """Returns how much of each scoring sits at the largest radius that its n can certify."""
    columns = [
        Column("scoring", lambda r: str(r["scoring_id"]), name="scoring_id"),
        Column("model", lambda r: r["model"], "left", "model"),
        Column("uncertainty", lambda r: r["measure"], "left", "measure"),
        Column("σ", lambda r: number_text(r["sigma"]), name="sigma"),
        Column("n", lambda r: f"{r['n']:,}", name="n"),
        Column("ceiling", lambda r: radius_text(r["ceiling"], 4), name="ceiling"),
        Column("at ceiling\n%", _share_cell("at_ceiling"), name="at_ceiling"),
        Column("of right\n%", lambda r: percent_text(r["of_right"], 2), name="of_right"),
        Column("of ACR\n%", lambda r: percent_text(r["of_acr"], 2), name="of_acr"),
    ]
    notes = (
        "ceiling: the largest radius that all n samples can prove · at ceiling: every sample speaks for the class, so "
        "the radius measures n, or where a stopping rule stopped, and not the model",
        "of right: among the inputs that are right without rejection · of ACR: their part in the standard ACR",
    )
    return Table("at the ceiling", [asdict(one) | _shares(one) for one in found], columns, notes)


def _of_class(one: ClassFigures) -> dict[str, Any]:
    nothing = dict.fromkeys(("acr_cc", "acr_ncl")) if one.rule == "standard" else {}
    return asdict(one) | _shares(one) | nothing


def _shares(one: ClassFigures | CeilingShare) -> dict[str, Any]:
    names = [name for name in type(one).__dataclass_fields__ if hasattr(getattr(one, name), "_asdict")]
    return {name: getattr(one, name)._asdict() for name in names}


def _share_cell(name: str) -> Any:
    def cell(record: Record) -> str:
        share = record[name]
        return f"{100 * share['value']:.2f} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"

    return cell


def _class(index: int, name: str | None) -> str:
    if index < 0:
        return "-"
    return str(index) if name is None or name == str(index) else f"{index} {name}"
