"""The Python API as its documentation shows it, and how little it costs to import."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import rsuq_cli
from rsuq_cli.errors import BadInput, DatabaseError
from rsuq_cli.results.database import open_for_writing
from rsuq_cli.results.rows import NewRun, NewScoring, SampleRow
from rsuq_cli.results.writer import add_scoring, finish_run, start_run, store_samples

if TYPE_CHECKING:
    from conftest import Place

# Class, CC and NCL radius of four inputs of class 1.
INPUTS = ((1, 0.30, 0.45), (1, 0.25, 0.40), (1, 0.10, 0.30), (0, 0.20, 0.30))


@pytest.fixture(autouse=True)
def _database(place: Place) -> None:
    """The run that the documentation is about."""
    run = NewRun(
        "certify", "cnn", "digits", "test", 1, None, 4, "0" * 64, 0.25, 100, 1000, 0, "cpu", "fp32", {}, {}, "1" * 64,
        {},
    )  # fmt: skip
    with open_for_writing() as db:
        run_id = start_run(db, run).id
        scoring = add_scoring(db, NewScoring(run_id, "entropy", 0.2, 0.9, "majority", "merged", 0.001))
        rows = [
            SampleRow(
                scoring, i, 1, c, c, "certain", True, False, 1000, 900, 50, 950, cc, cc, ncl, 0.0, "majority", "merged"
            )
            for i, (c, cc, ncl) in enumerate(INPUTS)
        ]
        store_samples(db, rows)
        finish_run(db, run_id, "complete", 1.0)


def test_the_documentation_is_true() -> None:
    failed, attempted = doctest.testmod(rsuq_cli)
    assert failed == 0
    assert attempted >= 8


def test_importing_it_is_light() -> None:
    heavy = ["torch", "pandas", "numpy", "scipy", "sqlmodel", "sqlalchemy", "alembic", "typer", "rich", "matplotlib"]
    code = f"import sys, rsuq_cli; print([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


@pytest.mark.parametrize("name", rsuq_cli.__all__)
def test_every_name_is_there_and_explained(name: str) -> None:
    assert callable(getattr(rsuq_cli, name))
    assert importlib.import_module(rsuq_cli._HOMES[name]).__dict__[name].__doc__


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'certifyy'"):
        _ = rsuq_cli.certifyy


def test_frames_have_types_and_units() -> None:
    runs, samples = rsuq_cli.runs(), rsuq_cli.samples(1)
    assert str(runs.created_at.dtype).startswith("datetime64")
    assert str(runs.created_at.dt.tz) == "UTC"
    assert samples.radius_ncl.tolist() == [0.45, 0.40, 0.30, 0.30]
    assert samples.correct.dtype == bool
    curve = rsuq_cli.curves(1, [0.25])
    assert curve.guarantee.tolist() == ["standard", "cc", "ncl"]
    assert curve.value.tolist() == [0.5, 0.5, 0.75]
    assert (curve.low <= curve.value).all()


def test_what_is_not_in_the_database_is_said(place: Place) -> None:
    for call in (lambda: rsuq_cli.samples(7), lambda: rsuq_cli.curves(7, [0.0])):
        with pytest.raises(BadInput, match="there is no run 7"):
            call()
    with pytest.raises(BadInput, match="a radius must be"):
        rsuq_cli.curves(1, [-1.0])
    with pytest.raises(DatabaseError, match="there is no database"):
        rsuq_cli.runs(place.work / "missing.db")
    with open_for_writing(place.work / "empty.db"):
        pass
    assert rsuq_cli.runs(place.work / "empty.db").empty
