"""Written conditions: plain SQL over the columns that there are, tried before it meets the results."""

from __future__ import annotations

import re
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from rsuq_cli.errors import BadInput
from rsuq_cli.results.filters import parse_condition

ROWS = [
    (1, "resnet110", 0.25, None), (2, "resnet20", 0.5, "a"), (3, "cnn", 0.25, "b:c"), (4, "it's 100%", 1e-3, "select"),
]  # fmt: skip
COLUMNS = {"id": "id", "run": "id", "model": "model", "sigma": "sigma", "source": "source", "double": "(2 * sigma)"}


def chosen(written: str) -> list[int]:
    condition = parse_condition(written, COLUMNS)
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE run (id INTEGER, model TEXT, sigma REAL, source TEXT)"))
        names = ("id", "model", "sigma", "source")
        rows = [dict(zip(names, row, strict=True)) for row in ROWS]
        connection.execute(text("INSERT INTO run VALUES (:id, :model, :sigma, :source)"), rows)
        by_key = f"SELECT id FROM run WHERE {condition.keeps('id', 'run AS every')} ORDER BY id"
        directly = f"SELECT id FROM {condition.named('run')} AS named WHERE {condition.sql} ORDER BY id"
        found = [[row[0] for row in connection.execute(text(statement))] for statement in (by_key, directly)]
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("sigma = 0.25 and model like 'resnet%'", [1]),
        ('sigma = 0.25 and model like "resnet%"', [1]),
        ("sigma == .25", [1, 3]),
        ("sigma != 0.25", [2, 4]),
        ("sigma <> 0.25 or run = 1", [1, 2, 4]),
        ("sigma >= 0.25 AND sigma <= 0.5 and not run = 2", [1, 3]),
        ("run > 1 , run < 4", [2, 3]),
        ("run = 1 or run = 2, sigma = 0.5", [2]),
        ("run = 1 or run = 2 and sigma = 0.5", [1, 2]),
        ("(run = 1 or run = 2) and sigma = 0.5", [2]),
        ("not (run = 1 or run = 2)", [3, 4]),
        ("run in (1, 3, 9)", [1, 3]),
        ("run not in (1, 3), sigma < 1", [2, 4]),
        ("model not like 'resnet%'", [3, 4]),
        ("sigma between 0.2 and 0.3", [1, 3]),
        ("source is null", [1]),
        ("source is not null", [2, 3, 4]),
        ("source = 'b:c'", [3]),
        ("source = 'x,y' or run = 1", [1]),
        ("model = 'it''s 100%'", [4]),
        ('model = "it\'s 100%"', [4]),
        ("double = 1 -- of sigma", [2]),
        ("length(model) > 8", [1, 4]),
        ("run = run", [1, 2, 3, 4]),
        ("run", [1, 2, 3, 4]),
        ("true", [1, 2, 3, 4]),
    ],
)
def test_a_condition_selects_what_it_says(written: str, expected: list[int]) -> None:
    assert chosen(written) == expected


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("sigm = 1", "there is no column 'sigm'"),
        ("sigma = resnet", "there is no column 'resnet'"),
        ("sigma = ", "is no condition"),
        ("sigma = 1 and", "is no condition"),
        ("(sigma = 1", "is no condition"),
        ("sigma = 'open", "is no condition"),
        ("sigma = 1; DROP TABLE run", "is no condition"),
        ("sigma = 1); DROP TABLE run; --", "is no condition"),
        ("run in (SELECT id FROM checkpoint)", "no such table"),
        ("magic(sigma)", "no such function"),
        ("sigma = ?", "is no condition"),
        ("sigma = :sigma", "is no condition"),
        ("sigma = 1, ", "is no condition"),
        ("sigma = \x00", "is no condition"),
        ("", "says nothing"),
        ("  ", "says nothing"),
    ],
)
def test_what_is_no_condition_is_refused_before_it_meets_the_results(written: str, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        parse_condition(written, COLUMNS)


def test_the_nearest_column_is_named() -> None:
    with pytest.raises(BadInput) as caught:
        parse_condition("sgima = 1", COLUMNS)
    assert caught.value.hint == "did you mean sigma? (a text stands in quotes)"


@given(st.text(alphabet="run=<>()'\"andornotlikein 0.5,-;%:\n", max_size=40))
def test_whatever_is_written_leaves_the_results_as_they_are_or_is_refused(written: str) -> None:
    try:
        condition = parse_condition(written, COLUMNS)
    except BadInput:
        return
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE run (id INTEGER, model TEXT, sigma REAL, source TEXT)")
    connection.executemany("INSERT INTO run VALUES (?, ?, ?, ?)", ROWS)
    sql = condition.keeps("id", "run AS every").replace("\\:", ":")
    found = [row[0] for row in connection.execute(f"SELECT id FROM run WHERE {sql}")]
    assert set(found) <= {1, 2, 3, 4}
    assert connection.execute("SELECT COUNT(*) FROM run").fetchone() == (4,)
