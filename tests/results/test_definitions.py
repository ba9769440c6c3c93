"""SQL and numpy give the same figures, every one of the table, whatever was certified."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from rsuq_cli.certificates.certificate import DECISIONS, Certificates
from rsuq_cli.certificates.definitions import CURVES, FIGURES, TERMS, Judged, Measured, evaluated, summed
from rsuq_cli.certificates.figures import figures as figures_of
from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.figures import figures
from rsuq_cli.results.writer import add_scoring, start_run, store_samples

RADII = (0.0, 0.25, 0.3, 2.0)
COUNTER = itertools.count()
WRONG = {"label": 2, "class_index": 1, "standard_class": 1}
NOTHING = {"decision": "undecided", "standard_decided": False, "radius_standard": 0.0, "radius_cc": 0.0,
           "radius_ncl": 0.0}  # fmt: skip


@st.composite
def samples(draw: st.DrawFn) -> dict[str, Any]:
    decision, uncertain = draw(st.sampled_from(DECISIONS)), draw(st.integers(0, 100))
    radius = st.sampled_from([0.0, 0.25, 0.3]) | st.floats(0, 3)
    return {
        "label": draw(st.integers(0, 2)), "class_index": draw(st.integers(0, 2)),
        "standard_class": draw(st.integers(0, 2)), "decision": decision, "standard_decided": draw(st.booleans()),
        "at_ceiling": draw(st.booleans()), "n": draw(st.sampled_from([100, 1000])),
        "certain_count": draw(st.integers(0, 100 - uncertain)), "uncertain_count": uncertain,
        "vote_count": draw(st.integers(0, 100)),
        "radius_standard": draw(radius), "radius_cc": draw(radius) if decision == "certain" else 0.0,
        "radius_ncl": draw(radius),
    }  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with open_for_writing(tmp_path_factory.mktemp("definitions") / "a.db") as database:
        yield database


def certificates_of(rows: list[Any]) -> Certificates:
    names = set(Certificates.__dataclass_fields__) - {"decision", "class_wise", "bounds"}
    columns = {name: np.array([getattr(row, name) for row in rows]) for name in names}
    columns["radius_explicit"] = columns["radius_explicit"].astype(np.float64)
    decision = np.array([DECISIONS.index(row.decision) for row in rows])
    return Certificates(**columns, decision=decision, class_wise=np.zeros(len(rows), dtype=bool), bounds={})


# Nothing answered, nothing right, and no standard radius: every denominator that can be empty is.
@example(rows=[WRONG | NOTHING], explicit=None)
@example(rows=[WRONG | NOTHING, {"decision": "uncertain", "radius_cc": 0.0}], explicit=0.5)
@given(rows=st.lists(samples(), min_size=1, max_size=20), explicit=st.none() | st.floats(0, 3))
@settings(max_examples=60, deadline=None)
def test_sql_and_numpy_give_the_same_figures(
    shared: Database, made: Any, rows: list[dict[str, Any]], explicit: float | None
) -> None:
    run_id = start_run(shared, made.run(configuration_hash=str(next(COUNTER)))).id
    scoring_id = add_scoring(shared, made.scoring(run_id, rule="plurality"))
    # One scoring has the baseline with explicit competitors for all of its inputs, or for none.
    explicits = [None if explicit is None else explicit * (i + 1) for i in range(len(rows))]
    stored = [
        made.sample(scoring_id, i, rule="plurality", radius_explicit=explicits[i], **row) for i, row in enumerate(rows)
    ]
    store_samples(shared, stored)
    (found,) = figures(shared, runs=[run_id], radii=RADII)
    expected = figures_of([row.label for row in stored], certificates_of(stored), radii=RADII)
    names = [one.name for one in FIGURES]
    assert list(found.values) == list(expected.values) == names
    for name in names:
        value = expected.values[name]
        assert found.values[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), name
        assert getattr(found, name) == found.values[name]
    assert set(found.intervals) == set(expected.intervals)
    assert set(found.intervals) >= {one.name for one in FIGURES if one.counts and one.whole == "inputs"}
    for name, share in expected.intervals.items():
        assert found.intervals[name] == pytest.approx(share), name
    for name in CURVES:
        curve = getattr(expected, name)
        points = np.array([point[1:] for point in getattr(found, name)])
        np.testing.assert_allclose(points, np.stack([curve.value, curve.low, curve.high], axis=1), atol=1e-12)
    with shared.read() as connection:
        view = connection.execute(text("SELECT * FROM run_summary WHERE scoring_id = :id"), {"id": scoring_id})
        row = view.mappings().one()
    of_the_view = [name for name in names if name in row]
    assert {"accuracy", "coverage", "acr_ncl", "gain", "cc_cost", "acr_explicit", "gain_explicit"} <= set(of_the_view)
    for name in of_the_view:
        value = found.values[name]
        assert row[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=1e-12)), name


def test_an_unknown_figure_is_known_again_at_another_threshold() -> None:
    sums = {name: np.array([0.0, 2.0]) for name in TERMS} | {"inputs": np.array([4, 4])}
    values = evaluated(sums)
    unknown = {"accuracy_answered", "gain", "cc_cost", "acr_explicit", "gain_explicit"}
    assert {name for name, value in values.items() if np.isnan(value[0])} == unknown
    assert not any(np.isnan(value[1]) for value in values.values())
    assert (values["gain"][1], values["cc_cost"][1], values["acr_ncl"][1]) == (0.0, 0.0, 0.5)


def test_an_average_of_infinite_radii_leaves_no_ratio() -> None:
    values = evaluated(dict.fromkeys(TERMS, np.inf) | {"inputs": 1})
    assert np.isnan(values["gain"])


def test_every_term_is_one_value_for_each_input(made: Any) -> None:
    rows = [made.sample(1, i) for i in range(3)]
    judged = Judged(certificates_of(rows), np.array([1, 1, 2]))
    for name, term in TERMS.items():
        assert np.asarray(term.values(judged)).shape == (3,), name
    assert summed(judged)["inputs"] == 3


def test_what_the_type_checker_is_told_is_the_table() -> None:
    import ast
    import inspect

    (told,) = [node for node in ast.walk(ast.parse(inspect.getsource(Measured))) if isinstance(node, ast.If)][:1]
    names = {
        node.target.id for node in told.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert names <= {one.name for one in FIGURES}
