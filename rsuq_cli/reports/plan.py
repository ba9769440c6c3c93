"""What a command would do, as `--dry-run` prints it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from rsuq_cli.console import radius_text
from rsuq_cli.reports.runs import bytes_text
from rsuq_cli.reports.sheet import Sheet, sheet
from rsuq_cli.run.durations import duration_text

if TYPE_CHECKING:
    from rsuq_cli.jobs.certify_plan import CertifyPlan
    from rsuq_cli.jobs.ood.plan import OodPlan
    from rsuq_cli.jobs.training.plan import TrainPlan

# Settings whose own names are abbreviations.
_TRAINING = {"sigma": "σ", "amp": "mixed precision"}
TITLE = "dry run: nothing is {} or written"


def certify_plan_sheet(plan: CertifyPlan) -> Sheet:
    """Returns the plan of a certify run; its JSON is the plan itself."""
    samples = plan.n0 + plan.n
    most = "" if plan.stopping is None else "at most "
    todo = plan.inputs - plan.finished
    cost = f"{most}{todo:,} inputs × {samples:,} samples = {most}{plan.samples:,} samples"
    workers = f", {plan.workers} workers" if plan.workers > 1 else ""
    compiled = ", compiled" if plan.compiled else ""
    time = f"{most}about {duration_text(plan.seconds)} ({plan.samples_per_second:,.0f} samples/s)"
    lines = [
        ("model", plan.model), ("checkpoint", plan.checkpoint_id), ("weights from", plan.weights),
        ("data set", f"{plan.dataset}, {plan.split}"), ("subset", _subset(plan)),
        ("σ", f"{plan.sigma:g}, {plan.noise} noise, seed {plan.seed}"),
        ("samples", f"n0 = {plan.n0:,}, n = {plan.n:,}" + ("" if plan.stopping is None else ", fewer once decided")),
        ("rule", f"{plan.rule}, {plan.competitors} competitors, α = {plan.alpha:g}"
                 + (f" over {plan.family_size} guarantees" if plan.family_size > 1 else "")),
        ("uncertainty", [_threshold(plan, measure) for measure in plan.measures]),
        ("ceiling", f"no radius can exceed {radius_text(plan.ceiling)}"),
        ("device", f"{plan.device}, {plan.precision}, batches of {plan.batch_size:,}{workers}{compiled}"),
        ("run", _run(plan)),
        ("cost", cost if todo else "nothing: every input is sampled"),
        ("time", time if todo else ""),
        ("size", f"about {bytes_text(plan.bytes)} in the database" if todo else ""),
        ("warnings", list(plan.warnings)),
    ]  # fmt: skip
    record = asdict(plan) | {name: list(getattr(plan, name)) for name in ("measures", "coverages", "warnings")}
    return sheet(TITLE.format("sampled"), record, lines)


def ood_plan_sheet(plan: OodPlan) -> Sheet:
    """Returns the plan of an out-of-distribution run; its JSON is the plan itself."""
    samples = plan.n0 + plan.n
    rejecting = f"coverage {plan.coverages[0]:g}" if plan.threshold is None else f"θ = {plan.threshold:g}"
    sets = [f"{name}: {count:,} inputs, {plan.finished[name]:,} finished" for name, count in plan.inputs.items()]
    lines = [
        ("model", plan.model), ("checkpoint", plan.checkpoint_id), ("weights from", plan.weights),
        ("sets", sets), ("σ", f"{plan.sigma:g}, seed {plan.seed}"), ("samples", f"n0 = {plan.n0:,}, n = {plan.n:,}"),
        ("rejection", f"{', '.join(plan.measures)} at {rejecting}, α = {plan.alpha:g}"),
        ("device", f"{plan.device}, {plan.precision}"),
        ("evidence", None if plan.reused is None else f"of run {plan.reused}, for {plan.dataset}"),
        ("run", "a new one" if plan.run_id is None else f"run {plan.run_id}"),
        ("cost", f"{plan.samples // samples:,} inputs × {samples:,} samples = {plan.samples:,} samples"
                 if plan.samples else "nothing: every input is sampled"),
        ("time", f"about {duration_text(plan.seconds)} ({plan.samples_per_second:,.0f} samples/s)"
                 if plan.samples else ""),
        ("warnings", list(plan.warnings)),
    ]  # fmt: skip
    record = asdict(plan) | {name: list(getattr(plan, name)) for name in ("measures", "coverages", "warnings")}
    return sheet(TITLE.format("sampled"), record, lines)


def train_plan_sheet(plan: TrainPlan) -> Sheet:
    """Returns the plan of a training; its JSON is the plan itself."""
    begun = f"an interrupted training goes on after epoch {plan.finished_epochs}, if network and data are as they were"
    shown = f"trained already: checkpoint {plan.trained} would be shown (--fresh trains anew)"
    lines = [
        ("model", plan.model), ("networks", _networks(plan)),
        ("data set", f"{plan.dataset}, {plan.inputs:,} training inputs"),
        *((_TRAINING.get(name, name.replace("_", " ")), _spelled(value)) for name, value in plan.settings.items()),
        ("a step costs", None if plan.plain_steps == 1 else f"about {plan.plain_steps:g} plain ones"),
        ("device", plan.device), ("checkpoint in", plan.folder),
        ("state", shown if plan.trained is not None else begun if plan.finished_epochs else "a new training"),
        ("time", None if plan.seconds is None else f"about {duration_text(plan.seconds)} for the other epochs"),
        ("there are", f"checkpoint {', '.join(map(str, plan.checkpoints))} for this model, data set and σ"
                      if plan.checkpoints else "no checkpoints for this model, data set and σ"),
    ]  # fmt: skip
    return sheet(
        TITLE.format("trained"),
        asdict(plan) | {"checkpoints": list(plan.checkpoints), "members": list(plan.members)},
        lines,
    )


def _networks(plan: TrainPlan) -> str | None:
    """Returns how many networks an ensemble has, and which are trained; the rest of the plan is of the first."""
    if not plan.members:
        return None
    trained = [str(one) for one in plan.members if one is not None]
    known = f"; trained already: checkpoint {', '.join(trained)}" if trained else ""
    return f"{len(plan.members)}, one after another, with seeds of their own{known}; what follows is the first"


def _spelled(value: object) -> object:
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _subset(plan: CertifyPlan) -> str:
    every = "every input" if plan.skip == 1 else f"every {plan.skip}th input"
    limit = "" if plan.limit is None else f", at most {plan.limit:,}" + (" spread evenly" if plan.spread else "")
    return f"{plan.inputs:,} inputs: {every}{limit}"


def _threshold(plan: CertifyPlan, measure: str) -> str:
    if known := plan.thresholds.get(measure):
        return f"{measure} ≤ {', '.join(f'{value:.4g}' for value in known)}"
    shares = ", ".join(f"{coverage:g}" for coverage in plan.coverages)
    return f"{measure}, calibrated to a coverage of {shares} on {plan.calibration_samples:,} noisy held-out samples"


def _run(plan: CertifyPlan) -> str:
    if plan.run_id is None:
        return "a new one"
    return f"run {plan.run_id}, which has {plan.finished:,} of {plan.inputs:,} inputs"
