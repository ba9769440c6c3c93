"""The results as pandas frames, for notebooks.

Invariant: reads only, and figures are those of the reports: computed by the database, not here. Names and units are
those of the tables; times are aware datetimes in UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from rsuq_cli.results.database import open_for_reading
from rsuq_cli.results.figures import selected_figures
from rsuq_cli.results.inputs import stream_inputs
from rsuq_cli.results.runs import list_runs, run_row
from rsuq_cli.results.selection import Selection

_CURVES = {"standard": "certified_standard", "cc": "certified_cc", "ncl": "certified_ncl"}


def runs(db: str | Path | None = None) -> pd.DataFrame:
    """Returns every run with its settings, indexed by its number, the oldest first.

    Raises:
        DatabaseError: there is no such database, or it cannot be read.
    """
    with open_for_reading(db) as results:
        frame = pd.DataFrame([asdict(run) for run in list_runs(results)])
    if frame.empty:
        return frame
    for name in ("created_at", "updated_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    return frame.set_index("id")


def samples(run: int, db: str | Path | None = None) -> pd.DataFrame:
    """Returns the certificate of every input under every scoring of a run; radii in pixel units.

    A run with inputs from elsewhere (`rsuq ood`) has none.

    Raises:
        BadInput: there is no such run.
        DatabaseError: there is no such database, or it cannot be read.
    """
    with open_for_reading(db) as results:
        run_row(results, run)
        return pd.DataFrame(list(stream_inputs(results, Selection(runs=[run]))))


def curves(run: int, radii: Sequence[float], db: str | Path | None = None) -> pd.DataFrame:
    """Returns the certified curves of a run: for each scoring, guarantee and radius (pixel units), a share of inputs.

    `guarantee` is standard, cc or ncl (only standard for a scoring without rejection); `low` and `high` are the share's
    95 % Wilson interval.

    Raises:
        BadInput: there is no such run, or a radius is negative or not finite.
        DatabaseError: there is no such database, or it cannot be read.
    """
    with open_for_reading(db) as results:
        run_row(results, run)
        found = selected_figures(results, Selection(runs=[run]), [float(radius) for radius in radii])
    return pd.DataFrame(
        [
            {
                "scoring_id": one.scoring_id, "measure": one.measure, "threshold": one.threshold, "rule": one.rule,
                "guarantee": guarantee, **point._asdict(),
            }
            for one in found
            for guarantee, name in _CURVES.items()
            if guarantee == "standard" or one.rule != "standard"
            for point in getattr(one, name)
        ]
    )  # fmt: skip
