"""What `rsuq report --plot` and `--html` write: checked before any work is done, gathered, drawn, named on stderr."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rsuq_cli.console import Reporter, say
from rsuq_cli.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rsuq_cli.readings.evidence import Detail, Reading
    from rsuq_cli.readings.images import Images
    from rsuq_cli.readings.masses import Masses
    from rsuq_cli.readings.study import SourceFound
    from rsuq_cli.reports.page.data import Galleries
    from rsuq_cli.results.database import Database
    from rsuq_cli.results.exhibits import Scores
    from rsuq_cli.results.figures import Figures


@dataclass(frozen=True)
class Pictures:
    """The files that were asked for, if any.

    `panels` is the list that the user wrote, None for all, or where the report is about `masses` for those alone.
    """

    plot: Path | None
    html: Path | None
    panels: str | None
    data_dir: Path | None
    force: bool
    masses: bool = False

    @property
    def wanted(self) -> bool:
        """Whether any picture was asked for."""
        return bool(self.plot or self.html)

    def check(self) -> None:
        """Raises BadInput for a file that cannot be written, a picture format or a panel that there is not."""
        from rsuq_cli.files import check_output
        from rsuq_cli.reports.plots import check_picture, parse_panels

        parse_panels(self.panels)
        if self.plot:
            check_picture(self.plot, force=self.force)
        if self.html:
            check_output(self.html, force=self.force)

    def write(self, results: Database, figures: Sequence[Figures]) -> None:
        """Writes what was asked for from these scorings."""
        if self.plot:
            self._draw(results, figures, self.plot)
            say(f"wrote {self.plot}")
        if self.html:
            self._compose(results, figures, self.html)
            say(f"wrote {self.html}, {self.html.stat().st_size / 1e6:.1f} MB")

    def write_study(self, results: Database, name: str, found: Sequence[SourceFound]) -> None:
        """Writes what was asked for of a study."""
        from rsuq_cli.files import new_file
        from rsuq_cli.readings.tradeoff import tradeoffs
        from rsuq_cli.reports.plots import save_figure
        from rsuq_cli.reports.study.page import study_html
        from rsuq_cli.reports.study.plots import study_picture

        if self.panels is not None:
            raise BadInput("a study's picture has no --panels", "leave them out, or name runs in place of --study")
        reporter = Reporter()
        reporter.begin("read evidence", sum({one.figures.run_id: one.figures.inputs for one in found}.values()))
        try:
            lines = tradeoffs(results, found, reporter.advance)
        finally:
            reporter.end()
        if self.plot:
            save_figure(self.plot, lambda: study_picture(name, found, lines))
            say(f"wrote {self.plot}")
        if self.html:
            with new_file(self.html, force=self.force) as stream:
                stream.write(study_html(name, found, lines).encode(errors="backslashreplace"))
            say(f"wrote {self.html}, {self.html.stat().st_size / 1e6:.1f} MB")

    def _draw(self, results: Database, figures: Sequence[Figures], path: Path) -> None:
        from rsuq_cli.reports.comparison import comparison_table
        from rsuq_cli.reports.plots import DETAIL, Subject, parse_panels, save_picture

        panels = parse_panels("masses" if self.masses and self.panels is None else self.panels)
        found = _readings(results, figures, DETAIL)
        masses = _masses(results, figures) if "masses" in panels else []
        by_scoring = {one.figures.scoring_id: one for one in masses}
        subject = Subject(found, _foreign(results, found), comparison_table(figures).title, by_scoring)
        save_picture(path, subject, panels)

    def _compose(self, results: Database, figures: Sequence[Figures], path: Path) -> None:
        from rsuq_cli.files import new_file
        from rsuq_cli.readings.dossier import dossiers
        from rsuq_cli.readings.evidence import reading_keys
        from rsuq_cli.reports.comparison import comparison_table
        from rsuq_cli.reports.page.data import detail_for
        from rsuq_cli.reports.page.file import PageContent, page_html

        found = _readings(results, figures, detail_for(len(reading_keys(figures))))
        galleries = _galleries(results, figures)
        content = PageContent(
            found, figures, comparison_table(figures), _foreign(results, found), galleries,
            _images(found, figures, galleries, self.data_dir), dossiers(results, figures),
            _masses(results, figures),
        )  # fmt: skip
        with new_file(path, force=self.force) as stream:
            stream.write(page_html(content).encode(errors="backslashreplace"))


def _readings(results: Database, figures: Sequence[Figures], detail: Detail) -> list[Reading]:
    from rsuq_cli.readings.evidence import readings

    reporter = Reporter()
    reporter.begin("read evidence", sum({one.run_id: one.inputs for one in figures}.values()))
    try:
        return readings(results, figures, detail, reporter.advance)
    finally:
        reporter.end()


def _masses(results: Database, figures: Sequence[Figures]) -> list[Masses]:
    from rsuq_cli.readings.masses import masses_of

    return masses_of(results, figures)


def _foreign(results: Database, readings: Sequence[Reading]) -> list[Scores]:
    from rsuq_cli.results.exhibits import ood_scores
    from rsuq_cli.run.network.equality import of_same_network, runs_with_scores

    candidates = runs_with_scores(results)
    scored = {run_id: one.run.dataset for one in readings for run_id in of_same_network(one.run, candidates)}
    return [one for run_id, dataset in sorted(scored.items()) for one in ood_scores(results, run_id, dataset)]


def _galleries(results: Database, figures: Sequence[Figures]) -> Galleries:
    from rsuq_cli.reports.page.data import exhibits_for
    from rsuq_cli.results.exhibits import GALLERIES, exhibits

    count = exhibits_for(len(figures))
    return {
        one.scoring_id: {kind: exhibits(results, one.scoring_id, kind, count) for kind in GALLERIES} for one in figures
    }


def _images(
    readings: Sequence[Reading], figures: Sequence[Figures], galleries: Galleries, data_dir: Path | None
) -> dict[int, Images]:
    from rsuq_cli.readings.images import input_images

    runs = {reading.run.id: reading.run for reading in readings}
    wanted: dict[int, dict[int, int]] = {run_id: {} for run_id in runs}
    for one in figures:
        for shown in galleries[one.scoring_id].values():
            wanted[one.run_id] |= {exhibit.input_index: exhibit.label for exhibit in shown}
    return {run_id: input_images(run, wanted[run_id], data_dir) for run_id, run in runs.items()}
