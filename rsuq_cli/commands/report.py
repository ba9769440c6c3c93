"""`rsuq report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from rsuq_cli.commands import options
from rsuq_cli.console import is_machine, print_tables, warn
from rsuq_cli.errors import BadInput

if TYPE_CHECKING:
    from rsuq_cli.commands.pictures import Pictures
    from rsuq_cli.console import Table
    from rsuq_cli.reports.layout import Layout
    from rsuq_cli.results.database import Database
    from rsuq_cli.results.figures import Figures
    from rsuq_cli.results.selection import Selection
    from rsuq_cli.results.studies import StudyRow


def report(
    runs: Annotated[list[int] | None, options.argument(help="Run numbers.", show_default="all")] = None,
    model: Annotated[str | None, options.what(metavar="NAME", help="Only this model.")] = None,
    sigma: Annotated[float | None, options.what(metavar="NUMBER", help="Only this noise level.")] = None,
    dataset: Annotated[str | None, options.what(metavar="NAME", help="Only this data set.")] = None,
    name: options.OnlyName = None,
    tag: options.OnlyTags = None,
    study: Annotated[
        str | None,
        options.what("--study", metavar="NAME", help="Only the runs of this study, and what it compares."),
    ] = None,
    where: Annotated[
        str | None,
        options.what(metavar="CONDITION", help="Only settings such as: sigma = 0.25 and model like 'resnet%' (SQL)."),
    ] = None,
    since: Annotated[
        str | None,
        options.what(metavar="WHEN", help="Only runs begun since a date, or a span such as 7d or 12h."),
    ] = None,
    latest: Annotated[
        bool, options.what("--latest", help="Only the newest run of each model, data set and sigma.")
    ] = False,
    uncertainty: Annotated[str | None, options.reading(metavar="MEASURE", help="Only this measure.")] = None,
    data_dir: options.DataDir = None,
    by: Annotated[
        list[str] | None,
        options.view(
            metavar="SETTING",
            help=f"Group by {options.listed(options.GROUPINGS)}; given twice, pivot one figure.",
        ),
    ] = None,
    figure: Annotated[str, options.view(metavar="NAME", help="The figure of a pivot.")] = "acr_ncl",
    paired: Annotated[
        tuple[int, int] | None,
        options.view(metavar="A B", help="Compare two scorings (first column of the report) on their common inputs."),
    ] = None,
    per_class: Annotated[bool, options.view("--per-class", help="Figures for each class.")] = False,
    at_ceiling: Annotated[
        bool, options.view("--at-ceiling", help="How many radii are as large as n allows, and so measure n.")
    ] = False,
    masses: Annotated[
        bool,
        options.view("--masses", help="The masses behind the radii, gains beside the average, and the hardest inputs."),
    ] = False,
    inputs: Annotated[bool, options.view("--inputs", help="One row for each input.")] = False,
    only: Annotated[
        str | None,
        options.view(
            metavar="CONDITION",
            help='With --inputs: "CC fails at 0.25, NCL holds at 0.25", or label = 3 and gap > 0.2.',
        ),
    ] = None,
    limit: Annotated[int | None, options.view(metavar="N", help="With --inputs: at most so many rows.", min=1)] = None,
    ood: Annotated[bool, options.view("--ood", help="The out-of-distribution runs, and nothing else.")] = False,
    details: options.Details = False,
    intervals: options.Intervals = False,
    sort: Annotated[
        str | None,
        options.view(metavar="NAME", help="Order by a figure or setting; -acr_cc for the largest first."),
    ] = None,
    keep: Annotated[
        str | None, options.view(metavar="NAMES", help="Only these columns, in this order: model,acr_cc,gain.")
    ] = None,
    drop: Annotated[str | None, options.view(metavar="NAMES", help="Without these columns.")] = None,
    plot: Annotated[Path | None, options.output(metavar="FILE", help="Draw a picture: FILE.png, .svg or .pdf.")] = None,
    panels: Annotated[
        str | None,
        options.output(metavar="NAMES", help=f"With --plot: {', '.join(options.PICTURE_PANELS)}.", show_default="all"),
    ] = None,
    html: Annotated[
        Path | None,
        options.output(metavar="FILE", help="Make a page to keep or to send: one file, no network."),
    ] = None,
    radii: options.Radii = None,
    db: options.Database = None,
    format: options.OutputFormat = "table",
    output: options.Output = None,
    force: options.Force = False,
) -> None:
    """Compare what was certified: accuracy, coverage, average radii, gain and certified curves.

    Every figure is computed from the stored samples. With --radii people see certified accuracy there, too.
    """
    from rsuq_cli.commands.pictures import Pictures
    from rsuq_cli.files import check_output
    from rsuq_cli.reports.inputs import ceiling_table, per_class_table, print_inputs, rows_to_read
    from rsuq_cli.reports.layout import Columns, Layout, Shown, arranged, check_groupings, laid_out, pivoted
    from rsuq_cli.results.database import open_for_reading
    from rsuq_cli.results.inputs import ceiling_shares, stream_inputs, where_inputs
    from rsuq_cli.results.inputs import per_class as figures_by_class
    from rsuq_cli.results.runs import run_row
    from rsuq_cli.results.selection import Selection, moment, where_settings

    _one_view(
        {
            "--paired": paired,
            "--per-class": per_class,
            "--at-ceiling": at_ceiling,
            "--masses": masses,
            "--inputs": inputs,
            "--by": by,
            "--ood": ood,
        }
    )
    pictures = Pictures(plot, html, panels, data_dir, force, masses)
    if pictures.wanted:
        _one_view(
            {"--plot and --html": True, "--paired": paired, "--per-class": per_class, "--at-ceiling": at_ceiling,
             "--inputs": inputs, "--ood": ood}
        )  # fmt: skip
    pictures.check()
    if (only is not None or limit is not None) and not inputs:
        raise BadInput("--only and --limit are about single inputs", "add --inputs")
    check_groupings(by or [])
    columns = Columns(_names(keep), _names(drop) or [])
    if output is not None:
        check_output(output, force=force)
    selection = Selection(
        runs=runs or (), dataset=dataset, model=model, sigma=sigma, measure=uncertainty,
        where=None if where is None else where_settings(where), since=None if since is None else moment(since),
        latest=latest, name=name, tags=tag or (),
    )  # fmt: skip
    with open_for_reading(db) as results:
        for run_id in runs or []:
            run_row(results, run_id)
        compared = None if study is None else _study(results, study, selection)
        selection = selection if compared is None else compared.selection
        if inputs:
            condition = None if only is None else where_inputs(only)
            rows = stream_inputs(results, selection, condition, sort=sort, limit=rows_to_read(format, limit))
            print_inputs(rows, format, output, columns, force=force, limit=limit)
            return
        if paired:
            layout = _pair(results, paired, radii)
        elif per_class:
            layout = Layout([per_class_table(figures_by_class(results, selection))], [])
        elif at_ceiling:
            layout = Layout([ceiling_table(ceiling_shares(results, selection))], [])
        elif masses:
            layout = Layout(_masses(results, _found(results, selection, sort, radii)), [])
        elif ood or _only_ood(results, selection):
            found = _detection(results, selection, machine=is_machine(format), details=details, intervals=intervals)
            if not found:
                raise BadInput(
                    "no out-of-distribution runs match", "rsuq runs lists what there is; rsuq ood makes more"
                )
            layout = Layout(found, [])
        elif compared and not (by or sort):
            layout = Layout(compared.tables(results, pictures, machine=is_machine(format)), [])
            pictures = replace(pictures, plot=None, html=None)
        else:
            ordered = _found(results, selection, sort, radii)
            shown = Shown(radii is not None or details, intervals, is_machine(format))
            several = by is not None and len(by) == 2
            layout = pivoted(ordered, by or [], figure) if several else laid_out(ordered, by[0] if by else None, shown)
            if not (by or sort or keep or drop or is_machine(format)):
                layout.tables.extend(_detection(results, selection, details=details, intervals=intervals))
        if pictures.wanted:
            pictures.write(results, _found(results, selection, sort, radii))
    if not layout.tables or not layout.tables[0].records:
        raise _nothing()
    tables = [arranged(table, columns) for table in layout.tables]
    print_tables(tables, format, output, force=force)
    for warning in layout.warnings:
        warn(warning)


class _Compared(NamedTuple):
    """A study, and the selection of its runs."""

    study: StudyRow
    selection: Selection

    def tables(self, results: Database, pictures: Pictures, *, machine: bool) -> list[Table]:
        """Returns what the study compares, having written the pictures of it that were asked for."""
        from rsuq_cli.readings.study import study_found
        from rsuq_cli.reports.study.tables import tables_of

        found = study_found(results, self.study)
        if pictures.wanted and found:
            pictures.write_study(results, self.study.name, found)
        return tables_of(self.study.name, found, machine=machine)


def _study(results: Database, name: str, selection: Selection) -> _Compared:
    from rsuq_cli.results.studies import study_named

    study = study_named(results, name)
    runs = [member.run_id for member in study.members if not selection.runs or member.run_id in selection.runs]
    if not runs:
        raise BadInput(f"the study {name!r} has no such runs yet", "rsuq study with its plan goes on")
    return _Compared(study, replace(selection, runs=runs))


def _only_ood(results: Database, selection: Selection) -> bool:
    """Returns whether out-of-distribution runs are selected and nothing that was certified is."""
    from rsuq_cli.results.ood_queries import selected_ood_runs
    from rsuq_cli.results.selection import chosen_scorings

    with results.read() as connection:
        certified = bool(chosen_scorings(connection, selection))
    return not certified and bool(selected_ood_runs(results, selection))


def _detection(
    results: Database, selection: Selection, *, machine: bool = False, details: bool = False, intervals: bool = False
) -> list[Table]:
    """Returns the tables of the out-of-distribution runs that are selected; machines get the records alone."""
    from rsuq_cli.reports.ood.records import record_table
    from rsuq_cli.reports.ood.summary import people_tables
    from rsuq_cli.reports.ood.view import View
    from rsuq_cli.results.ood_queries import ood_runs, selected_ood_runs

    chosen = selected_ood_runs(results, selection)
    if not chosen:
        return []
    view = View(ood_runs(results, runs=chosen))
    return [record_table(view)] if machine else people_tables(view, details=details, intervals=intervals)


def _masses(results: Database, found: Sequence[Figures]) -> list[Table]:
    from rsuq_cli.readings.masses import masses_of
    from rsuq_cli.reports.masses import masses_tables

    return masses_tables(masses_of(results, found))


def _found(results: Database, selection: Selection, sort: str | None, radii: str | None) -> list[Figures]:
    from rsuq_cli.reports.comparison import parse_radii
    from rsuq_cli.reports.layout import sorted_by
    from rsuq_cli.results.figures import selected_figures
    from rsuq_cli.results.selection import sigmas

    found = selected_figures(results, selection, parse_radii(radii, sigmas(results, selection)))
    if not found:
        raise _nothing()
    return sorted_by(found, sort)


def _pair(results: Database, scorings: tuple[int, int], radii: str | None) -> Layout:
    from rsuq_cli.reports.comparability import differences
    from rsuq_cli.reports.comparison import parse_radii
    from rsuq_cli.reports.layout import Layout
    from rsuq_cli.reports.side_by_side import paired_table
    from rsuq_cli.results.pairing import paired
    from rsuq_cli.results.selection import Selection, sigmas

    wanted = parse_radii(radii, sigmas(results, Selection(scorings=scorings)))
    found = paired(results, *scorings, wanted)
    return Layout([paired_table(found)], differences([found.first, found.second]))


def _one_view(given: dict[str, object]) -> None:
    named = [option for option, value in given.items() if value]
    if len(named) > 1:
        raise BadInput(f"{' and '.join(named)} are different reports", "ask for one of them at a time")


def _names(written: str | None) -> list[str] | None:
    return None if written is None else written.replace(",", " ").split()


def _nothing() -> BadInput:
    return BadInput("no certified inputs match", "rsuq runs lists what there is; rsuq certify makes more")
