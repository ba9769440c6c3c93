"""Rows as the driver takes them: every value checked against the type that its row declares.

Invariant: what could not be read back as it was is refused, naming the column, before it reaches the database.
"""

from __future__ import annotations

import json
import math
import operator
import types
import typing
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal

import numpy as np

from rsuq_cli.results.rows import Insertable


def column_values(row: Insertable) -> dict[str, Any]:
    """Returns the columns of a row of `rows`, by name, as the driver takes them.

    Raises:
        ValueError: a value that cannot be stored, naming the column: NaN, infinity, a float where a count belongs.
    """
    return {name: convert(name, getattr(row, name)) for name, convert in _CONVERTERS[type(row)].items()}


_Convert = Callable[[str, Any], Any]


def _converter(hint: Any) -> _Convert:
    if isinstance(hint, types.UnionType):
        (inner,) = (arm for arm in typing.get_args(hint) if arm is not type(None))
        convert = _converter(inner)
        return lambda name, value: None if value is None else convert(name, value)
    return {int: _whole, float: finite, bool: _flag, bytes: _bytes, str: _text}.get(hint) or (
        _text if typing.get_origin(hint) is Literal else _json
    )


def finite(name: str, value: Any) -> float:
    """Returns `value` as a float; raises ValueError, naming the column, where it is not a finite number."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, not {number}")
    return number


def _whole(name: str, value: Any) -> int:
    try:
        return int(operator.index(value))
    except TypeError:
        raise ValueError(f"{name} must be a whole number, not {value!r}") from None


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be true or false, not {value!r}")
    return bool(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, not {value!r}")
    return str(value)


def _bytes(name: str, value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError(f"{name} must be bytes, not {type(value).__name__}")
    return value


def _json(name: str, value: Any) -> str:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot be stored as JSON: {error}") from None


def _converters(kind: type[Insertable]) -> dict[str, _Convert]:
    hints = typing.get_type_hints(kind)
    return {f.name: _converter(hints[f.name]) for f in fields(kind) if f.metadata.get("stored", True)}


_CONVERTERS = {kind: _converters(kind) for kind in typing.get_args(Insertable)}
