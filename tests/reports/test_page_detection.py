"""Inputs from elsewhere: stored figures with their intervals, what is guaranteed rounded down, or that nobody tried."""

from __future__ import annotations

from made_up import made_up_run
from made_up_trials import CLEAN, SMOOTHED, made_up_detection

from rsuq_cli.readings.dossier import Dossier, dossiers
from rsuq_cli.reports.page.detection import MOST_DETECTIONS, detections_html, promises_data
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import figures


def gathered(db: Database) -> list[Dossier]:
    return dossiers(db, figures(db))


def test_a_table_for_each_run_that_says_which(db: Database) -> None:
    made_up_run(db, measures=("entropy",), coverages=(0.9,))
    made_up_detection(db, sets=("folder:/far/away/scenes",), name="the scenes", warnings=["3 <copies>"])
    page = detections_html(gathered(db))
    assert "the scenes: run 2, cnn on digits (3 inputs), σ = 0.25, n = 200" in page
    assert "folder:scenes (far)" in page
    assert f"<td>87.5<small>75.0 to 93.8</small><small>{CLEAN}</small></td><td>50.0</td>" in page
    assert f"<td>100.0<small>90.0 to 100.0</small><small>{SMOOTHED}</small></td>" in page
    assert "<td>25.0<small>12.5 to 37.5</small></td><td>+12.5<small>+6.2 to +18.8</small></td>" in page
    assert f"<td>57.0<small>at r = 0.25</small><small>{SMOOTHED}</small></td>" in page
    assert "Warning: 3 &lt;copies&gt;" in page


def test_none_is_an_answer(db: Database) -> None:
    made_up_run(db, measures=("entropy",), coverages=(0.9,))
    made_up_detection(db, weights_sha256="e" * 64, number=1)
    made_up_detection(db, model="mlp", number=2)
    found = [one for one in gathered(db) if one.run.model == "cnn"]
    assert "run 3" not in detections_html(found)
    (made_of_others,) = dossiers(db, [one for one in figures(db) if one.run_id == 1])
    assert made_of_others.detections == found[0].detections


def test_what_is_guaranteed_goes_to_the_chart_by_radius(db: Database) -> None:
    made_up_run(db, measures=("entropy",), coverages=(0.9,))
    made_up_detection(db, sets=("noise:smooth", "constant"))
    (promise,) = promises_data(gathered(db))
    assert promise["name"] == f"run 2, {SMOOTHED}"
    assert [one["name"] for one in promise["sets"]] == ["noise:smooth", "constant"]
    assert [(p["radius"], p["one"], p["both"]) for p in promise["sets"][0]["points"]] == [
        (0.0, 0.79999, 0.399995), (0.25, 0.57, 0.285), (0.5, 0.0, 0.0)
    ]  # fmt: skip
    assert promise["sets"][0]["points"][0]["text"] == "79.9 %, both sides moved 39.9 %"
    assert promise["sets"][0]["points"][1]["text"] == "57.0 %, both sides moved 28.5 %"


def test_of_many_runs_the_newest_are_shown_once_and_the_rest_named(db: Database) -> None:
    for seed in (0, 1):
        made_up_run(db, measures=("entropy",), coverages=(0.9,), seed=seed, inputs=range(3))
    made = [made_up_detection(db, number=number) for number in range(MOST_DETECTIONS + 2)]
    page = detections_html(gathered(db))
    assert page.count("<h3>") == MOST_DETECTIONS
    assert f"2 older runs are left out: {made[0]}, {made[1]}" in page
    assert len(promises_data(gathered(db))) == MOST_DETECTIONS
