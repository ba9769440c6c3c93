"""Written conditions against SQLite itself: the same rows, and never a character of the user's in the SQL."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsuq_cli.errors import BadInput
from rsuq_cli.results.filters import parse_condition

ROWS = [
    (1, "resnet110", 0.25, None), (2, "resnet20", 0.5, "a"), (3, "cnn", 0.25, "b"), (4, "it's 100%", 1e-3, "select"),
]  # fmt: skip
COLUMNS = {"run": "id", "model": "model", "sigma": "sigma", "source": "source"}


def chosen(text: str) -> list[int]:
    condition = parse_condition(text, COLUMNS)
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE run (id INTEGER, model TEXT, sigma REAL, source TEXT)")
    connection.executemany("INSERT INTO run VALUES (?, ?, ?, ?)", ROWS)
    found = connection.execute(f"SELECT id FROM run WHERE {condition.sql} ORDER BY id", dict(condition.values))
    return [row[0] for row in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('sigma = 0.25 and model like "resnet%"', [1]),
        ("sigma == .25", [1, 3]),
        ("sigma != 0.25", [2, 4]),
        ("sigma <> 0.25 or run = 1", [1, 2, 4]),
        ("sigma >= 0.25 AND sigma <= 0.5 and not run = 2", [1, 3]),
        ("run > 1 , run < 4", [2, 3]),
        ("run = 1 or run = 2 and sigma = 0.5", [1, 2]),
        ("(run = 1 or run = 2) and sigma = 0.5", [2]),
        ("not (run = 1 or run = 2)", [3, 4]),
        ("run in (1, 3, 9)", [1, 3]),
        ("run not in (1, 3)", [2, 4]),
        ("model not like 'resnet%'", [3, 4]),
        ("sigma between 0.2 and 0.3", [1, 3]),
        ("sigma not between 0.2 and 0.3 and run > 2", [4]),
        ("source is null", [1]),
        ("source is not null", [2, 3, 4]),
        ("source = 'select'", [4]),
        ("model = 'it''s 100%'", [4]),
        ('model = "it\'s 100%"', [4]),
        ("sigma = 1e-3", [4]),
        ("run = -1", []),
        ("run = run", [1, 2, 3, 4]),
        ("run", [1, 2, 3, 4]),
        ("  run=1  ", [1]),
        ('model = "x\' OR 1 = 1; DROP TABLE run; --"', []),
    ],
)
def test_a_condition_selects_what_it_says(text: str, expected: list[int]) -> None:
    assert chosen(text) == expected


@given(st.text(max_size=30))
def test_a_value_is_bound_and_never_part_of_the_sql(value: str) -> None:
    quoted = '"' + value.replace('"', '""') + '"'
    condition = parse_condition(f"model = {quoted}", COLUMNS)
    assert (condition.sql, condition.values) == ("(model = :where_0)", {"where_0": value})


@given(st.text(alphabet="run=<>()'\"andornotlikein 0.5,-;%", max_size=40))
def test_whatever_is_written_is_a_condition_over_known_names_or_refused(text: str) -> None:
    try:
        condition = parse_condition(text, COLUMNS)
    except BadInput:
        return
    words = set(re.findall(r"[A-Za-z_]+|[^\sA-Za-z_\d]", re.sub(r":where_\d+", "", condition.sql)))
    assert words <= {"id", "AND", "OR", "NOT", "LIKE", "IN", "BETWEEN", "IS", "NULL", *"()=<>,"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sigm = 1", "there is no column 'sigm'"),
        ("sigma = ", "at the end: a number or quoted text"),
        ("sigma = 1 and", "at the end: a column"),
        ("sigma = 1 model", "at 'model' (character 11)"),
        ("(sigma = 1", "')' is expected"),
        ("sigma in ()", "a number or quoted text"),
        ("sigma not = 1", "like, in or between"),
        ("sigma between 1 or 2", "'and' is expected"),
        ("sigma is 1", "'null' is expected"),
        ("sigma = 1; drop", "at ';'"),
        ("sigma = 'open", 'at "\'"'),
        ("", "a column is expected"),
        ("sigma = 1e999", "too large"),
        ("= 1", "a column is expected"),
        ("sigma = resnet", "there is no column 'resnet'"),
    ],
)
def test_what_is_no_condition_is_refused_where_it_goes_wrong(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        parse_condition(text, COLUMNS)


def test_the_nearest_column_is_named() -> None:
    with pytest.raises(BadInput) as caught:
        parse_condition("sgima = 1", COLUMNS)
    assert caught.value.hint == "did you mean sigma?"


def test_numbers_keep_their_type() -> None:
    values: Any = parse_condition("run = 3 and sigma = 3.0 and source = true", COLUMNS).values
    assert [type(value) for value in values.values()] == [int, float, bool]
