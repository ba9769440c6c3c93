"""ROC curves against scikit-learn, ties included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from rsuq_cli.reports.roc import roc

VALUES = st.lists(st.integers(0, 6), min_size=1, max_size=30)


@given(VALUES, VALUES)
def test_roc_is_that_of_scikit_learn(inside: list[int], outside: list[int]) -> None:
    drawn = roc(np.array(inside, float), np.array(outside, float))
    truth, scores = [0] * len(inside) + [1] * len(outside), inside + outside
    false_alarms, found, _ = roc_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(drawn.false_alarms, false_alarms)
    np.testing.assert_allclose(drawn.found, found)
    assert drawn.auroc == pytest.approx(roc_auc_score(truth, scores))


def test_curve_begins_at_nothing_and_ends_at_everything() -> None:
    drawn = roc(np.array([0.0, 1.0]), np.array([2.0]))
    assert (drawn.false_alarms[0], drawn.found[0]) == (0, 0)
    assert (drawn.false_alarms[-1], drawn.found[-1]) == (1, 1)
    assert drawn.auroc == 1
