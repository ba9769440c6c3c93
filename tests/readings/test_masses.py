"""Masses against pandas over the stored certificates and a count of the evidence by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_up import imported_run, made_up_run
from scipy.stats import norm

from rsuq_cli.certificates.evidence import decode
from rsuq_cli.readings.masses import QUANTILES, masses_of
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import figures
from rsuq_cli.results.writer import load_evidence


def stored(db: Database, scoring: int) -> pd.DataFrame:
    with db.read() as connection:
        return pd.read_sql(f"SELECT * FROM certified_sample WHERE scoring_id = {scoring}", connection)


def smallest_reached(values: pd.Series, share: float) -> float:
    """Returns the smallest value that so large a share of the values is no larger than."""
    ordered = np.sort(values.to_numpy(dtype=float))
    return float(next(value for value in ordered if (ordered <= value).mean() >= share - 1e-12))


@pytest.mark.parametrize("rule", ["majority", "plurality", "filtered"])
def test_quantiles_are_those_of_the_stored_votes(db: Database, rule: str) -> None:
    made_up_run(db, rule=rule, coverages=(0.8,), inputs=range(47))
    for one in masses_of(db, figures(db, radii=[0.0, 0.25])):
        rows = stored(db, one.figures.scoring_id)
        own, named = rows.standard_class == rows.label, rows.class_index == rows.label
        expected = {
            "p_own": (rows.vote_count / rows.n).where(own, 0.0),
            "q_own": (rows.certain_count / rows.n).where(named, 0.0),
            "q_not_wrong": ((rows.certain_count + rows.uncertain_count) / rows.n).where(named, 0.0),
        }
        for name, values in expected.items():
            distribution = getattr(one, name)
            assert distribution is not None
            assert distribution.quantiles == pytest.approx([smallest_reached(values, share) for share in QUANTILES])
        assert len({getattr(one, name).quantiles for name in expected}) == 3
        assert one.median_standard == pytest.approx(rows.radius_standard.where(own, 0.0).median())
        assert one.median_ncl == pytest.approx(rows.radius_ncl.where(named, 0.0).median())
        assert one.gain_in_median == pytest.approx(one.median_ncl / one.median_standard - 1)


def test_the_curve_is_the_share_of_inputs_that_has_at_most_each_mass(db: Database) -> None:
    made_up_run(db, coverages=(0.8,), inputs=range(47), measures=("entropy",))
    (one,) = masses_of(db, figures(db))
    rows = stored(db, one.figures.scoring_id)
    p = (rows.vote_count / rows.n).where(rows.standard_class == rows.label, 0.0)
    masses, shares = one.p_own.curve()
    assert masses.tolist() == sorted(set(p))
    assert shares == pytest.approx([(p <= mass).mean() for mass in masses])
    assert not one.proven


def test_the_hardest_quarter_is_that_with_the_fewest_right_samples(db: Database) -> None:
    run = made_up_run(db, inputs=range(30), measures=("entropy",), coverages=(0.9,))
    (one,) = masses_of(db, figures(db))
    right = []
    for row in load_evidence(db, run):
        counts = decode(row.counts)["entropy"].estimation
        right.append(counts[row.label].sum() / counts.sum())
    expected = np.mean(sorted(right)[:8])  # a quarter of 30, rounded
    assert one.hardest_right == pytest.approx(expected)
    assert 0 < expected < np.mean(right)


def test_of_an_imported_log_there_is_what_its_radii_prove(db: Database) -> None:
    imported_run(db)
    (one,) = masses_of(db, figures(db))
    rows = stored(db, one.figures.scoring_id)
    radius = rows.radius_standard.where((rows.standard_class == rows.label) & (rows.radius_standard > 0))
    proven = pd.Series(norm.cdf(radius / 0.25)).where(radius.notna(), 0.0)
    assert one.p_own.quantiles == pytest.approx([smallest_reached(proven, share) for share in QUANTILES])
    assert (one.q_own, one.q_not_wrong, one.gain_in_median, one.hardest_right) == (None, None, None, None)
    assert one.proven


def test_without_rejection_there_is_one_mass(db: Database) -> None:
    made_up_run(db, rule="standard", coverages=(0.9,), measures=("entropy",))
    (one,) = masses_of(db, figures(db))
    assert (one.q_own, one.q_not_wrong, one.gain_in_median) == (None, None, None)
    assert one.hardest_right is not None
