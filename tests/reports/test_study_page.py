"""The page of a study: its charts have the figures of the study, its words say what the intervals allow."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import drive
from made_up_study import made_up_study
from sqlalchemy import text

from rsuq_cli.readings.study import SourceFound, study_found
from rsuq_cli.readings.tradeoff import tradeoffs
from rsuq_cli.reports.study.advice import advice, judged, overall, places_of
from rsuq_cli.reports.study.page import study_html
from rsuq_cli.reports.study.plots import study_picture
from rsuq_cli.reports.study.tables import certified_table
from rsuq_cli.results.database import Database, open_for_writing

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"


class Made:
    def __init__(self, db: Database, **names: Any) -> None:
        self.found = study_found(db, made_up_study(db, **names))
        self.lines = tradeoffs(db, self.found)
        self.html = study_html(names.get("name", "made up"), self.found, self.lines)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    with open_for_writing(tmp_path_factory.mktemp("study") / "a.db") as database:
        return Made(database)


def embedded(page: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: list[dict[str, Any]] = json.loads(found[1])
    return data


def test_charts_have_every_source_and_the_oracles_of_the_best(made: Made) -> None:
    data = embedded(made.html)
    assert [network["name"] for network in data] == ["cnn", "mlp"]
    for network, place in zip(data, places_of(made.found), strict=True):
        best = judged(made.found, place, 0.9)
        assert [line["name"] for line in network["lines"]] == [one.figures.measure for one in best]
        stored = [point[2] for point in network["lines"][0]["points"] if point[3]]
        assert best[0].figures.gain == pytest.approx(stored[0], abs=1e-6)
        assert network["oracles"][0] == {
            "calibrated": 0.9, "coverage": best[0].figures.sample_coverage,
            "random": best[0].properties.oracle_random, "easiest": best[0].properties.oracle_easiest,
        }  # fmt: skip


def test_networks_are_compared_by_certified_accuracies_and_masses_at_fixed_places(tmp_path: Path, made: Made) -> None:
    with open_for_writing(tmp_path / "a.db") as database:
        found = study_found(database, made_up_study(database))
        table = certified_table("made up", found)
        assert [record["network"] for record in table.records] == ["cnn", "mlp"]
        for record in table.records:
            with database.read() as connection:
                first = "(SELECT MIN(id) FROM scoring WHERE run_id = :run)"
                statement = text(f"SELECT * FROM certified WHERE scoring_id = {first}")
                rows = pd.read_sql_query(statement, connection, params={"run": record["run_id"]})
            named = rows.standard_class == rows.label
            for radius in (0, 0.25, 0.5, 0.75, 1):
                certified = named & (rows.standard_decided == 1) & (rows.radius_standard >= radius)
                assert record[f"certified_standard@{radius:g}"] == certified.mean()
            mass = (rows.vote_count / rows.n).where(named, 0.0)
            for share in (0.1, 0.25, 0.5, 0.75, 0.9):
                assert record[f"p_own@{share:g}"] == np.quantile(mass, share, method="inverted_cdf")
            assert 0 < record["hardest_right"] < mass.mean()
    assert "study made up: certified accuracy and masses" in made.html


def test_words_name_the_best_and_what_cannot_be_told_apart_from_it(made: Made) -> None:
    for sentence, place in zip(advice(made.found), places_of(made.found), strict=True):
        here = [one for one in made.found if one.place == place and one.coverage == 0.9]
        best = max(here, key=lambda one: one.figures.gain or 0.0)
        assert sentence.startswith(f"{place.network}: {best.figures.measure} gains most at coverage 0.9")
        assert f"{100 * (best.figures.gain or 0):.1f} [" in sentence
        level = sentence.partition("do not tell it apart from ")[2].rstrip(".").split("; ")
        assert [one for one in level if one] == [
            one.figures.measure
            for one in sorted(here, key=lambda one: -(one.figures.gain or 0))[1:]
            if one.ranked and one.ranked.behind.low <= 0
        ]


def test_a_source_for_all_networks_is_the_one_that_is_best_most_often(made: Made) -> None:
    shares: dict[str, list[tuple[float, float, float]]] = {}
    for one in made.found:
        if one.coverage == 0.9 and one.ranked:
            told = (one.ranked.best, one.figures.gain or 0.0, one.figures.cc_cost or 0.0)
            shares.setdefault(one.figures.measure, []).append(told)
    means = {measure: np.mean(values, axis=0) for measure, values in shares.items()}
    first = max(means, key=lambda measure: means[measure][0])
    best, gain, cost = (f"{100 * value:.1f} %" for value in means[first])
    sentence = overall(made.found)
    assert f"begin with {first}: at coverage 0.9 it gains {gain} of NCL radius for {cost} of CC radius" in sentence
    assert f"most of 3 sources in {best} of the resamples" in sentence
    assert sentence in made.html
    # A source that one network lacks has no mean over all of them.
    partial = [one for one in made.found if not (one.figures.measure == first and one.place.network == "mlp")]
    assert f"begin with {first}" not in overall(partial)


def _behind(one: SourceFound, low: float) -> SourceFound:
    assert one.ranked
    return replace(one, ranked=one.ranked._replace(behind=one.ranked.behind._replace(low=low)))


@pytest.mark.parametrize(("low", "said"), [(-0.01, "do not tell it apart"), (0.01, "Every other source is behind")])
def test_an_interval_that_has_zero_leaves_the_order_open(made: Made, low: float, said: str) -> None:
    moved = [_behind(one, low) for one in made.found]
    assert all(said in sentence for sentence in advice(moved))


def test_charts_read_out_and_nothing_is_wider_than_the_window(made: Made, tmp_path: Path) -> None:
    told = drive(
        tmp_path, made.html,
        """
        const charts = [...document.querySelectorAll("#study-charts svg[tabindex]")];
        const said = charts.map((chart) => {
          chart.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
          return document.getElementById("probe").textContent;
        });
        const wide = [...document.querySelectorAll("body *")].filter((one) =>
          !one.closest(".scroll, svg") && one.id !== "probe" && one.getBoundingClientRect().right > innerWidth + 1);
        const before = getComputedStyle(document.body).backgroundColor;
        document.getElementById("theme").click();
        return { said, wide: wide.map((one) => one.tagName + "." + one.className),
                 themes: [before, getComputedStyle(document.body).backgroundColor] };
        """,
        width=500,
    )  # fmt: skip
    assert len(told["said"]) == 4
    assert all("gain" in one for one in told["said"])
    assert told["wide"] == []
    assert told["themes"][0] != told["themes"][1]


def test_hostile_names_stay_text(db: Database, tmp_path: Path) -> None:
    made = Made(db, name=HOSTILE, networks=(HOSTILE,))
    told = drive(
        tmp_path, made.html,
        'return [document.title, document.querySelector("#study-charts h3").textContent, document.images.length];',
    )  # fmt: skip
    assert told == [f"rsuq study {HOSTILE}", HOSTILE, 0]


def test_the_picture_draws_the_same_lines(made: Made) -> None:
    figure = study_picture("made up", made.found, made.lines)
    assert len(figure.axes) == 4
    for axes, network in zip(figure.axes[::2], embedded(made.html), strict=True):
        assert axes.get_title(loc="center") == network["name"]
        for line in network["lines"]:
            (drawn,) = [one for one in axes.lines if one.get_label() == line["name"]]
            assert np.asarray(drawn.get_ydata(), dtype=float) == pytest.approx(
                [100 * point[2] for point in line["points"]]
            )
