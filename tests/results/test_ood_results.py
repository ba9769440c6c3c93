"""Scores and metrics of out-of-distribution runs, written and read back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from rsuq_cli.results.database import Database
from rsuq_cli.results.ood_queries import Estimate, ood_runs
from rsuq_cli.results.ood_writer import (
    DIFFERENCE,
    MetricRow,
    newest_held_out_checkpoint,
    replace_metrics,
    store_scores,
)
from rsuq_cli.results.writer import NewCheckpoint, add_scoring, record_checkpoint, start_run

INDICES = np.array([3, 8, 21])


@pytest.fixture
def ood(db: Database, made: Any) -> Any:
    """A run and its scoring."""
    run_id = start_run(db, made.run(kind="ood")).id
    return run_id, add_scoring(db, made.scoring(run_id))


def stored(db: Database, statement: str) -> list[tuple[Any, ...]]:
    with db.read() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def test_scores_are_rows_and_stay_as_they_are(db: Database, ood: Any) -> None:
    run_id, _ = ood
    store_scores(db, run_id, "constant", INDICES, {"clean:energy": np.array([0.5, 0.25, 1.5])})
    store_scores(db, run_id, "constant", INDICES, {"clean:energy": np.zeros(3), "vote_entropy": np.ones(3)})
    rows = stored(db, "SELECT input_index, value FROM ood_score WHERE score = 'clean:energy' ORDER BY input_index")
    assert rows == [(3, 0.5), (8, 0.25), (21, 1.5)]
    assert len(stored(db, "SELECT 1 FROM ood_score")) == 6


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_no_number_stores_nothing(db: Database, ood: Any, value: float) -> None:
    with pytest.raises(ValueError, match="mean:gen of constant is not finite"):
        store_scores(db, ood[0], "constant", INDICES, {"vote_entropy": np.ones(3), "mean:gen": np.array([0, value, 1])})
    assert stored(db, "SELECT 1 FROM ood_score") == []


def test_a_metric_that_is_no_number_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="value of auroc"):
        MetricRow("auroc", float("nan"))


def metric_rows(scoring_id: int, auroc: float) -> list[MetricRow]:
    return [
        MetricRow("inputs", 3, "digits"),
        MetricRow("inputs", 3, "constant"),
        MetricRow("near", 1, "constant"),
        MetricRow("auroc", auroc, "constant", "mean:gen", None, 0.5, 0.9),
        MetricRow("guaranteed_auroc", 0.25, "constant", "mean:gen", 0.5, scoring_id=scoring_id),
        MetricRow(DIFFERENCE, 0.125, "constant", "mean:gen - clean:energy", None, -0.1, 0.2),
    ]


def test_metrics_come_back_by_what_they_are_about(db: Database, ood: Any) -> None:
    run_id, scoring_id = ood
    replace_metrics(db, run_id, metric_rows(scoring_id, 0.75))
    (run,) = ood_runs(db)
    assert (run.sets, run.scores, run.inputs) == (("constant",), ("mean:gen",), {"digits": 3, "constant": 3})
    assert run.figure("auroc", "constant", "mean:gen") == Estimate(0.75, 0.5, 0.9)
    assert run.figure("guaranteed_auroc", "constant", "mean:gen", 0.5) == Estimate(0.25, None, None)
    assert run.figure("auroc", "digits", "mean:gen") is None
    assert run.group("constant") == "near"
    assert run.radii("mean:gen") == [0.5]
    assert (run.settings["mean:gen"].alpha, run.settings["mean:gen"].threshold) == (0.001, 0.2)
    (difference,) = run.differences
    assert (difference.smoothed, difference.clean, difference.estimate.low) == ("mean:gen", "clean:energy", -0.1)


def test_metrics_of_a_score_are_replaced_together_and_others_stay(db: Database, ood: Any) -> None:
    run_id, scoring_id = ood
    other = MetricRow("auroc", 0.5, "constant", "vote_entropy")
    replace_metrics(db, run_id, [*metric_rows(scoring_id, 0.75), other])
    replace_metrics(db, run_id, metric_rows(scoring_id, 0.8))
    (run,) = ood_runs(db)
    assert run.figure("auroc", "constant", "mean:gen") == Estimate(0.8, 0.5, 0.9)
    assert run.figure("auroc", "constant", "vote_entropy") == Estimate(0.5, None, None)
    assert len(stored(db, "SELECT 1 FROM metric")) == 7


def test_only_evaluated_runs_that_match_are_read(db: Database, ood: Any, made: Any) -> None:
    run_id, scoring_id = ood
    start_run(db, made.run(kind="ood", configuration_hash="d" * 64))  # never evaluated
    replace_metrics(db, run_id, metric_rows(scoring_id, 0.75))
    assert [run.run.id for run in ood_runs(db)] == [run_id]
    assert [run.run.id for run in ood_runs(db, runs=[run_id], model="cnn", sigma=0.25, dataset="digits")] == [run_id]
    assert ood_runs(db, model="mlp") == ood_runs(db, sigma=0.5) == ood_runs(db, runs=[run_id + 1]) == []


def test_the_newest_checkpoint_with_classes_held_out_is_found(db: Database) -> None:
    for number, dataset in enumerate(("digits", "digits-without-8,9", "digits-without-1", "digits-without-1@16")):
        new = NewCheckpoint("cnn", dataset, 0.25, "gaussian", f"{number}", f"{number}" * 64, None, None, {})
        record_checkpoint(db, new)
    # One for images of another size is for other data.
    for suffix, dataset in (("", "digits-without-1"), ("@16", "digits-without-1@16")):
        found = newest_held_out_checkpoint(db, lambda row: row.model == "cnn", "digits-without-", suffix, 0.25)
        assert found is not None
        assert found.dataset == dataset
    assert newest_held_out_checkpoint(db, lambda row: row.model == "cnn", "digits-without-", "@32", 0.25) is None
    assert newest_held_out_checkpoint(db, lambda row: row.model == "mlp", "digits-without-", "", 0.25) is None
