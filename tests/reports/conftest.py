"""Databases with made-up runs for the tests of reports, and the pages made of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from made_up import imported_run, made_up_run

from rsuq_cli.results.database import Database, open_for_writing


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database that the tests of this folder only read: runs 1 and 2 with evidence, run 3 imported."""
    with open_for_writing(tmp_path_factory.mktemp("reports") / "results.db") as database:
        made_up_run(database, model="cnn", seed=0)
        made_up_run(database, model="mlp", seed=1, measures=("entropy",))
        imported_run(database)
        yield database
