"""`rsuq certify`."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from rsuq_cli.commands import options
from rsuq_cli.commands.given import is_given


class Preset(StrEnum):
    """Settings that go together."""

    paper = "paper"


# What the literature certifies with: 100,000 samples, every 20th test input (Cohen et al. 2019).
PRESETS = {Preset.paper: {"n0": 100, "n": 100_000, "alpha": 0.001, "skip": 20}}


def certify(
    ctx: typer.Context,
    model: options.Model = "cnn",
    weights: options.Weights = None,
    checkpoint: options.Checkpoint = None,
    objective: options.Objective = None,
    untrained: options.Untrained = False,
    pretrained: options.Pretrained = False,
    normalise: options.Normalise = None,
    mean: options.Mean = None,
    std: options.Std = None,
    sigma: options.Sigma = 0.25,
    dataset: options.Dataset = "digits",
    classes_renamed: options.ClassesRenamed = False,
    image_size: options.ImageSize = None,
    noise_at: options.NoiseAt = "data",
    split: options.Split = "test",
    skip: Annotated[int, options.what(metavar="K", help="Take every K-th input.")] = 1,
    limit: Annotated[
        int | None,
        options.what(
            metavar="N",
            help="Take at most N inputs: the first, or spread where classes lie in order.",
            show_default="all",
        ),
    ] = None,
    uncertainty: options.Measures = None,
    views: options.Views = 1,
    members: options.Members = None,
    denoiser: options.Denoiser = None,
    mc_dropout: options.McDropout = None,
    passes: options.Passes = None,
    rejecter: options.Rejecter = None,
    decide: options.Decide = None,
    coverage: options.Coverages = None,
    threshold: options.Threshold = None,
    rule: options.Rule = "majority",
    competitors: options.Competitors = None,
    alpha: options.Alpha = 0.001,
    family_wise: options.FamilyWise = False,
    preset: Annotated[
        Preset | None,
        options.sampling(metavar="NAME", help="paper: n = 100,000, every 20th input. Other flags override it."),
    ] = None,
    n0: options.SelectionSamples = 100,
    n: options.Samples = 10_000,
    at_radius: Annotated[
        float | None,
        options.sampling(
            metavar="RADIUS",
            help="Stop an input as soon as it is decided whether its radius reaches this (pixel units).",
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        options.sampling(
            metavar="NUMBER",
            help="Stop an input as soon as going on to n cannot add more than this many sigma to a radius.",
        ),
    ] = None,
    guarantee: Annotated[
        list[str] | None,
        options.sampling(
            metavar="NAME", help="With these two: standard, cc or ncl; may be repeated.", show_default="all three"
        ),
    ] = None,
    noise: options.Noise = "gaussian",
    seed: options.Seed = 0,
    fresh: options.Fresh = False,
    anyway: Annotated[
        bool,
        options.sampling("--anyway", help="Sample a network that is near chance under noise; scripts need no flag."),
    ] = False,
    dry_run: options.DryRun = False,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    batch_size: options.BatchSize = "auto",
    workers: options.Workers = 1,
    shard: options.Shard = None,
    compile: options.Compile = None,
    data_dir: options.DataDir = None,
    name: options.Name = None,
    tag: options.Tags = None,
    radii: options.Radii = None,
    db: options.Database = None,
    format: options.OutputFormat = "table",
) -> None:
    """Certify the radii of every input of a data set, and keep the evidence.

    The same command again continues an interrupted run, or shows the complete one.
    """
    from rsuq_cli.console import Reporter
    from rsuq_cli.jobs.ensemble import Flags, asked
    from rsuq_cli.models.statistics import given_statistics
    from rsuq_cli.results.names import Labels
    from rsuq_cli.run.network.preprocessing import with_noise_at
    from rsuq_cli.run.request import CertifyRequest, Machine, Sources
    from rsuq_cli.run.shard import parse_shard

    sampling = {"n0": n0, "n": n, "alpha": alpha, "skip": skip}
    for name, value in (PRESETS[preset] if preset else {}).items():
        if not is_given(ctx, name):
            sampling[name] = value
    sources = Sources(
        model,
        dataset,
        weights,
        data_dir,
        image_size,
        normalise,
        given_statistics(mean, std),
        untrained=untrained,
        classes_renamed=classes_renamed,
        checkpoint=checkpoint,
        objective=objective,
        pretrained=pretrained,
    )
    sources = with_noise_at(sources, noise_at)
    sources, predictor = asked(sources, Flags(views, members, mc_dropout, passes, decide, rejecter, denoiser), seed, db)
    request = CertifyRequest(
        sources=sources,
        sigma=sigma,
        n0=int(sampling["n0"]),
        n=int(sampling["n"]),
        alpha=sampling["alpha"],
        seed=seed,
        noise=noise,
        split=split,
        skip=int(sampling["skip"]),
        limit=limit,
        measures=tuple(dict.fromkeys(uncertainty or ["entropy"])),
        threshold=threshold,
        coverages=tuple(dict.fromkeys(coverage or [])),
        rule=rule,  # type: ignore[arg-type]
        competitors=competitors,  # type: ignore[arg-type]
        family_wise=family_wise,
        fresh=fresh,
        at_chance=anyway or not sys.stdin.isatty(),
        predictor=predictor,
        labels=Labels(name, tuple(tag or ())),
        machine=Machine(device, precision, options.batch_size_of(batch_size), workers, compile),
        shard=parse_shard(shard),
        at_radius=at_radius,
        tolerance=tolerance,
        guarantees=tuple(dict.fromkeys(guarantee or [])),  # type: ignore[arg-type]
    )
    if dry_run:
        from rsuq_cli.jobs.certify_plan import certify_plan
        from rsuq_cli.reports.plan import certify_plan_sheet

        certify_plan_sheet(certify_plan(request, db, Reporter())).print(format)
        return
    from rsuq_cli.jobs.certify import certify_run
    from rsuq_cli.reports.comparison import comparison_table, parse_radii
    from rsuq_cli.results.database import open_for_reading
    from rsuq_cli.results.figures import figures

    wanted = parse_radii(radii, [sigma])
    outcome = certify_run(request, db, Reporter())
    with open_for_reading(db) as results:
        every = figures(results, runs=[outcome.run_id], radii=wanted)
    found = [one for one in every if one.scoring_id in outcome.scoring_ids]
    comparison_table(found).print(format)
