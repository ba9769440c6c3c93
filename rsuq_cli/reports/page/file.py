"""The page: everything about some scorings in one file that works from disk and by mail.

Invariant: the file refers to nothing outside of itself, and its content security policy forbids it to. What users
named reaches it as escaped text or as JSON in which no tag can begin. The same results give the same file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rsuq_cli.console import Table
from rsuq_cli.readings.dossier import Dossier
from rsuq_cli.readings.evidence import Reading
from rsuq_cli.readings.images import Images
from rsuq_cli.readings.masses import Masses
from rsuq_cli.reports.names import reading_names
from rsuq_cli.reports.page.answers import answers_html
from rsuq_cli.reports.page.audits import audits_html
from rsuq_cli.reports.page.data import Galleries, page_data
from rsuq_cli.reports.page.detection import detections_html, promises_data
from rsuq_cli.reports.page.masses import masses_data, masses_html
from rsuq_cli.reports.page.settings import runs_html, table_html
from rsuq_cli.reports.page.template import page_of
from rsuq_cli.reports.page.training import training_data, training_html
from rsuq_cli.results.exhibits import Scores
from rsuq_cli.results.figures import Figures

# In this order; the last one starts what the others define.
_SCRIPTS = ("charts", "numbers", "figures", "curves", "masses", "gallery", "detection", "training", "page")


@dataclass(frozen=True)
class PageContent:
    """What a page shows: readings and the figures they come from, their table, galleries by scoring, images by run.

    `dossiers` has one scoring of each run, with what is recorded beside it.
    """

    readings: Sequence[Reading]
    figures: Sequence[Figures]
    table: Table
    foreign: Sequence[Scores]
    galleries: Galleries
    images: Mapping[int, Images]
    dossiers: Sequence[Dossier]
    masses: Sequence[Masses]


def page_html(content: PageContent) -> str:
    """Returns the page."""
    named = list(zip(reading_names(content.readings), content.readings, strict=True))
    asked = [point.radius for point in content.figures[0].certified_standard]
    runs = {reading.run.id: reading.run for reading in content.readings}
    dossiers = content.dossiers
    data = page_data(named, content.foreign, content.galleries, content.images, asked)
    data |= {
        "promises": promises_data(dossiers),
        "training": training_data(dossiers),
        "masses": masses_data(content.masses),
    }
    return page_of(
        "page.html",
        _SCRIPTS,
        data,
        title="rsuq report",
        settings=content.table.title,
        answers=answers_html(dossiers),
        masses=masses_html(content.masses),
        audits=audits_html(dossiers),
        detections=detections_html(dossiers),
        training=training_html(dossiers),
        table=table_html(content.table),
        runs=runs_html(list(runs.values()), content.figures),
        made_of=f"scorings: {len(content.figures)}, runs: {len(runs)}",
    )
