"""The figures of the reports agree with a recomputation in pandas, row by row."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.figures import Figures, figures
from rsuq_cli.results.runs import list_runs, run_row
from rsuq_cli.results.writer import add_scoring, start_run, store_inputs, store_samples

RADII = (0.5, 0.0, 0.25, 0.3, 2.0, 0.25)
GRID = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.75])  # hits the radii that are asked for exactly

COUNTER = itertools.count()


@st.composite
def samples(draw: st.DrawFn) -> dict[str, Any]:
    decision = draw(st.sampled_from(["certain", "uncertain", "undecided"]))
    uncertain = draw(st.integers(0, 100))
    return {
        "label": draw(st.integers(0, 2)),
        "class_index": draw(st.integers(0, 2)),
        "standard_class": draw(st.integers(0, 2)),
        "decision": decision,
        "standard_decided": draw(st.booleans()),
        "at_ceiling": draw(st.booleans()),
        "n": draw(st.sampled_from([100, 1000])),
        "certain_count": draw(st.integers(0, 100 - uncertain)),
        "uncertain_count": uncertain,
        "vote_count": draw(st.integers(0, 100)),
        "radius_standard": draw(GRID),
        "radius_cc": draw(GRID) if decision == "certain" else 0.0,
        "radius_ncl": draw(GRID),
        "rule": "plurality",  # no order of the radii: every combination may occur
    }


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with open_for_writing(tmp_path_factory.mktemp("queries") / "a.db") as database:
        yield database


def expected(frame: pd.DataFrame, radii: tuple[float, ...]) -> dict[str, Any]:
    certain = frame.decision == "certain"
    right, standard_right = frame.class_index == frame.label, frame.standard_class == frame.label
    acr_standard = frame.radius_standard.where(standard_right, 0).mean()
    acr_cc = frame.radius_cc.where(certain & right, 0).mean()
    acr_ncl = frame.radius_ncl.where(right, 0).mean()
    return {
        "inputs": len(frame),
        "accuracy": (certain & right).mean(),
        "clean_accuracy": (frame.standard_decided & standard_right).mean(),
        "coverage": certain.mean(),
        "abstention": 1 - certain.mean(),
        "undecided": (frame.decision == "undecided").mean(),
        "accuracy_answered": right[certain].mean() if certain.any() else None,
        "at_ceiling": frame.at_ceiling.mean(),
        "sample_coverage": (1 - frame.uncertain_count / frame.n).mean(),
        "acr_standard": acr_standard,
        "acr_cc": acr_cc,
        "acr_ncl": acr_ncl,
        "gain": acr_ncl / acr_standard - 1 if acr_standard else None,
        "cc_cost": 1 - acr_cc / acr_standard if acr_standard else None,
        "certified_standard": [
            (frame.standard_decided & standard_right & (frame.radius_standard >= r)).mean() for r in radii
        ],
        "certified_cc": [(certain & right & (frame.radius_cc >= r)).mean() for r in radii],
        "certified_ncl": [(right & (frame.radius_ncl >= r) & (frame.radius_ncl > 0)).mean() for r in radii],
    }


@given(rows=st.lists(samples(), min_size=1, max_size=25))
@settings(max_examples=60, deadline=None)
def test_figures_are_what_pandas_computes(shared: Database, made: Any, rows: list[dict[str, Any]]) -> None:
    run_id = start_run(shared, made.run(configuration_hash=str(next(COUNTER)))).id
    scoring_id = add_scoring(shared, made.scoring(run_id, rule="plurality"))
    stored = [made.sample(scoring_id, i, **row) for i, row in enumerate(rows)]
    store_samples(shared, stored)
    (found,) = figures(shared, runs=[run_id], radii=RADII)
    for name, value in expected(pd.DataFrame([dataclasses.asdict(row) for row in stored]), RADII).items():
        got = getattr(found, name)
        if isinstance(value, list):
            assert [point.radius for point in got] == list(RADII)
            assert [point.value for point in got] == pytest.approx(value, abs=1e-12), name
            assert all(point.low <= point.value <= point.high for point in got)
        else:
            assert got == (None if value is None else pytest.approx(value, abs=1e-12)), name


@given(radii=st.lists(st.sampled_from(np.linspace(0, 1, 41).tolist()), max_size=60))
@settings(max_examples=25, deadline=None)
def test_any_number_of_radii_in_any_order(shared: Database, made: Any, radii: list[float]) -> None:
    reach = np.linspace(0, 1, 21)
    run_id = start_run(shared, made.run(configuration_hash="many radii")).id
    scoring_id = add_scoring(shared, made.scoring(run_id))
    store_samples(
        shared,
        [made.sample(scoring_id, i, radius_cc=r, radius_standard=r, radius_ncl=r) for i, r in enumerate(reach)],
    )
    (found,) = figures(shared, runs=[run_id], radii=radii)
    assert [point.value for point in found.certified_cc] == pytest.approx([(reach >= r).mean() for r in radii])


def test_intervals_are_wilsons(scored: Any, made: Any) -> None:
    db, _, scoring_id = scored
    store_samples(db, [made.sample(scoring_id, i, class_index=1 if i < 7 else 2) for i in range(10)])
    (found,) = figures(db, radii=[0.25])
    want = stats.binomtest(7, 10).proportion_ci(method="wilson")
    share = found.intervals["accuracy"]
    assert (share.value, share.low, share.high) == pytest.approx((0.7, want.low, want.high))
    assert found.certified_cc[0][1:] == pytest.approx((0.7, want.low, want.high))


def test_nothing_answered_and_nothing_right_leave_no_ratio(scored: Any, made: Any) -> None:
    db, _, scoring_id = scored
    store_samples(db, [made.sample(scoring_id, 0, label=2, decision="uncertain", radius_cc=0.0)])
    (found,) = figures(db)
    assert (found.accuracy_answered, found.gain, found.cc_cost) == (None, None, None)
    assert (found.coverage, found.abstention, found.certified_cc) == (0.0, 1.0, ())
    assert "accuracy_answered" not in found.intervals


def test_settings_stay_with_the_figures(db: Database, made: Any) -> None:
    from rsuq_cli.results.writer import NewCheckpoint, record_checkpoint

    checkpoint = record_checkpoint(db, NewCheckpoint("cnn", "digits", 0.25, "gaussian", "a", "0", 1.0, 1.0, {}))
    run_id = start_run(db, made.run(checkpoint_id=checkpoint, inputs=9)).id
    scoring = made.scoring(run_id, competitors="auto", family_size=4)
    scoring_id = add_scoring(db, scoring)
    store_samples(db, [made.sample(scoring_id, 0)])
    (found,) = figures(db)
    assert (found.objective, found.checkpoint_id, found.planned, found.inputs) == ("gaussian", checkpoint, 9, 1)
    assert (found.run_id, found.scoring_id, found.threshold_coverage) == (run_id, scoring_id, 0.9)
    for name in ("measure", "threshold", "rule", "competitors", "alpha", "family_size"):
        assert getattr(found, name) == getattr(scoring, name), name
    for name in ("model", "dataset", "split", "skip", "sigma", "n0", "n", "seed", "device", "precision", "kind"):
        assert getattr(found, name) == getattr(made.run(), name), name


@pytest.fixture
def several(db: Database, made: Any) -> Database:
    """Runs 1 to 4, each with the measures entropy and margin, and a scoring without a certificate."""
    differences: list[dict[str, Any]] = [{}, {"model": "mlp"}, {"dataset": "mnist", "sigma": 0.5}, {"kind": "ood"}]
    for number, changes in enumerate(differences):
        run_id = start_run(db, made.run(configuration_hash=str(number), **changes)).id
        for measure in ("entropy", "margin"):
            store_samples(db, [made.sample(add_scoring(db, made.scoring(run_id, measure=measure)), 0)])
        add_scoring(db, made.scoring(run_id, measure="energy"))
    return db


@pytest.mark.parametrize(
    ("wanted", "runs"),
    [
        ({}, [1, 1, 2, 2, 3, 3]),
        ({"kind": None}, [1, 1, 2, 2, 3, 3, 4, 4]),
        ({"kind": "ood"}, [4, 4]),
        ({"runs": [3, 1]}, [1, 1, 3, 3]),
        ({"runs": [99]}, []),
        ({"model": "cnn"}, [1, 1, 3, 3]),
        ({"dataset": "mnist"}, [3, 3]),
        ({"sigma": 0.5, "measure": "margin"}, [3]),
        ({"measure": "energy"}, []),
        ({"dataset": "x' OR 1 = 1; DROP TABLE run; --"}, []),
    ],
)
def test_conditions_select_and_the_order_is_that_of_the_runs(
    several: Database, wanted: dict[str, Any], runs: list[int]
) -> None:
    found = figures(several, **wanted)
    assert [one.run_id for one in found] == runs
    assert [one.scoring_id for one in found] == sorted(one.scoring_id for one in found)
    assert len(list_runs(several)) == 4


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_a_radius_that_is_none_is_refused(db: Database, bad: float) -> None:
    with pytest.raises(BadInput, match="a radius must be a number from 0 up"):
        figures(db, radii=[0.25, bad])


def test_one_scoring_never_sees_the_samples_of_another(db: Database, made: Any) -> None:
    run_id = start_run(db, made.run()).id
    wide, narrow = (add_scoring(db, made.scoring(run_id, threshold=t)) for t in (0.7, 0.1))
    store_samples(db, [made.sample(wide, i) for i in range(3)])
    store_samples(db, [made.sample(narrow, 0, decision="uncertain", radius_cc=0.0)])
    by_scoring: dict[int, Figures] = {one.scoring_id: one for one in figures(db)}
    assert (by_scoring[wide].inputs, by_scoring[wide].accuracy) == (3, 1.0)
    assert (by_scoring[narrow].inputs, by_scoring[narrow].accuracy) == (1, 0.0)


def test_runs_are_listed_with_how_far_they_are(scored: Any, made: Any) -> None:
    store_inputs(scored.db, scored.run_id, [made.evidence(0), made.evidence(1)])
    (row,) = list_runs(scored.db)
    assert row == run_row(scored.db, scored.run_id)
    assert (row.inputs, row.finished, row.scorings) == (4, 2, 1)
    with pytest.raises(BadInput, match="there is no run 99") as caught:
        run_row(scored.db, 99)
    assert "rsuq runs" in caught.value.hint
