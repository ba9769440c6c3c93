"""`rsuq predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuq_cli.commands import options
from rsuq_cli.commands.given import is_given
from rsuq_cli.errors import BadInput
from rsuq_cli.uncertainty.measures import MEASURES

# Flags that a run has settled.
_SETTLED = (
    "model", "checkpoint", "objective", "untrained", "pretrained", "noise_at", "classes_renamed", "sigma", "dataset",
    "uncertainty", "views", "members", "denoiser", "mc_dropout", "passes", "rejecter", "decide", "coverage",
    "threshold", "rule",
    "competitors", "n0", "n", "alpha", "family_wise", "split", "seed", "noise", "image_size", "precision",
    "normalise", "mean", "std",
)  # fmt: skip


def predict(
    ctx: typer.Context,
    images: Annotated[list[Path], options.argument(help="PNG, JPEG or npy files.")],
    run: Annotated[int | None, options.what(metavar="RUN", help="Take all settings of this run.")] = None,
    scoring: Annotated[
        int | None, options.what(metavar="SCORING", help="Which reading of the run.", show_default="its first")
    ] = None,
    model: options.Model = "cnn",
    weights: Annotated[
        Path | None,
        options.what(metavar="FILE", help="safetensors or state dict.", show_default="newest checkpoint, or the run's"),
    ] = None,
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
    resize: Annotated[bool, options.what("--resize", help="Resize images of another size.")] = False,
    split: Annotated[
        str, options.what(metavar="NAME", help=f"Where to look for an image: {options.listed(options.SPLITS)}.")
    ] = "test",
    index: Annotated[
        int | None,
        options.what(
            metavar="INPUT", help="Use the noise of this input of the data set.", show_default="found by pixels"
        ),
    ] = None,
    uncertainty: Annotated[
        str, options.reading(metavar="MEASURE", help=f"{options.listed(list(MEASURES))}.")
    ] = "entropy",
    views: options.Views = 1,
    members: options.Members = None,
    denoiser: options.Denoiser = None,
    mc_dropout: options.McDropout = None,
    passes: options.Passes = None,
    rejecter: options.Rejecter = None,
    decide: options.Decide = None,
    coverage: options.Coverage = None,
    threshold: options.Threshold = None,
    rule: options.Rule = "majority",
    competitors: options.Competitors = None,
    alpha: options.Alpha = 0.001,
    family_wise: options.FamilyWise = False,
    n0: options.SelectionSamples = 100,
    n: options.Samples = 10_000,
    noise: options.Noise = "gaussian",
    seed: options.Seed = 0,
    device: Annotated[
        str | None,
        options.place(
            metavar="NAME",
            envvar="RSUQ_DEVICE",
            help="auto, cpu, cuda, cuda:N or mps.",
            show_default="auto, or the run's",
        ),
    ] = None,
    precision: options.Precision = "fp32",
    data_dir: options.DataDir = None,
    db: options.Database = None,
    format: options.OutputFormat = "table",
) -> None:
    """Answer images as the deployed classifier would: a class, uncertain or undecided, with its radii.

    The settings are those of `rsuq certify`, or with --run those of a run. An image that is in the data set gets the
    answer that certify gives it.
    """
    from rsuq_cli.console import Reporter
    from rsuq_cli.jobs.ensemble import Flags, asked
    from rsuq_cli.jobs.predict import FromRun, PredictRequest, predict_run
    from rsuq_cli.models.statistics import given_statistics
    from rsuq_cli.reports.predict import prediction_table
    from rsuq_cli.run.network.preprocessing import with_noise_at
    from rsuq_cli.run.request import CertifyRequest, Machine, Sources

    settings: FromRun | CertifyRequest
    if run is not None:
        for name in _SETTLED:
            if is_given(ctx, name):
                flag = "--" + name.replace("_", "-")
                raise BadInput(f"both --run and {flag} are given", f"the run has settled it: leave {flag} out")
        settings = FromRun(run, scoring, weights, data_dir, device)
    else:
        if scoring is not None:
            raise BadInput("--scoring without --run", "name the run that it reads")
        sources = Sources(
            model,
            dataset,
            weights,
            data_dir,
            image_size,
            normalise=normalise,
            statistics=given_statistics(mean, std),
            untrained=untrained,
            classes_renamed=classes_renamed,
            checkpoint=checkpoint,
            objective=objective,
            pretrained=pretrained,
        )
        sources = with_noise_at(sources, noise_at)
        sources, predictor = asked(
            sources, Flags(views, members, mc_dropout, passes, decide, rejecter, denoiser), seed, db
        )
        settings = CertifyRequest(
            sources=sources,
            sigma=sigma,
            n0=n0,
            n=n,
            alpha=alpha,
            seed=seed,
            noise=noise,
            split=split,
            measures=(uncertainty,),
            threshold=threshold,
            coverages=() if coverage is None else (coverage,),
            rule=rule,  # type: ignore[arg-type]
            competitors=competitors,  # type: ignore[arg-type]
            family_wise=family_wise,
            predictor=predictor,
            machine=Machine(device or "auto", precision),
        )
    request = PredictRequest(tuple(images), settings, index, resize)
    prediction_table(predict_run(request, db, Reporter())).print(format)
