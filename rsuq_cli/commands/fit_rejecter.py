"""`rsuq fit-rejecter`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rsuq_cli.commands import options


def fit_rejecter(
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
    views: options.Views = 1,
    members: options.Members = None,
    denoiser: options.Denoiser = None,
    mc_dropout: options.McDropout = None,
    passes: options.Passes = None,
    decide: options.Decide = None,
    coverage: options.Coverage = None,
    kind: Annotated[
        str,
        options.reading(
            metavar="KIND",
            help="linear, of what all passes say; or temperature: their own margin at temperatures fitted under noise.",
        ),
    ] = "linear",
    max_cc_cost: Annotated[
        float, options.reading(metavar="SHARE", help="The most that it may cost of the average CC radius.")
    ] = 0.07,
    noise: options.Noise = "gaussian",
    seed: options.Seed = 0,
    device: options.OneDevice = "auto",
    precision: options.Precision = "fp32",
    batch_size: options.BatchSize = "auto",
    data_dir: options.DataDir = None,
    checkpoint_dir: Annotated[
        Path | None,
        options.output(metavar="FOLDER", help="Where the rejecter goes.", show_default="beside the database"),
    ] = None,
    name: options.Name = None,
    tag: options.Tags = None,
    db: options.Database = None,
    format: options.OutputFormat = "table",
) -> None:
    """Fit what rejects noise samples to half of the calibration images, for --rejecter of certify.

    The other half calibrates thresholds. It is fitted for these networks, asked in this way.
    """
    from rsuq_cli.console import Reporter
    from rsuq_cli.jobs.ensemble import Flags, asked
    from rsuq_cli.jobs.rejecter.request import RejecterRequest
    from rsuq_cli.jobs.rejecter.run import fit_rejecter as fit
    from rsuq_cli.models.statistics import given_statistics
    from rsuq_cli.reports.rejecter import rejecter_table
    from rsuq_cli.results.names import Labels
    from rsuq_cli.run.network.preprocessing import with_noise_at
    from rsuq_cli.run.request import DEFAULT_COVERAGE, Machine, Sources

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
    sources, predictor = asked(sources, Flags(views, members, mc_dropout, passes, decide, denoiser=denoiser), seed, db)
    request = RejecterRequest(
        sources=sources,
        sigma=sigma,
        predictor=predictor,
        coverage=DEFAULT_COVERAGE if coverage is None else coverage,
        max_cc_cost=max_cc_cost,
        kind=kind,  # type: ignore[arg-type]
        noise=noise,
        seed=seed,
        folder=checkpoint_dir,
        labels=Labels(name, tuple(tag or ())),
        machine=Machine(device, precision, options.batch_size_of(batch_size)),
    )
    rejecter_table(fit(request, db, Reporter())).print(format)
