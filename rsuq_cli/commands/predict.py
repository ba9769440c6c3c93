"""`rsuq predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuq_cli.commands import options
from rsuq_cli.errors import BadInput

# Flags that a run has settled.
_SETTLED = (
    "model", "sigma", "dataset", "uncertainty", "coverage", "threshold", "rule", "competitors", "n0", "n", "alpha",
    "family_wise", "split", "seed", "noise", "image_size", "precision",
)  # fmt: skip


def predict(
    ctx: typer.Context,
    images: Annotated[list[Path], typer.Argument(help="PNG, JPEG or npy files.")],
    run: Annotated[int | None, typer.Option(help="Take all settings of this run.", show_default=False)] = None,
    scoring: Annotated[
        int | None, typer.Option(help="Which reading of the run.", show_default="its first")
    ] = None,
    model: options.Model = "cnn",
    sigma: options.Sigma = 0.25,
    dataset: options.Dataset = "digits",
    weights: Annotated[
        Path | None, typer.Option(help="safetensors or state dict.", show_default="newest checkpoint, or the run's")
    ] = None,
    uncertainty: Annotated[
        str, typer.Option(help="entropy, confidence, margin, energy, max_logit or gen.")
    ] = "entropy",
    coverage: Annotated[
        float | None, typer.Option(help="Share of noisy calibration inputs to answer.", show_default="0.9")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Certain when the uncertainty is at most this.")] = None,
    rule: options.Rule = "majority",
    competitors: options.Competitors = None,
    n0: Annotated[int, typer.Option("--n0", help="Samples that select the class.")] = 100,
    n: Annotated[int, typer.Option("--n", help="Samples that estimate its mass.")] = 10_000,
    alpha: options.Alpha = 0.001,
    family_wise: options.FamilyWise = False,
    index: Annotated[
        int | None, typer.Option(help="Use the noise of this input of the data set.", show_default="found by pixels")
    ] = None,
    split: Annotated[str, typer.Option(help="Where to look for an image: test, calibration or train.")] = "test",
    resize: Annotated[bool, typer.Option("--resize", help="Resize images of another size.")] = False,
    seed: options.Seed = 0,
    noise: options.Noise = "gaussian",
    image_size: options.ImageSize = None,
    device: Annotated[
        str | None, typer.Option(envvar="RSUQ_DEVICE", help="auto, cpu, cuda, cuda:N or mps.",
                                 show_default="auto, or the run's")
    ] = None,
    precision: options.Precision = "fp32",
    data_dir: options.DataDir = None,
    db: options.Database = None,
    format: options.OutputFormat = "table",
) -> None:  # fmt: skip
    """Answer images as the deployed classifier would: a class, uncertain or undecided, with both radii.

    The settings are those of `rsuq certify`, or with --run those of a run. An image that is in the data set gets the
    answer that certify gives it.
    """
    from rsuq_cli.console import Reporter
    from rsuq_cli.jobs.predict import FromRun, PredictRequest, predict_run
    from rsuq_cli.jobs.request import CertifyRequest, Sources
    from rsuq_cli.reports.predict import prediction_table

    settings: FromRun | CertifyRequest
    if run is not None:
        for name in _SETTLED:
            source = ctx.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                flag = "--" + name.replace("_", "-")
                raise BadInput(f"both --run and {flag} are given", f"the run has settled it: leave {flag} out")
        settings = FromRun(run, scoring, weights, data_dir, device)
    else:
        if scoring is not None:
            raise BadInput("--scoring without --run", "name the run that it reads")
        settings = CertifyRequest(
            sources=Sources(model, dataset, weights, data_dir, image_size, device or "auto", precision),
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
        )
    request = PredictRequest(tuple(images), settings, index, resize)
    prediction_table(predict_run(request, db, Reporter())).print(format)
