"""The normalisation that a run records, where the weights of its network hold none.

Invariant: what a run recorded counts. One from before it was recorded had what is usual for its data set, so the usual
one is no part of what tells runs apart, and such runs are found and opened again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rsuq_cli.models.statistics import KNOWN, Statistics, customary

NORMALISATION = "normalisation"


def recorded(normalisation: Statistics | None) -> dict[str, Any]:
    """Returns what a configuration says of a normalisation; nothing for None, where the weights hold it."""
    return {} if normalisation is None else {NORMALISATION: {n: list(v) for n, v in normalisation._asdict().items()}}


def normalisation_of(configuration: Mapping[str, Any]) -> Statistics | None:
    """Returns what stands in where the run's weights hold none; None for pixels as they are."""
    stored = configuration.get(NORMALISATION)
    if stored is not None:
        return Statistics(tuple(stored["mean"]), tuple(stored["std"]))
    usual = customary(_dataset(configuration))
    return None if usual == "none" else KNOWN[usual]


def tells_apart(configuration: Mapping[str, Any]) -> bool:
    """Returns whether a configuration's normalisation is another than runs without a record of it had."""
    if NORMALISATION not in configuration:
        return False
    recorded_one = normalisation_of(configuration)
    assert recorded_one is not None
    return recorded_one != KNOWN[customary(_dataset(configuration))].for_channels(len(recorded_one.mean), 0)


def same_normalisation(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether two configurations of the same weights and data set have one normalisation."""
    if not tells_apart(one) and not tells_apart(other):
        return True
    return normalisation_of(one) == normalisation_of(other)


def _dataset(configuration: Mapping[str, Any]) -> str:
    """Returns the data set's own name, without the size of its images; only names of the catalogue are of interest."""
    return str(configuration.get("dataset", "")).partition("@")[0]
