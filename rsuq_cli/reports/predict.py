"""The answers to single images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsuq_cli.console import Column, Table, radius_text

if TYPE_CHECKING:
    from rsuq_cli.jobs.predict import Prediction


def prediction_table(predictions: Sequence[Prediction]) -> Table:
    """Returns one row for each image: the answer, and how far it can be trusted."""
    columns = [
        Column("image", lambda r: Path(r["file"]).name, "left"),
        Column("answer", lambda r: r["answer"], "left"),
        Column("class", lambda r: r["class_name"], "left"),
        Column("radius\nCC", lambda r: radius_text(r["radius_cc"])),
        Column("radius\nNCL", lambda r: radius_text(r["radius_ncl"])),
        Column("radius\nstandard", lambda r: radius_text(r["radius_standard"])),
        Column("uncertain\nsamples", lambda r: f"{r['uncertain_count']:,}"),
        Column("again\n≥ %", lambda r: _percent_down(r["certain_again"]), name="certain_again"),
    ]
    title = "answers"
    if predictions:
        one = prediction_record(predictions[0])
        title += f" · {one['model']} · σ = {one['sigma']:g} · {one['measure']} at most {one['threshold']:.4g} · "
        title += f"n = {one['n']:,} · α = {one['alpha']:g} · {one['rule']} rule"
    notes = (
        *(_promises(prediction_record(predictions[0])) if predictions else ()),
        "undecided: the samples prove neither a class nor uncertainty; it is to be treated as uncertain",
    )
    return Table(title, [prediction_record(one) for one in predictions], columns, notes)


def _promises(one: Mapping[str, Any]) -> tuple[str, str]:
    """Returns what the radii are about, masses, and what that means for an answer, which is from samples."""
    if one["rule"] == "majority":
        kept, stated = "stays above a half", "stays at most a half"
    else:
        kept, stated = "stays the largest", "never becomes the largest"
    return (
        f"CC: inside this l2 radius the class's certain mass under noise {kept} · NCL: inside this one that of every "
        f"other class {stated}",
        "again: how often, at least, fresh samples of this very image say the class with certainty; nearer to the edge "
        "of the CC ball its lead may be as small as nothing, and they are then mostly undecided",
    )


def _percent_down(share: float | None) -> str:
    """Returns a least probability in percent, rounded down: no number of samples makes an answer certain."""
    return "-" if share is None else f"{min(math.floor(share * 1000), 999) / 10:.1f}"


def prediction_record(prediction: Prediction) -> dict[str, Any]:
    """Returns everything about an answer; `answer` is the class by name, "uncertain" or "undecided".

    `certain_again` is the least probability that fresh samples of the image say the class with certainty again, null
    where it is not known: no certain answer, another rule than majority, or a stopping rule.
    """
    row, smoothed = prediction.row, prediction.smoothed
    return {
        "file": prediction.file,
        "index": prediction.index,
        "in_dataset": prediction.in_dataset,
        "answer": prediction.class_name if row.decision == "certain" else row.decision,
        "class": row.class_index,
        "class_name": prediction.class_name,
        "decision": row.decision,
        "certain_again": prediction.certain_again,
        "radius_cc": row.radius_cc,
        "radius_ncl": row.radius_ncl,
        "radius_standard": row.radius_standard,
        "radius_uncertain": row.radius_uncertain,
        "standard_class": row.standard_class,
        "at_ceiling": row.at_ceiling,
        "n0": smoothed.n0,
        "n": row.n,
        "certain_count": row.certain_count,
        "uncertain_count": row.uncertain_count,
        "vote_count": row.vote_count,
        "alpha": smoothed.method.alpha,
        "family_size": smoothed.method.family_size,
        "sigma": smoothed.sampling.sigma,
        "seed": smoothed.sampling.seed,
        "noise": smoothed.sampling.noise,
        "precision": smoothed.sampling.precision,
        "measure": smoothed.measure,
        "threshold": smoothed.threshold,
        "rule": row.rule,
        "competitors": row.competitors,
        "model": smoothed.model.spec,
        "run_id": smoothed.run_id,
    }
