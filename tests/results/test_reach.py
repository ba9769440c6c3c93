"""The radii that a share of the right answers has are radii of inputs, and at least so many have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up import imported_run, made_up_run
from sqlalchemy import text

from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.exhibits import certificate_columns
from rsuq_cli.results.reach import SHARES, Reach, reach


@pytest.mark.parametrize("inputs", [1, 2, 9, 40])
def test_so_many_right_answers_have_the_radius_and_no_larger_one(tmp_path: Path, inputs: int) -> None:
    with open_for_writing(tmp_path / "a.db") as db:
        made_up_run(db, inputs=range(inputs), measures=("entropy",), coverages=(0.9,))
        found, columns = reach(db, 1), certificate_columns(db, 1)
    right = (columns["decision"] == "certain") & (columns["class_index"] == columns["label"])
    assert found.right == right.sum() > 0
    own = columns["standard_decided"].astype(bool) & (columns["standard_class"] == columns["label"])
    standard = np.where(own, columns["radius_standard"], 0)
    for name, every in (("standard", standard), ("cc", columns["radius_cc"]), ("ncl", columns["radius_ncl"])):
        radii = every[right]
        for share, radius in zip(SHARES, found.radii[name], strict=True):
            assert radius in radii
            assert (radii >= radius).mean() >= share
            assert (radii > radius).mean() < share


def test_a_baseline_of_another_class_has_no_radius_for_this_one(db: Database) -> None:
    imported_run(db)
    with db.transaction() as connection:
        connection.execute(text("UPDATE certified_sample SET standard_class = (label + 1) % 10 WHERE correct"))
    found = reach(db, 1)
    assert found.radii["standard"] == (0.0, 0.0, 0.0)
    assert found.radii["cc"][1] > 0


def test_without_right_answers_there_are_no_radii(db: Database) -> None:
    imported_run(db)
    with db.transaction() as connection:
        connection.execute(text("UPDATE certified_sample SET correct = 0, decision = 'undecided', is_uncertain = 1, "
                                "radius_cc = 0"))  # fmt: skip
    assert reach(db, 1) == Reach(1, 0, {})
