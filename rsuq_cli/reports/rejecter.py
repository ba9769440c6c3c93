"""What a fit of a rejecter found, beside the measures that need none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rsuq_cli.console import Column, Table, number_text, percent_text

if TYPE_CHECKING:
    from rsuq_cli.jobs.rejecter.run import FitOutcome


def rejecter_table(found: FitOutcome) -> Table:
    """Returns a row for the rejecter, and one for each measure beside it on the same noisy draws."""
    shared = {
        "rejecter_id": found.rejecter_id, "model": found.model, "dataset": found.dataset, "sigma": found.sigma,
        "kind": found.kind, "coverage": found.coverage, "price": found.price, "images": found.images,
        "draws": found.draws, "file": found.file,
    }  # fmt: skip
    rows = [
        shared | {"measure": name, "gain": one.gain, "cc_cost": one.cost}
        for name, one in {"rejecter": found.expected, **found.beside}.items()
    ]
    columns = [
        Column("rejecter", lambda r: str(r["rejecter_id"])),
        Column("model", lambda r: r["model"], "left"),
        Column("data set", lambda r: r["dataset"], "left"),
        Column("σ", lambda r: number_text(r["sigma"])),
        Column("measure", lambda r: r["measure"], "left"),
        Column("coverage", lambda r: number_text(r["coverage"])),
        Column("gain\n%", lambda r: percent_text(r["gain"])),
        Column("CC cost\n%", lambda r: percent_text(r["cc_cost"])),
    ]
    notes = (
        f"file: {found.file}",
        f"expected of images that the fit did not see, from {found.draws} draws each of {found.images}; "
        "what certifying finds is what counts",
        *([f"a right sample is priced at {found.price:g}"] if found.kind == "linear" else []),
        f"use it with rsuq certify --rejecter {found.rejecter_id} --uncertainty rejecter, with the same options",
    )
    return Table("fitted rejecter", rows, columns, notes)
