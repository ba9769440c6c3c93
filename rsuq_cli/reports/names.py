"""Short names for what a picture or a page shows side by side.

Invariant: different readings have different names, and a name has no setting that is not needed for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsuq_cli.readings.evidence import Reading


def reading_names(readings: Sequence[Reading]) -> list[str]:
    """Returns a name for each reading: model and measure, and more settings only where these do not tell them apart."""
    described = [
        {
            "model": r.run.model, "measure": r.key.measure, "sigma": f"σ = {r.run.sigma:g}",
            "dataset": short_name(r.run.dataset), "rule": f"{r.key.rule} rule", "competitors": r.key.competitors,
            "n": f"n = {r.run.n:,}", "alpha": f"α = {r.key.alpha:g}", "family": f"of {r.key.family_size} guarantees",
            "bounds": f"bounds of version {r.key.bounds_version}",
            "run": f"run {r.key.run_id}",
        }
        for r in readings
    ]  # fmt: skip
    named: list[str] = ["measure"]
    for setting in described[0] if described else {}:
        values = [tuple(one[name] for name in named) for one in described]
        if len(set(values)) == len(values):
            break
        finer = {(value, one[setting]) for value, one in zip(values, described, strict=True)}
        if len(finer) > len(set(values)):
            named.append(setting)
    return [", ".join(text for name, text in one.items() if name in named) for one in described]


def short_name(dataset: str) -> str:
    """Returns the name of a data set without the folders of its path."""
    kind, colon, path = dataset.partition(":")
    return f"{kind}:{Path(path).name}" if colon and Path(path).name else dataset


def scoring_name(name: str, reading: Reading, position: int) -> str:
    """Returns the name of a reading at one of its thresholds."""
    threshold = reading.positions[position].threshold
    if threshold is None:
        return name
    totals, at = reading.at(position)
    return f"{name}, θ = {threshold:.4g} (answers {totals.values['coverage'][at]:.1%})"
