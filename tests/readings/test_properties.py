"""Properties against the samples themselves, one by one, and scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from made_up import made_up_run
from scipy import stats
from sklearn.metrics import roc_auc_score

from rsuq_cli.certificates.evidence import decode
from rsuq_cli.readings.properties import calibration_of, properties_of
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import Figures, figures
from rsuq_cli.results.writer import load_edges, load_evidence

GRID = np.linspace(0, 1, 21)


@dataclass
class Input:
    """The samples of one input: class and bin of each, and its label."""

    classes: npt.NDArray[np.int64]
    bins: npt.NDArray[np.int64]
    label: int

    @property
    def own(self) -> int:
        return int(np.bincount(self.classes).argmax())

    @property
    def dissents(self) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = self.classes != self.own
        return found


def samples(db: Database, one: Figures, measure: str | None = None) -> list[Input]:
    found = []
    for row in load_evidence(db, one.run_id):
        counts = decode(row.counts)[measure or one.measure].estimation
        classes, bins = (np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape))
        found.append(Input(classes, bins, row.label))
    return found


def threshold_of(one: Figures) -> float:
    assert one.threshold is not None
    return one.threshold


@pytest.fixture
def scored(db: Database) -> list[Figures]:
    made_up_run(db, inputs=range(40), measures=("entropy", "confidence"), coverages=(0.9, 0.6))
    return figures(db)


def test_samples_of_an_input_are_told_apart_as_scikit_learn_has_it(db: Database, scored: list[Figures]) -> None:
    for one in scored:
        each = [
            roc_auc_score(given.dissents, given.bins)
            for given in samples(db, one)
            if given.dissents.any() and not given.dissents.all()
        ]
        assert len(each) > 20
        assert properties_of(db, one).separation_within == pytest.approx(np.mean(each))


def test_what_is_rejected_is_counted_sample_by_sample(db: Database, scored: list[Figures]) -> None:
    for one in scored:
        rejected = dissenting = easy = 0
        edges = load_edges(db, one.run_id)[one.measure][0]
        at = int(np.searchsorted(edges, threshold_of(one)))
        for given in samples(db, one):
            out = given.bins > at
            rejected += int(out.sum())
            dissenting += int((out & given.dissents).sum())
            easy += int((out & given.dissents).sum()) * bool(given.dissents.mean() < 0.1)
        found = properties_of(db, one)
        assert found.rejected_dissent == pytest.approx(dissenting / rejected)
        assert found.rejected_easy == pytest.approx(easy / dissenting)


def test_the_variance_within_and_between_inputs_is_the_whole(db: Database, scored: list[Figures]) -> None:
    middles = np.concatenate([[0.0], (GRID[1:] + GRID[:-1]) / 2, [1.0]])
    for one in scored:
        values = [middles[given.bins] for given in samples(db, one)]
        within = np.mean([one.var() for one in values])
        whole = np.concatenate(values).var()  # all inputs have as many samples
        assert properties_of(db, one).within_share == pytest.approx(within / whole, rel=1e-5)


def radius(count: int, n: int, sigma: float, alpha: float) -> float:
    lower = stats.beta.ppf(alpha, count, n - count + 1) if count else 0.0
    return max(0.0, sigma * float(stats.norm.ppf(lower)))


def test_the_oracles_reject_dissenters_of_right_inputs_alone(db: Database, scored: list[Figures]) -> None:
    one = scored[0]
    edges = load_edges(db, one.run_id)[one.measure][0]
    at = int(np.searchsorted(edges, threshold_of(one)))
    given = samples(db, one)
    budget = sum(int((each.bins > at).sum()) for each in given)
    right = [each for each in given if each.own == each.label]
    dissent = [int(each.dissents.sum()) for each in right]
    n = len(right[0].bins)
    before = sum(radius(n - d, n, one.sigma, one.alpha) for d in dissent)
    share = min(1.0, budget / sum(dissent))
    random = sum(radius(round(n - d + share * d), n, one.sigma, one.alpha) for d in dissent)
    left, easiest = budget, 0.0
    for d in sorted(dissent):
        taken = min(d, left)
        left -= taken
        easiest += radius(n - d + taken, n, one.sigma, one.alpha)
    found = properties_of(db, one)
    assert found.oracle_random == pytest.approx(random / before - 1, rel=0.02)
    assert found.oracle_easiest == pytest.approx(easiest / before - 1)
    assert found.oracle_random is not None
    assert easiest / before - 1 > found.oracle_random


def test_calibration_is_the_distance_from_how_often_it_is_right(db: Database, scored: list[Figures]) -> None:
    one = scored[0]
    given = samples(db, one)
    stated = np.array([1 - each.dissents.mean() for each in given])
    right = np.array([each.own == each.label for each in given])
    expected = 0.0
    for low in np.arange(10) / 10:
        inside = (stated >= low) & ((stated < low + 0.1) | (low == 0.9))
        if inside.any():
            expected += inside.mean() * abs(stated[inside].mean() - right[inside].mean())
    found = calibration_of(db, one)
    assert found.votes == pytest.approx(expected)
    middles = np.concatenate([[0.0], (GRID[1:] + GRID[:-1]) / 2, [1.0]])
    single = samples(db, one, "confidence")
    confidence = np.concatenate([1 - middles[each.bins] for each in single])
    correct = np.concatenate([each.classes == each.label for each in single])
    bins = np.minimum((confidence * 10 + 1e-9).astype(int), 9)
    expected = sum(abs((confidence - correct)[bins == at].sum()) for at in range(10)) / len(correct)
    assert found.softmax == pytest.approx(expected, abs=0.02)


def test_where_nothing_is_rejected_nothing_is_said_of_rejections(db: Database) -> None:
    made_up_run(db, inputs=range(8), measures=("entropy",), coverages=(1.0,))
    (one,) = figures(db)
    found = properties_of(db, one)
    assert (found.rejected_dissent, found.rejected_easy) == (None, None)
    assert (found.oracle_random, found.oracle_easiest) == (0.0, 0.0)
