"""`rsuq ood`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rsuq_cli.commands import options
from rsuq_cli.commands.given import is_given
from rsuq_cli.errors import BadInput


def ood(
    ctx: typer.Context,
    run: Annotated[
        int | None,
        options.what(metavar="RUN", help="A finished certify run whose evidence is the in-distribution side."),
    ] = None,
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
    ood: Annotated[
        list[str] | None,
        options.what(
            "--ood",
            metavar="SET",
            help=f"{', '.join(options.OOD_SETS)}, held-out, a data set, folder:PATH (flat, or with class folders) or "
            "npz:PATH; may be repeated.",
        ),
    ] = None,
    near: Annotated[
        list[str] | None,
        options.what(metavar="SET", help="Of these sets, one that counts as near; may be repeated."),
    ] = None,
    image_size: options.ImageSize = None,
    noise_at: options.NoiseAt = "data",
    split: options.Split = "test",
    limit: Annotated[
        int | None,
        options.what(metavar="N", help="Take at most N inputs of each set, spread evenly.", show_default="all"),
    ] = None,
    uncertainty: options.Measures = None,
    views: options.Views = 1,
    members: options.Members = None,
    denoiser: options.Denoiser = None,
    mc_dropout: options.McDropout = None,
    passes: options.Passes = None,
    rejecter: options.Rejecter = None,
    decide: options.Decide = None,
    coverage: options.Coverage = None,
    threshold: options.Threshold = None,
    alpha: options.Alpha = 0.001,
    simultaneous: Annotated[
        bool,
        options.reading("--simultaneous", help="Split alpha over every bound of the run, so that all hold together."),
    ] = False,
    n0: options.SelectionSamples = 100,
    n: Annotated[int, options.sampling("--n", metavar="N", help="Samples that estimate scores and masses.")] = 1000,
    seed: options.Seed = 0,
    fresh: options.Fresh = False,
    dry_run: options.DryRun = False,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    batch_size: options.BatchSize = "auto",
    workers: options.Workers = 1,
    shard: options.Shard = None,
    compile: options.Compile = None,
    data_dir: options.DataDir = None,
    score: Annotated[
        list[str] | None,
        options.view(metavar="SCORE", help="Show only this score or family; may be repeated.", show_default="all"),
    ] = None,
    convention: Annotated[
        str, options.view(metavar="NAME", help="Which side is positive for FPR95: ood-positive or id-positive.")
    ] = "ood-positive",
    details: options.Details = False,
    intervals: options.Intervals = False,
    name: options.Name = None,
    tag: options.Tags = None,
    radii: options.Radii = None,
    db: options.Database = None,
    format: options.OutputFormat = "table",
) -> None:
    """Tell inputs from elsewhere by the uncertainty of the smoothed classifier, and certify how well.

    Clean scores beside smoothed ones, with what an attacker cannot take away. The same command again continues an
    interrupted run, or shows the complete one.
    """
    from rsuq_cli.console import Reporter, is_machine, print_tables
    from rsuq_cli.jobs.ensemble import Flags, asked
    from rsuq_cli.jobs.ood.request import OodRequest
    from rsuq_cli.models.statistics import given_statistics
    from rsuq_cli.reports.comparison import parse_radii
    from rsuq_cli.results.names import Labels
    from rsuq_cli.run.network.preprocessing import with_noise_at
    from rsuq_cli.run.request import CertifyRequest, Machine, Sources
    from rsuq_cli.run.shard import parse_shard

    settings: dict[str, Any] = {
        "model": model, "dataset": dataset, "sigma": sigma, "n0": n0, "n": n, "seed": seed, "split": split,
        "precision": precision, "weights": weights, "image_size": image_size,
        "untrained": untrained, "pretrained": pretrained, "factory_file": None, "views": views, "decide": decide,
    }  # fmt: skip
    if run is not None:
        chosen = {
            "--checkpoint": checkpoint, "--objective": objective, "--members": members, "--denoiser": denoiser,
            "--mc-dropout": mc_dropout, "--passes": passes, "--rejecter": rejecter,
            "--noise-at": None if noise_at == "data" else noise_at,
        }  # fmt: skip
        for flag, value in chosen.items():
            if value is not None:
                raise BadInput(f"both --run and {flag} are given", f"the run has settled it: leave {flag} out")
        from rsuq_cli.jobs.ood.reuse import settings_of_run
        from rsuq_cli.results.database import open_for_reading

        with open_for_reading(db) as results:
            settings |= settings_of_run(results, run, {n: v for n, v in settings.items() if is_given(ctx, n)})
    sources = Sources(
        settings["model"], settings["dataset"], settings["weights"], data_dir, settings["image_size"],
        normalise, given_statistics(mean, std), settings.get("assumed"),
        settings["untrained"], settings["factory_file"], classes_renamed, settings.get("recorded_classes"),
        checkpoint, objective, settings.get("members", ()), settings["pretrained"], settings.get("monte_carlo"),
        settings.get("rejecter"), settings.get("denoiser"),
    )  # fmt: skip
    sources = with_noise_at(sources, noise_at)
    predictor = settings.get("predictor")
    if predictor is None:
        sources, predictor = asked(
            sources, Flags(views, members, mc_dropout, passes, decide, rejecter, denoiser), seed, db
        )
    certify = CertifyRequest(
        sources=sources,
        sigma=settings["sigma"],
        n0=settings["n0"],
        n=settings["n"],
        alpha=alpha,
        seed=settings["seed"],
        split=settings["split"],
        limit=limit,
        measures=tuple(dict.fromkeys(uncertainty or ["entropy"])),
        threshold=threshold,
        coverages=() if coverage is None else (coverage,),
        fresh=fresh,
        predictor=predictor,
        labels=Labels(name, tuple(tag or ())),
        machine=Machine(device, settings["precision"], options.batch_size_of(batch_size), workers, compile),
        shard=parse_shard(shard),
    )
    request = OodRequest(
        certify=certify,
        sets=tuple(dict.fromkeys(ood or [])),
        radii=tuple(dict.fromkeys(parse_radii(radii, [settings["sigma"]]))),
        near=tuple(near or []),
        scores=tuple(score or []),
        convention=convention,  # type: ignore[arg-type]
        run=run,
        simultaneous=simultaneous,
    )
    if dry_run:
        from rsuq_cli.jobs.ood.plan import ood_plan
        from rsuq_cli.reports.plan import ood_plan_sheet

        ood_plan_sheet(ood_plan(request, db, Reporter())).print(format)
        return
    from rsuq_cli.jobs.ood.run import ood_run
    from rsuq_cli.reports.ood.records import record_table
    from rsuq_cli.reports.ood.summary import people_tables
    from rsuq_cli.reports.ood.view import View
    from rsuq_cli.results.database import open_for_reading
    from rsuq_cli.results.ood_queries import ood_runs

    outcome = ood_run(request, db, Reporter())
    with open_for_reading(db) as results:
        view = View(ood_runs(results, runs=[outcome.run_id]), outcome.scores, request.convention)
    if is_machine(format):
        record_table(view).print(format)
        return
    by_score = bool(score) or is_given(ctx, "convention")
    print_tables(people_tables(view, details=details, intervals=intervals, by_score=by_score), format)
