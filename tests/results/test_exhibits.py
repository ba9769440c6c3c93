"""What pictures show of single inputs is what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from made_up import imported_run, made_up_run
from sqlalchemy import text

from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.exhibits import certificate_columns, exhibits, largest_radius, ood_scores


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with open_for_writing(tmp_path_factory.mktemp("pictures") / "a.db") as database:
        made_up_run(database, measures=("entropy",), coverages=(0.7,))
        imported_run(database)
        yield database


def test_columns_are_the_rows(filled: Database) -> None:
    columns = certificate_columns(filled, 1)
    with filled.read() as connection:
        rows = connection.execute(text("SELECT * FROM certified_sample WHERE scoring_id = 1 ORDER BY input_index"))
        stored = rows.mappings().all()
    assert len(stored) == 60
    for name, values in columns.items():
        assert values.tolist() == [row[name] for row in stored], name
    assert largest_radius(filled, 1) == max(
        columns[name].max() for name in ("radius_ncl", "radius_standard", "radius_cc")
    )


def test_widest_are_the_largest_differences_of_the_right_class(filled: Database) -> None:
    columns = certificate_columns(filled, 1)
    right = columns["class_index"] == columns["label"]
    gap = np.where(right, columns["radius_ncl"] - columns["radius_cc"], -1)
    found = exhibits(filled, 1, "widest", 5)
    assert [one.radius_ncl - one.radius_cc for one in found] == sorted(gap.tolist(), reverse=True)[:5]
    assert all(one.label == one.class_index for one in found)
    assert len(exhibits(filled, 1, "widest", 1000)) == (gap > 0).sum()


def test_wrong_are_the_certain_and_wrong_the_surest_first(filled: Database) -> None:
    with filled.read() as connection:
        expected = connection.execute(
            text(
                "SELECT input_index FROM certified_sample WHERE scoring_id = 2 AND NOT correct"
                " AND decision = 'certain' ORDER BY radius_cc DESC"
            )
        )
        indices = [row.input_index for row in expected]
    assert len(indices) == 9
    assert [one.input_index for one in exhibits(filled, 2, "wrong", 100)] == indices
    assert exhibits(filled, 2, "widest", 100) == []


def test_scores_are_paired_with_the_set_of_the_run(tmp_path: Path) -> None:
    with open_for_writing(tmp_path / "b.db") as db:
        run_id = made_up_run(db, inputs=range(3))
        rows = [("digits", 0, "q", 0.1), ("digits", 1, "q", 0.2), ("noise:uniform", 0, "q", 0.9),
                ("noise:uniform", 0, "lonely", 0.5), ("digits", 0, "alone", 0.5)]  # fmt: skip
        with db.transaction() as connection:
            connection.execute(
                text("INSERT INTO ood_score (run_id, ood_set, input_index, score, value) VALUES (:r, :o, :i, :s, :v)"),
                [{"r": run_id, "o": o, "i": i, "s": s, "v": v} for o, i, s, v in rows],
            )
        (found,) = ood_scores(db, run_id, "digits")
        assert (found.run_id, found.dataset, found.score) == (run_id, "digits", "q")
        assert found.inside.tolist() == [0.1, 0.2]
        assert {name: values.tolist() for name, values in found.outside.items()} == {"noise:uniform": [0.9]}
        assert ood_scores(db, run_id + 1, "digits") == []
