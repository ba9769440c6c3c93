"""Pictures show the figures of the tables, and say what they show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image

from rsuq_cli.errors import BadInput
from rsuq_cli.readings.evidence import readings
from rsuq_cli.readings.masses import masses_of
from rsuq_cli.reports.comparison import comparison_table
from rsuq_cli.reports.plots import DETAIL, PANELS, Panel, Subject, check_picture, parse_panels, picture, save_picture
from rsuq_cli.reports.plots_panels import LINES, line_style
from rsuq_cli.results.database import Database
from rsuq_cli.results.exhibits import Scores
from rsuq_cli.results.figures import figures

RNG = np.random.default_rng(0)
SCORES = Scores(1, "digits", "max_vote", RNG.normal(0, 1, 50), {"folder:/far/away/textures": RNG.normal(1, 1, 40)})


def subject(db: Database, scores: tuple[Scores, ...] = (), **selection: Any) -> Subject:
    found = figures(db, radii=(0.0, 0.25), **selection)
    masses = {one.figures.scoring_id: one for one in masses_of(db, found)}
    return Subject(readings(db, found, DETAIL), scores, comparison_table(found).title, masses)


def drawn(subject: Subject, *panels: Panel) -> Figure:
    return picture(subject, panels or PANELS)


def cells(figure: Figure) -> Iterator[SubFigure]:
    return (cell for cell in figure.subfigs if cell.axes)


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def line(axes: Any, label: str) -> tuple[np.ndarray, np.ndarray]:
    (found,) = [one for one in axes.lines if str(one.get_label()).startswith(label)]
    return np.asarray(found.get_xdata()), np.asarray(found.get_ydata())


def test_curves_are_the_certified_curves_of_the_database(results: Database) -> None:
    at = (0.0, 0.1, 0.25, 0.4)
    one = figures(results, runs=[2], radii=at)[0]
    about = Subject(readings(results, [one], DETAIL), (), "")
    (cell,) = cells(drawn(about, "curves"))
    for label, curve in (("standard", one.certified_standard), ("CC", one.certified_cc), ("NCL", one.certified_ncl)):
        radii, shares = line(cell.axes[0], label)
        for point in curve:
            assert shares[radii.tolist().index(point.radius)] == pytest.approx(100 * point.value)


def test_tradeoff_passes_through_the_stored_figures(results: Database) -> None:
    about = subject(results, runs=[1])
    (cell,) = cells(drawn(about, "tradeoff"))
    gain, cost = cell.axes
    for one in (one for one in figures(results, runs=[1]) if one.coverage >= 0.5):
        for axes, value in ((gain, one.gain), (cost, one.cc_cost)):
            x, y = line(axes, one.measure)
            here = np.isclose(x, 100 * one.coverage) & np.isclose(y, 100 * (value or 0))
            assert here.any(), one


def test_every_panel_names_its_axes_with_units_and_the_picture_its_settings(results: Database) -> None:
    figure = drawn(subject(results, (SCORES,), runs=[1]))
    for setting in ("cnn", "digits", "σ = 0.25", "n0 = 20, n = 200", "α = 0.001", "majority"):
        assert setting in figure.get_suptitle()
    for cell in cells(figure):
        labels = [label for axes in cell.axes for label in (axes.get_xlabel(), axes.get_ylabel()) if label]
        known = ("(%)", "(pixel units)", "(larger: more foreign)", "(estimate, a share of the votes)")
        assert all(label.endswith(known) for label in labels), labels
        assert cell.axes[0].get_title()


def test_lines_differ_without_colour() -> None:
    assert len({(str(style.dash), style.marker) for style in LINES}) == len(LINES)
    looks = [line_style(at) for at in range(3 * len(LINES))]
    assert len({(str(one.dash), one.marker) for one in looks}) == len(looks)


def test_masses_are_the_shares_of_the_inputs_that_have_at_most_each(results: Database) -> None:
    about = subject(results, runs=[2])
    (cell, _) = cells(drawn(about, "masses"))
    (_, one) = about.masses.values()  # the cells ascend by threshold
    for label, distribution in (("p, votes", one.p_own), ("q, certain", one.q_own), ("1 − certain", one.q_not_wrong)):
        assert distribution is not None
        x, y = line(cell.axes[0], label)
        for at in (0.2, 0.5, 0.9, 0.995, 1.0):  # a step holds until the next
            assert y[np.flatnonzero(x <= at)[-1]] == pytest.approx(100 * np.mean(distribution.ascending <= at))


def _kind(label: str) -> int:
    return 1 if label.startswith("mass") else 2 if "radius" in label else 0


def test_an_import_is_drawn_with_its_one_radius(results: Database) -> None:
    figure = drawn(subject(results, runs=[3]))
    # Their order is not the same in every matplotlib.
    risk, masses, curves = sorted(cells(figure), key=lambda cell: _kind(cell.axes[0].get_xlabel()))
    assert masses.axes[0].get_xlabel() == "mass (lower bound, as the log proves it)"
    assert legend(masses.axes[0]) == ["p, votes for the label"]
    assert legend(curves.axes[0]) == ["standard, without rejection"]
    assert len(risk.axes[0].lines) == 2


def test_mixed_runs_are_drawn_together(results: Database) -> None:
    assert len(list(cells(drawn(subject(results))))) == 2 + 3 * 4


def test_crowded_pictures_say_what_they_leave_out(results: Database) -> None:
    assert "the first 4 of 7 scorings" in drawn(subject(results)).get_suptitle()
    assert "the first" not in drawn(subject(results), "risk").get_suptitle()


def test_ood_panels_name_sets_and_auroc(results: Database) -> None:
    (cell,) = cells(drawn(subject(results, (SCORES,), runs=[2]), "ood"))
    histogram, curve = cell.axes
    assert legend(histogram) == ["digits, inside", "folder:textures"]
    inside, outside = SCORES.inside, SCORES.outside["folder:/far/away/textures"]
    auroc = np.mean(outside[:, None] > inside[None, :])
    assert legend(curve) == [f"{auroc:.3f}"]


def test_nothing_to_draw_is_refused(results: Database) -> None:
    with pytest.raises(BadInput, match="nothing to draw for tradeoff, ood"):
        drawn(subject(results, runs=[3]), "tradeoff", "ood")


@pytest.mark.parametrize(
    ("suffix", "head"),
    [(".png", b"\x89PNG"), (".svg", b"<?xml"), pytest.param(".pdf", b"%PDF", marks=pytest.mark.slow)],
)
def test_files_are_of_the_kind_that_the_name_says_and_the_same_each_time(
    results: Database, tmp_path: Path, suffix: str, head: bytes
) -> None:
    about = subject(results, runs=[2])
    files = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in files:
        save_picture(path, about, ("curves",))
    assert files[0].read_bytes().startswith(head)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == files


def test_the_look_of_others_is_left_alone(results: Database, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    save_picture(tmp_path / "a.png", subject(results, runs=[2]), ("risk",))
    assert dict(mpl.rcParams) == before
    with Image.open(tmp_path / "a.png") as image:
        assert image.size[0] > 500


def test_panels_are_parsed() -> None:
    assert parse_panels(None) == PANELS
    assert parse_panels("risk, curves") == ("curves", "risk")
    with pytest.raises(BadInput, match="unknown panel 'curve'") as refused:
        parse_panels("curve")
    assert "curves" in refused.value.hint
    with pytest.raises(BadInput, match="names none"):
        parse_panels(" , ")


def test_places_that_take_no_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="names no picture format") as refused:
        check_picture(tmp_path / "a.gif", force=False)
    assert ".svg" in refused.value.hint
    (tmp_path / "a.png").touch()
    with pytest.raises(BadInput, match="exists"):
        check_picture(tmp_path / "a.png", force=False)
    check_picture(tmp_path / "a.png", force=True)
