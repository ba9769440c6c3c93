"""Machine formats carry every value unrounded, and hold one page at a time."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsuq_cli.errors import BadInput
from rsuq_cli.formats import MACHINE_FORMATS, PAGE, flat, write_records

CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=("Cs", "Cc"))),
)  # fmt: skip
RECORDS = st.lists(st.fixed_dictionaries({"name": CELLS, "radius": CELLS}), max_size=8)


def written(records: Any, style: Any) -> bytes:
    stream = io.BytesIO()
    write_records(records, style, stream)
    return stream.getvalue()


@given(RECORDS)
def test_json_and_json_lines_give_the_records_back(records: list[dict[str, Any]]) -> None:
    assert json.loads(written(records, "json")) == records
    assert [json.loads(line) for line in written(records, "jsonl").decode().split("\n")[:-1]] == records


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_csv_gives_every_float_back(radii: list[float]) -> None:
    rows = csv.DictReader(io.StringIO(written([{"radius": radius} for radius in radii], "csv").decode()))
    assert [float(row["radius"]) for row in rows] == radii


def test_csv_keeps_commas_quotes_and_lines_in_their_cell() -> None:
    text = 'a "b", c\nd'
    (row,) = csv.DictReader(io.StringIO(written([{"name": text}], "csv").decode()))
    assert row["name"] == text


def test_nested_values_become_columns_of_their_own() -> None:
    point = {"radius": 0.25, "value": 0.5}
    record = {"intervals": {"accuracy": {"low": 0.1}}, "certified_cc": [point], "warnings": ["a", "b"], "none": []}
    assert flat(record) == {
        "intervals_accuracy_low": 0.1, "certified_cc@0.25_value": 0.5, "warnings": '["a", "b"]', "none": "[]",
    }  # fmt: skip


@pytest.mark.parametrize("style", MACHINE_FORMATS)
def test_no_record_is_a_whole_file_too(style: Any) -> None:
    content = written([], style)
    assert {"json": b"[]\n", "jsonl": b"", "csv": b"\n"}.get(style, content) == content
    assert style != "parquet" or content.startswith(b"PAR1")


def test_parquet_gives_types_and_values_back() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    records = [
        {"index": i, "radius": math.sqrt(i), "name": f"é{i}", "threshold": None if i % 2 else 0.1}
        for i in range(PAGE + 3)
    ]
    found = parquet.read_table(io.BytesIO(written(records, "parquet")))
    assert found.to_pylist() == records
    assert [str(kind) for kind in found.schema.types] == ["int64", "double", "string", "double"]


def test_parquet_without_pyarrow_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BadInput, match="Parquet needs pyarrow") as caught:
        written([{"a": 1}], "parquet")
    assert caught.value.hint == "pip install 'rsuq[parquet]'"


@pytest.mark.parametrize("style", MACHINE_FORMATS)
def test_records_are_written_while_they_come(style: Any) -> None:
    if style == "parquet":
        pytest.importorskip("pyarrow")
    taken = 0

    def records() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for taken in range(3 * PAGE):
            yield {"input_index": taken}

    class Watched(io.BytesIO):
        first: int | None = None

        def write(self, data: Any) -> int:
            self.first = taken if self.first is None and data != b"PAR1" else self.first
            return super().write(data)

    stream = Watched()
    write_records(records(), style, stream)
    assert stream.first is not None
    assert stream.first <= PAGE < taken


@pytest.mark.parametrize("style", ["json", "jsonl"])
def test_json_has_no_word_for_a_value_that_is_no_number(style: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        written([{"radius": math.nan}], style)
