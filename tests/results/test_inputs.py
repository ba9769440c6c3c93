"""Rows of single inputs, figures by class and shares at the ceiling, against pandas."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rsuq_cli.certificates.method import Method
from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database
from rsuq_cli.results.inputs import SAMPLE_COLUMNS, ceiling_shares, per_class, stream_inputs, where_inputs
from rsuq_cli.results.selection import Selection
from rsuq_cli.results.writer import SampleRow, add_scoring, start_run, store_inputs, store_samples

NAMES = ("cat", "dog", "eel")


@pytest.fixture
def rows(db: Database, made: Any) -> pd.DataFrame:
    """Forty certificates of every kind under scoring 1, and two under scoring 2."""
    random = np.random.default_rng(0)
    run_id = start_run(db, made.run(class_names=NAMES)).id
    for measure in ("entropy", "margin"):
        add_scoring(db, made.scoring(run_id, measure=measure, rule="plurality"))
    stored = [_row(made, random, 1, index) for index in range(40)]
    store_inputs(db, run_id, [made.evidence(i, seconds=i / 8) for i in range(40)], stored)
    store_samples(db, [_row(made, random, 2, index) for index in range(2)])
    return pd.DataFrame([dataclasses.asdict(row) for row in stored])


def _row(made: Any, random: np.random.Generator, scoring_id: int, index: int) -> SampleRow:
    certain = bool(random.random() < 0.7)
    standard, cc, ncl = (float(radius) for radius in random.uniform(0, 0.6, 3))
    row: SampleRow = made.sample(
        scoring_id, index, label=index % 3, class_index=int(random.integers(3)), rule="plurality",
        standard_class=int(random.integers(3)), decision="certain" if certain else "uncertain",
        at_ceiling=bool(random.random() < 0.4), radius_standard=standard, radius_cc=cc if certain else 0.0,
        radius_ncl=ncl,
    )  # fmt: skip
    return row


def test_rows_come_whole_and_in_order(db: Database, rows: pd.DataFrame) -> None:
    found = pd.DataFrame(list(stream_inputs(db, Selection(scorings=[1]))))
    names = list(SAMPLE_COLUMNS)
    pd.testing.assert_frame_equal(found[names], rows[names], check_dtype=False)
    assert (found.label_name == [NAMES[label] for label in found.label]).all()
    assert [row["scoring_id"] for row in stream_inputs(db, Selection())] == [1] * 40 + [2] * 2


def test_seconds_come_where_they_are_asked_for(db: Database, rows: pd.DataFrame) -> None:
    timed = [row["seconds"] for row in stream_inputs(db, Selection(scorings=[1]), timed=True)]
    assert timed == [i / 8 for i in range(len(rows))]
    assert "seconds" not in next(iter(stream_inputs(db, Selection())))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("CC fails at 0.2, NCL holds at 0.3", lambda r: ~(r.correct & (r.radius_cc >= 0.2)) & right(r, 0.3)),
        ("cc holds", lambda r: r.correct),
        ("ncl holds", lambda r: right(r, 0)),
        (
            "standard fails and label = 1",
            lambda r: ~(r.standard_decided & (r.standard_class == r.label)) & (r.label == 1),
        ),
        ("wrong_with_confidence", lambda r: (r.decision == "certain") & (r.class_index != r.label)),
        ("gap > 0.2 and not at_ceiling", lambda r: (r.radius_ncl - r.radius_cc > 0.2) & ~r.at_ceiling),
        ("decision = 'uncertain' or input_index < 3", lambda r: (r.decision == "uncertain") | (r.input_index < 3)),
    ],
)
def test_only_selects_what_it_says(db: Database, rows: pd.DataFrame, written: str, expected: Any) -> None:
    found = [row["input_index"] for row in stream_inputs(db, Selection(scorings=[1]), where_inputs(written))]
    assert found == rows.input_index[expected(rows)].tolist()
    assert 0 < len(found) < len(rows)


def right(rows: pd.DataFrame, radius: float) -> Any:
    return (rows.class_index == rows.label) & (rows.radius_ncl > 0) & (rows.radius_ncl >= radius)


def test_rows_are_sorted_and_limited_by_the_database(db: Database, rows: pd.DataFrame) -> None:
    found = [row["input_index"] for row in stream_inputs(db, Selection(scorings=[1]), sort="-gap", limit=5)]
    gap = rows.radius_ncl - rows.radius_cc
    assert found == gap.sort_values(ascending=False).index[:5].tolist()
    with pytest.raises(BadInput, match="no column 'gapp'"):
        list(stream_inputs(db, Selection(), sort="gapp"))


@pytest.mark.parametrize("written", ["CC fails at x", "cc maybe", "labell = 1", "model like 1 2"])
def test_what_is_no_condition_on_inputs_is_refused(written: str) -> None:
    with pytest.raises(BadInput, match="--only"):
        where_inputs(written)


def test_figures_by_class_are_those_of_its_inputs(db: Database, rows: pd.DataFrame) -> None:
    found = per_class(db, Selection(scorings=[1]))
    assert [(one.label, one.name) for one in found] == [(0, "cat"), (1, "dog"), (2, "eel")]
    for one in found:
        own = rows[rows.label == one.label]
        certain = own.decision == "certain"
        assert one.inputs == len(own)
        assert one.accuracy.value == pytest.approx(own.correct.mean())
        assert one.coverage.value == pytest.approx(certain.mean())
        assert one.wrong_with_confidence.value == pytest.approx((certain & ~own.correct).mean())
        clean = own.standard_decided & (own.standard_class == own.label)
        assert one.clean_accuracy.value == pytest.approx(clean.mean())
        assert one.clean_accuracy.low <= one.clean_accuracy.value <= one.clean_accuracy.high
        assert one.acr_cc == pytest.approx(own.radius_cc.where(own.correct, 0).mean())
        assert one.acr_ncl == pytest.approx(own.radius_ncl.where(own.class_index == own.label, 0).mean())
        assert one.acr_standard == pytest.approx(own.radius_standard.where(own.standard_class == own.label, 0).mean())


def test_shares_at_the_ceiling(db: Database, rows: pd.DataFrame) -> None:
    (one,) = ceiling_shares(db, Selection(scorings=[1]))
    right_class = rows.standard_class == rows.label
    assert one.at_ceiling.value == rows.at_ceiling.mean()
    assert one.of_right == pytest.approx(rows.at_ceiling[right_class].mean())
    radii = rows.radius_standard[right_class]
    assert one.of_acr == pytest.approx(radii[rows.at_ceiling].sum() / radii.sum())
    assert one.ceiling == Method(0.25, 0.001).ceiling(1000)


def test_nothing_right_has_no_share_and_nothing_stored_no_row(db: Database, made: Any) -> None:
    run_id = start_run(db, made.run()).id
    wrong, _ = (add_scoring(db, made.scoring(run_id, measure=measure)) for measure in ("entropy", "margin"))
    store_samples(db, [made.sample(wrong, 0, label=2)])
    (one,) = ceiling_shares(db, Selection())
    assert (one.scoring_id, one.of_right, one.of_acr) == (wrong, None, None)
