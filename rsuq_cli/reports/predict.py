"""The answers to single images."""

from __future__ import annotations

from collections.abc import Sequence
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
    ]
    title = "answers"
    if predictions:
        one = prediction_record(predictions[0])
        title += f" · {one['model']} · σ = {one['sigma']:g} · {one['measure']} at most {one['threshold']:.4g} · "
        title += f"n = {one['n']:,} · α = {one['alpha']:g} · {one['rule']} rule"
    notes = (
        "CC: inside this l2 radius the answer stays the class, and certain · NCL: inside this one no other class is "
        "ever stated with confidence",
        "undecided: the samples prove neither a class nor uncertainty; it is to be treated as uncertain",
    )
    return Table(title, [prediction_record(one) for one in predictions], columns, notes)


def prediction_record(prediction: Prediction) -> dict[str, Any]:
    """Returns everything about an answer; `answer` is the class by name, "uncertain" or "undecided"."""
    row, smoothed = prediction.row, prediction.smoothed
    return {
        "file": prediction.file,
        "index": prediction.index,
        "in_dataset": prediction.in_dataset,
        "answer": prediction.class_name if row.decision == "certain" else row.decision,
        "class": row.class_index,
        "class_name": prediction.class_name,
        "decision": row.decision,
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
