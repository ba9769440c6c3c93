"""Records as machines read them: JSON, JSON lines, CSV and Parquet, written one record at a time.

Invariant: every column, unrounded (the shortest text that gives the same float again), times in ISO 8601, and nothing
but the answer. Records are never gathered, so a million of them need no more memory than one page.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, BinaryIO, Literal, get_args

from rsuq_cli.errors import BadInput
from rsuq_cli.spelling import READABLE

MachineFormat = Literal["json", "jsonl", "csv", "parquet"]
MACHINE_FORMATS: tuple[MachineFormat, ...] = get_args(MachineFormat)
Record = Mapping[str, Any]
# Rows of one Parquet row group and of one write: enough to be quick, few enough to be little memory.
PAGE = 4096


def write_records(records: Iterable[Record], style: MachineFormat, stream: BinaryIO) -> None:
    """Writes records to a binary stream.

    JSON is one array, JSON lines one object a line; both keep nested values. CSV and Parquet have one column for every
    value: a nested one becomes `outer_inner`, a curve's point `certified_cc@0.25_value`. Parquet needs pyarrow.

    Raises:
        BadInput: Parquet was asked for and pyarrow is not installed.
    """
    if style == "parquet":
        _write_parquet(records, stream)
        return
    for page in _joined(_TEXTS[style](records)):
        stream.write(page.encode(errors=READABLE))


def flat(record: Record) -> dict[str, Any]:
    """Returns a record with one plain value for every name; lists of anything but points become JSON."""
    columns: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            columns |= {f"{name}_{inner}": one for inner, one in flat(value).items()}
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping) and "radius" in value[0]:
            for point in value:
                columns |= {
                    f"{name}@{point['radius']:g}_{inner}": one for inner, one in point.items() if inner != "radius"
                }
        else:
            columns[name] = json.dumps(value) if isinstance(value, (list, tuple)) else value
    return columns


def _json(records: Iterable[Record]) -> Iterator[str]:
    separator = "[\n"
    for record in records:
        indented = json.dumps(dict(record), indent=2, allow_nan=False).replace("\n", "\n  ")
        yield f"{separator}  {indented}"
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def _jsonl(records: Iterable[Record]) -> Iterator[str]:
    for record in records:
        yield json.dumps(dict(record), allow_nan=False) + "\n"


def _csv(records: Iterable[Record]) -> Iterator[str]:
    rows = (flat(record) for record in records)
    first = list(islice(rows, PAGE))
    # Records of one table may have columns that others lack, so the first page decides together.
    names = list(dict.fromkeys(name for row in first for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in chain(first, rows):
        writer.writerow(row)
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


_TEXTS = {"json": _json, "jsonl": _jsonl, "csv": _csv}


def _joined(parts: Iterator[str]) -> Iterator[str]:
    while page := "".join(islice(parts, PAGE)):
        yield page


def _write_parquet(records: Iterable[Record], stream: BinaryIO) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise BadInput("Parquet needs pyarrow, which is not installed", "pip install 'rsuq[parquet]'") from None
    rows = (flat(record) for record in records)
    page = list(islice(rows, PAGE))
    names = list(dict.fromkeys(name for row in page for name in row))
    schema: Any = None
    writer: Any = None
    while page or writer is None:
        columns = {name: [row.get(name) for row in page] for name in names}
        table = pa.table(columns) if schema is None else pa.table(columns, schema=schema)
        if writer is None:
            schema = table.schema
            writer = pq.ParquetWriter(stream, schema)
        writer.write_table(table)
        page = list(islice(rows, PAGE))
    writer.close()
