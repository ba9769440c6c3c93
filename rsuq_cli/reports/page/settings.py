"""The parts of the page that need no script: the table of scorings, and the settings of every run.

Invariant: everything that comes from outside (names, paths, warnings) is escaped.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rsuq_cli.console import Table
from rsuq_cli.reports.markup import Html, element, folded, head, joined, listing, paragraph, scrolled, settings_table
from rsuq_cli.results.figures import Figures
from rsuq_cli.results.rows import RunRow
from rsuq_cli.run.configuration import DENOISER, MEMBERS, REJECTER_FILE
from rsuq_cli.run.data import SPREAD, data_of
from rsuq_cli.run.network.preprocessing import PREPROCESSING, noise_text
from rsuq_cli.uncertainty.predictor import PLAIN, predictor_of

_LATER = ("run_id", "source", "inputs", "n", "rule", "alpha")
# What a model of one's own needs beside its name cannot be known from here.
_NOTE = "The same command on the same machine gives the same evidence; weights that were named are to be named again."


def table_html(table: Table) -> Html:
    """Returns the table of scorings, with a button in each row that shows its figures."""
    # Settings that take room and say little beside the figures come after them.
    columns = sorted(table.columns, key=lambda column: column.name in _LATER)
    rows = [
        element(
            "tr",
            element("td", _button(record["scoring_id"])),
            *(element("td", column.cell(record), class_=column.justify) for column in columns),
            data_scoring=record["scoring_id"],
        )
        for record in table.records
    ]
    made = element("table", head(columns, element("td")), element("tbody", *rows))
    return joined([scrolled("Scorings", made), listing(table.notes)])


def _button(scoring_id: int) -> Html:
    named = f"show scoring {scoring_id}"
    return element("button", "show", type="button", data_scoring=scoring_id, aria_label=named)


def runs_html(runs: Sequence[RunRow], figures: Sequence[Figures]) -> Html:
    """Returns the full settings of every run, each with the commands that make it again."""
    return joined(_run_html(run, [one for one in figures if one.run_id == run.id]) for run in runs)


def _run_html(run: RunRow, scorings: Sequence[Figures]) -> Html:
    settings = {
        "run": run.id, "name": run.name, "note": run.note, "tags": ", ".join(run.tags),
        "kind": run.kind, "status": run.status, "model": run.model,
        "checkpoint": run.checkpoint_id, "data set": run.dataset, "split": run.split, "subset": _subset(run),
        "subset SHA-256": run.subset_sha256, "σ": run.sigma,
        **({"noise": said} if (said := noise_text(run.configuration)) else {}),
        "n0": run.n0, "n": run.n, "seed": run.seed,
        "device": run.device, "precision": run.precision, "weights from": run.source,
        "versions": ", ".join(f"{name} {v}" for name, v in sorted(run.versions.items())),
        "begun": run.created_at, "last change": run.updated_at, "seconds": round(run.seconds, 1),
        "warnings": " · ".join(run.warnings or ()),
    }  # fmt: skip
    told = [(name, "" if value is None else str(value)) for name, value in settings.items()]
    commands = certify_commands(run, scorings)
    again = [element("h3", "Again"), element("pre", "\n".join(commands)), paragraph(_NOTE)] if commands else []
    configuration = json.dumps(_readable(run.configuration), indent=2, sort_keys=True)
    return folded(
        f"run {run.id}: {run.model} on {run.dataset}",
        settings_table(told, f"Settings of run {run.id}"),
        *again,
        element("h3", "Configuration"),
        element("pre", configuration),
    )


def _readable(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration without the long rows of what the network answers to fixed inputs."""
    long = "fingerprint"
    return {name: f"answers to {len(value)} fixed inputs" if name == long else value
            for name, value in configuration.items()}  # fmt: skip


def _subset(run: RunRow) -> str:
    every = "every input" if run.skip == 1 else f"every {run.skip}th input"
    spread = ", spread evenly" if run.configuration.get(SPREAD) else ""
    return f"{every}{spread}, {run.inputs:,} planned, {run.finished:,} with evidence"


def certify_commands(run: RunRow, scorings: Sequence[Figures]) -> list[str]:
    """Returns the commands that certify these scorings again, one for each; none for a run that was imported."""
    if run.kind != "certify":
        return []
    dataset, image_size = data_of(run)
    shared = {
        "--model": run.model, "--checkpoint": run.checkpoint_id, "--dataset": dataset, "--image-size": image_size,
        "--sigma": repr(run.sigma), "--n0": run.n0, "--n": run.n,
        "--split": run.split, "--skip": run.skip, "--limit": run.subset_limit, "--seed": run.seed,
        "--device": run.device, "--precision": run.precision,
    }  # fmt: skip
    commands = []
    for one in scorings:
        # The calibrated coverage finds the same threshold; one that was given is given again.
        calibrated = one.threshold_coverage is not None
        own = {
            "--uncertainty": one.measure, "--rule": one.rule, "--competitors": one.competitors,
            "--alpha": repr(one.alpha), "--coverage": repr(one.threshold_coverage) if calibrated else None,
            "--threshold": repr(one.threshold) if not calibrated and one.threshold is not None else None,
        }  # fmt: skip
        words = [word for name, value in (shared | own).items() if value is not None for word in (name, str(value))]
        family = ["--family-wise"] if one.family_size > 1 else []
        commands.append(
            shlex.join(
                ["rsuq", "certify", *words, *network_flags(run), *family, *_asked(run), *_sampling(run.configuration)]
            )
        )
    return commands


def network_flags(run: RunRow) -> list[str]:
    """Returns the flags without which a run's network, or its classes, would be refused."""
    parts = {"untrained": "--untrained", "class_names": "--classes-renamed"}
    published = ["--pretrained"] if PREPROCESSING in run.configuration and run.source == run.model else []
    return [*published, *(flag for part, flag in parts.items() if run.configuration.get(part))]


def _asked(run: RunRow) -> list[str]:
    """Returns the flags of what is asked for every sample, where it is more than the network once."""
    predictor = predictor_of(run.configuration)
    if predictor == PLAIN:
        return []
    views = ["--views", str(predictor.views)] if predictor.views > 1 else []
    members = ["--members", ",".join(one["file"] for one in run.configuration[MEMBERS])] if predictor.members else []
    dropout = [] if predictor.mc_dropout is None else ["--mc-dropout", repr(predictor.mc_dropout)]
    passes = ["--passes", str(predictor.mc_passes)] if dropout else []
    rejecter = [] if predictor.rejecter is None else ["--rejecter", run.configuration[REJECTER_FILE]]
    known = run.configuration.get(DENOISER, {})
    denoiser = ["--denoiser", known.get("file", known["model"])] if predictor.denoiser else []
    decide = ["--decide", predictor.decide] if predictor.passes > 1 or dropout else []
    return [*views, *members, *dropout, *passes, *rejecter, *decide, *denoiser]


def _sampling(configuration: Mapping[str, Any]) -> list[str]:
    """Returns the flags of what a run's sampling does differently from most: its noise, and when it stops."""
    noise, stopping = configuration.get("noise", "gaussian"), configuration.get("stopping", {})
    words = [] if noise == "gaussian" else ["--noise", noise]
    for flag, name in (("--at-radius", "at_radius"), ("--tolerance", "tolerance")):
        if stopping.get(name) is not None:
            words += [flag, repr(stopping[name])]
    if stopping.get("at_radius") is not None:
        words += [word for guarantee in stopping["guarantees"] for word in ("--guarantee", guarantee)]
    return words
