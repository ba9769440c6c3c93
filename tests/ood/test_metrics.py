"""Detection metrics against scikit-learn, hand-made ties, and counting pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from rsuq_cli.ood.metrics import metrics, weighted_metrics

# Few distinct values, so that ties are the rule.
SCORES = st.lists(st.integers(0, 6), min_size=2, max_size=30)


@settings(max_examples=60, deadline=None)
@given(SCORES, SCORES)
def test_metrics_are_those_of_scikit_learn(inside: list[int], outside: list[int]) -> None:
    found = metrics(inside, outside)
    truth = np.array([0] * len(inside) + [1] * len(outside))
    scores = np.array([*inside, *outside], dtype=float)
    assert found.auroc[0] == pytest.approx(roc_auc_score(truth, scores))
    assert found.aupr_out[0] == pytest.approx(average_precision_score(truth, scores))
    assert found.aupr_in[0] == pytest.approx(average_precision_score(1 - truth, -scores))
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found.fpr95_ood_positive[0] == pytest.approx(false[np.argmax(true >= 0.95 - 1e-12)])
    assert found.detection_accuracy[0] == pytest.approx(max(0.5 * (true + 1 - false)))
    false, true, _ = roc_curve(1 - truth, -scores, drop_intermediate=False)
    assert found.fpr95_id_positive[0] == pytest.approx(false[np.argmax(true >= 0.95 - 1e-12)])


@settings(max_examples=40, deadline=None)
@given(SCORES, SCORES)
def test_auroc_counts_the_pairs(inside: list[int], outside: list[int]) -> None:
    wins = sum((b > a) + 0.5 * (a == b) for a in inside for b in outside)
    assert metrics(inside, outside).auroc[0] == pytest.approx(wins / len(inside) / len(outside))


def test_all_scores_tied() -> None:
    found = metrics([1.0, 1.0, 1.0], [1.0, 1.0])
    assert found.auroc[0] == found.detection_accuracy[0] == 0.5
    assert found.fpr95_ood_positive[0] == found.fpr95_id_positive[0] == 1
    # Precision of a guess is the share of the class.
    assert (found.aupr_out[0], found.aupr_in[0]) == (pytest.approx(0.4), pytest.approx(0.6))


def test_a_tie_by_hand() -> None:
    # Pairs: 1 against 2, 3 wins both; 2 against 2 ties, against 3 wins.
    found = metrics([1.0, 2.0], [2.0, 3.0])
    assert found.auroc[0] == 3.5 / 4
    assert found.fpr95_ood_positive[0] == 0.5  # both of the outside reach 2, and so does one of the inside
    assert found.fpr95_id_positive[0] == 0.5
    assert (found.detection_accuracy[0], found.threshold[0]) == (0.75, 2.0)


def test_exactly_95_percent_suffices() -> None:
    outside = np.arange(20.0)
    assert metrics([0.5, 0.6], outside).fpr95_ood_positive[0] == 0.0  # 19 of 20 reach 1
    assert metrics([0.0, 1.0], outside).fpr95_ood_positive[0] == 0.5
    assert metrics(-outside, [-0.5, -0.6]).fpr95_id_positive[0] == 0.0


def test_the_threshold_gives_the_detection_accuracy() -> None:
    random = np.random.default_rng(0)
    inside, outside = random.normal(0, 1, 300), random.normal(1, 1, 200)
    found = metrics(inside, outside)
    flagged = [(side >= found.threshold[0]).mean() for side in (inside, outside)]
    assert found.detection_accuracy[0] == pytest.approx(0.5 * (1 - flagged[0] + flagged[1]))


def test_weights_stand_for_repeated_inputs() -> None:
    random = np.random.default_rng(1)
    inside, outside = random.integers(0, 9, 40).astype(float), random.integers(3, 12, 50).astype(float)
    own, other = random.integers(0, 4, (70, 40)), random.integers(0, 4, (70, 50))
    found = weighted_metrics(inside, outside, own, other)
    for row in (0, 31, 32, 69):
        repeated = metrics(np.repeat(inside, own[row]), np.repeat(outside, other[row]))
        assert {k: v[row] for k, v in vars(found).items()} == pytest.approx(
            {k: v[0] for k, v in vars(repeated).items()}
        )


@pytest.mark.parametrize(
    ("inside", "outside"),
    [([1.0], [1.0, 2.0]), ([1.0, 2.0], []), ([1.0, np.nan], [1.0, 2.0]), ([[1.0, 2.0]], [1.0, 2.0])],
)
def test_what_has_no_order_is_refused(inside: list[float], outside: list[float]) -> None:
    with pytest.raises(ValueError, match=r"two|NaN"):
        metrics(inside, outside)
