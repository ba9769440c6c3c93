"""Objectives by name, with their parameters.

Invariant: an objective is found by its file, `NAME.py`, whose `OBJECTIVE` is its class; a parameter has the type of
its default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from typing import Any, cast

from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.training import objectives
from rsuq_cli.training.objectives.base import UnderNoise, Value
from rsuq_cli.training.objectives.names import objective_names

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def objective_named(
    name: str, parameters: Mapping[str, Value] | None = None, *, sigma: float | None = None
) -> UnderNoise:  # fmt: skip
    """Returns the objective with these parameters; a text is read as its type.

    Those that are not given are as they were published for the nearest sigma, or its defaults where none is named.
    Raises BadInput with the nearest names where there is no such objective or parameter, and for an impossible value.
    """
    if name not in objective_names():
        raise BadInput(f"there is no objective {name!r}", nearest(name, objective_names()))
    kind = import_module(f"{objectives.__name__}.{name.replace('-', '_')}").OBJECTIVE
    known: dict[str, Any] = {field.name: field.default for field in fields(kind)}
    for parameter in parameters or {}:
        if parameter not in known:
            hint = nearest(parameter, tuple(known)) if known else "leave it out"
            raise BadInput(f"the objective {name} has no parameter {parameter!r}", hint)
    given = {key: _read(key, value, known[key]) for key, value in (parameters or {}).items()}
    return cast("UnderNoise", kind(**{**_published(kind, sigma), **given}))


def _published(kind: Any, sigma: float | None) -> Mapping[str, Value]:
    """Returns what was published for the sigma that is nearest in proportion."""
    published: Mapping[float, Mapping[str, Value]] = getattr(kind, "published", {})
    if sigma is None or not published:
        return {}
    return published[min(published, key=lambda other: abs(math.log(other / sigma)))]


def parameters_of(objective: UnderNoise) -> dict[str, Value]:
    """Returns every parameter of an objective, also those at their defaults.

    One noise for every image is what there was before there could be several, and no parameter where it is the default.
    """
    every = {field.name: getattr(objective, field.name) for field in fields(objective)}
    usual = type(objective).noises == 1 and not any("noises" in one for one in objective.published.values())
    return {name: value for name, value in every.items() if not (usual and (name, value) == ("noises", 1))}


def assignments(written: Sequence[str]) -> dict[str, Value]:
    """Returns the parameters that are written as NAME=VALUE; raises BadInput for anything else, or one named twice."""
    found: dict[str, Value] = {}
    for text in written:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise BadInput(f"{text!r} sets nothing", "write it as NAME=VALUE")
        if name.strip() in found:
            raise BadInput(f"{name.strip()} is set twice", "give it once")
        found[name.strip()] = value.strip()
    return found


def _read(name: str, value: Value, default: Value) -> Value:
    """Returns a value, a text or what a file of settings has, as the type of the default."""
    try:
        read = _BOOLEANS[str(value).lower()] if isinstance(default, bool) else type(default)(str(value))
        if isinstance(read, float) and not math.isfinite(read):
            raise ValueError(read)
    except (KeyError, ValueError) as error:
        wanted = {bool: "true or false", int: "a whole number"}.get(type(default), "a finite number")
        raise BadInput(f"{name} is {value!r}", f"give {wanted}") from error
    return read
