"""A database of results to test with, and rows that satisfy every constraint unless a test changes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from rsuq_cli.results.database import Database
from rsuq_cli.results.writer import (
    EvidenceRow,
    NewRun,
    NewScoring,
    SampleRow,
    StoredEdges,
    add_scoring,
    start_run,
)

EDGES = {"entropy": StoredEdges(np.array([0.1, 0.2, 0.7]), np.array([0.5, 0.9, 1.0]))}


class Made(NamedTuple):
    """Factories of valid rows; keyword arguments replace columns."""

    run: Callable[..., NewRun]
    scoring: Callable[..., NewScoring]
    evidence: Callable[..., EvidenceRow]
    sample: Callable[..., SampleRow]


class Scored(NamedTuple):
    """A database with one run and one scoring, nothing certified yet."""

    db: Database
    run_id: int
    scoring_id: int


def make_run(**changes: Any) -> NewRun:
    columns: dict[str, Any] = {
        "kind": "certify", "model": "cnn", "dataset": "digits", "split": "test", "skip": 1, "subset_limit": None,
        "inputs": 4, "subset_sha256": "5" * 64, "sigma": 0.25, "n0": 100, "n": 1000, "seed": 0, "device": "cpu",
        "precision": "fp32", "versions": {"torch": "2"}, "configuration": {"sigma": 0.25},
        "configuration_hash": "c" * 64, "edges": EDGES,
    }  # fmt: skip
    return NewRun(**(columns | changes))


def make_scoring(run_id: int, **changes: Any) -> NewScoring:
    columns: dict[str, Any] = {
        "run_id": run_id, "measure": "entropy", "threshold": 0.2, "coverage": 0.9, "rule": "majority",
        "competitors": "merged", "alpha": 0.001,
    }  # fmt: skip
    return NewScoring(**(columns | changes))


def make_evidence(input_index: int, **changes: Any) -> EvidenceRow:
    columns: dict[str, Any] = {"label": 1, "n0": 100, "n": 1000, "counts": b"\x00counts", "seconds": 0.25}
    return EvidenceRow(input_index, **(columns | changes))


def make_sample(scoring_id: int, input_index: int, **changes: Any) -> SampleRow:
    columns: dict[str, Any] = {
        "label": 1, "class_index": 1, "standard_class": 1, "decision": "certain", "standard_decided": True,
        "at_ceiling": False, "n": 1000, "certain_count": 900, "uncertain_count": 50, "vote_count": 940,
        "radius_standard": 0.3, "radius_cc": 0.25, "radius_ncl": 0.375, "radius_uncertain": 0.0, "rule": "majority",
        "competitors": "merged",
    }  # fmt: skip
    return SampleRow(scoring_id, input_index, **(columns | changes))


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RSUQ_DB", raising=False)
    monkeypatch.delenv("RSUQ_BUSY_TIMEOUT", raising=False)


@pytest.fixture(scope="session")
def made() -> Made:
    return Made(make_run, make_scoring, make_evidence, make_sample)


@pytest.fixture
def scored(db: Database) -> Scored:
    run_id = start_run(db, make_run()).id
    return Scored(db, run_id, add_scoring(db, make_scoring(run_id)))
