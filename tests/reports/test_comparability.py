"""Settings that make figures incomparable are said, others are not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rsuq_cli.reports.comparability import differences
from rsuq_cli.results.figures import Figures

BASE: dict[str, Any] = dict.fromkeys(Figures.__dataclass_fields__) | {
    "run_id": 1, "kind": "certify", "dataset": "digits", "split": "test", "skip": 1, "subset_sha256": "a" * 64,
    "rule": "majority", "competitors": "merged", "alpha": 0.001, "bounds_version": 2,
    "family_size": 1, "n": 1000, "n0": 100, "inputs": 360,
    "sigma": 0.25, "model": "cnn", "measure": "entropy", "threshold": 0.2, "draws_at_max": 1.0,
}  # fmt: skip


def said(**changes: Any) -> list[str]:
    one = Figures(**BASE)
    return differences([one, replace(one, run_id=2, **changes)])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"alpha": 0.01}, "α differs (0.001, 0.01)"),
        ({"family_size": 4}, "α differs (0.001, 0.00025)"),
        ({"n": 100_000}, "n differs (1,000, 100,000)"),
        ({"n0": 10}, "n0 differs (100, 10)"),
        ({"draws_at_max": 0.1}, "when inputs stop differs (at n, once decided)"),
        ({"rule": "plurality"}, "the rule differs (majority, plurality)"),
        ({"competitors": "class-wise"}, "how competitors are bounded differs"),
        ({"competitors": "class-wise", "bounds_version": 1}, "class-wise (one bound each)"),
        ({"dataset": "mnist"}, "the data set differs (digits, mnist)"),
        ({"skip": 20, "inputs": 18}, "the subset of digits differs (360 test inputs, every 20th, 18 test inputs)"),
        ({"inputs": 100}, "the subset of digits differs (360 test inputs, 100 test inputs)"),
        ({"subset_sha256": "b" * 64}, "digest aaaaaaaa, 360 test inputs with digest bbbbbbbb)"),
    ],
)
def test_what_differs_is_said_once(changes: dict[str, Any], expected: str) -> None:
    (sentence,) = said(**changes)
    assert expected in sentence


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "mlp", "sigma": 0.5, "measure": "margin", "threshold": 0.7, "objective": "adversarial"},
        {"alpha": 0.004, "family_size": 4},
        # A log has no images: its digest says nothing about theirs.
        {"kind": "import", "subset_sha256": "c" * 64, "draws_at_max": 0.0},
    ],
)
def test_what_an_experiment_varies_is_no_difference(changes: dict[str, Any]) -> None:
    assert said(**changes) == []
