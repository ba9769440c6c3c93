"""Two scorings on common inputs, against pandas."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database
from rsuq_cli.results.pairing import paired
from rsuq_cli.results.writer import add_scoring, start_run, store_samples

RADII = (0.0, 0.2, 0.4)


def scoring(db: Database, made: Any, name: str, inputs: range, seed: int, **run: Any) -> tuple[int, pd.DataFrame]:
    """Stores a scoring of made-up certificates and returns its number and its rows."""
    random = np.random.default_rng(seed)
    run_id = start_run(db, made.run(configuration_hash=name, **run)).id
    scoring_id = add_scoring(db, made.scoring(run_id, rule="plurality"))
    rows = []
    for index in inputs:
        certain = bool(random.random() < 0.8)
        radii = random.uniform(0, 0.6, 3).round(1)
        rows.append(
            made.sample(
                scoring_id,
                index,
                label=index % 2,
                class_index=int(random.integers(2)),
                rule="plurality",
                standard_class=int(random.integers(2)),
                decision="certain" if certain else "undecided",
                radius_standard=radii[0],
                radius_cc=radii[1] if certain else 0.0,
                radius_ncl=radii[2],
            )
        )
    store_samples(db, rows)
    return scoring_id, pd.DataFrame([dataclasses.asdict(row) for row in rows]).set_index("input_index")


def counted(rows: pd.DataFrame, guarantee: str) -> pd.Series[float]:
    right = {
        "standard": rows.standard_class == rows.label, "cc": rows.correct, "ncl": rows.class_index == rows.label,
    }  # fmt: skip
    return rows[f"radius_{guarantee}"].where(right[guarantee], 0.0)


def holds(rows: pd.DataFrame, guarantee: str, radius: float) -> pd.Series[bool]:
    right = {
        "standard": rows.standard_decided & (rows.standard_class == rows.label),
        "cc": rows.correct,
        "ncl": (rows.class_index == rows.label) & (rows.radius_ncl > 0),
    }
    return right[guarantee] & (rows[f"radius_{guarantee}"] >= radius)


def test_figures_are_those_of_the_common_inputs(db: Database, made: Any) -> None:
    first, a = scoring(db, made, "a", range(60), 1)
    second, b = scoring(db, made, "b", range(10, 90), 2)
    found = paired(db, first, second, RADII)
    common = a.index.intersection(b.index)
    assert (found.pairs, found.unpaired) == (50, 40)
    assert (found.first.scoring_id, found.second.scoring_id) == (first, second)
    for one in found.guarantees:
        x, y = (counted(rows.loc[common], one.guarantee) for rows in (a, b))
        assert (one.acr_first, one.acr_second) == pytest.approx((x.mean(), y.mean()))
        test = stats.ttest_rel(y, x)
        interval = test.confidence_interval()
        assert one.acr_difference == pytest.approx(((y - x).mean(), interval.low, interval.high, test.pvalue))
        for share in one.certified:
            p, q = (holds(rows.loc[common], one.guarantee, share.radius) for rows in (a, b))
            assert (share.first, share.second) == pytest.approx((p.mean(), q.mean()))
            assert (share.only_first, share.only_second) == ((p & ~q).sum(), (~p & q).sum())
            assert share.difference.value == pytest.approx(q.mean() - p.mean())
    assert [one.guarantee for one in found.guarantees] == ["standard", "cc", "ncl"]


def test_a_scoring_without_rejection_shares_only_the_standard_guarantee(db: Database, made: Any) -> None:
    first, _ = scoring(db, made, "a", range(5), 1)
    run_id = start_run(db, made.run(configuration_hash="log", kind="import")).id
    second = add_scoring(db, made.scoring(run_id, rule="standard"))
    store_samples(db, [made.sample(second, i, label=i % 2, rule="standard") for i in range(5)])
    assert [one.guarantee for one in paired(db, first, second).guarantees] == ["standard"]


def test_what_cannot_be_paired_is_refused(db: Database, made: Any) -> None:
    first, _ = scoring(db, made, "a", range(5), 1)
    apart, _ = scoring(db, made, "b", range(5, 9), 1)
    elsewhere, _ = scoring(db, made, "c", range(5), 1, dataset="mnist")
    relabelled = add_scoring(db, made.scoring(start_run(db, made.run(configuration_hash="d")).id))
    store_samples(db, [made.sample(relabelled, i, label=1 - i % 2) for i in range(3)])
    empty = add_scoring(db, made.scoring(start_run(db, made.run(configuration_hash="e")).id))
    for other, message in (
        (first, "with itself"), (apart, "no input in common"), (elsewhere, "on digits .* on mnist"),
        (relabelled, "input 0 has another label"), (empty, "no scoring"), (99, "there is no scoring 99"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=message):
            paired(db, first, other)
