"""`rsuq train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuq_cli.commands import options
from rsuq_cli.commands.given import is_given
from rsuq_cli.errors import BadInput
from rsuq_cli.models.denoiser import DENOISERS
from rsuq_cli.training.objectives.names import objective_names


def train(
    ctx: typer.Context,
    model: options.Model = "cnn",
    denoiser: Annotated[
        str | None,
        options.what(
            "--denoiser",
            metavar="NAME",
            help=f"Train a denoiser, {options.listed(DENOISERS)}, instead of a network; --for says in front of which.",
        ),
    ] = None,
    for_: Annotated[
        str | None,
        options.what("--for", metavar="ID|FILE|MODEL", help="The network that the denoiser is for; it stays as it is."),
    ] = None,
    pretrained: options.Pretrained = False,
    sigma: options.Sigma = 0.25,
    dataset: options.Dataset = "digits",
    hold_out_classes: Annotated[
        str | None,
        options.what(
            metavar="CLASSES",
            help="Classes, such as 8,9 or cat, left out of training: near out-of-distribution data. Names, or ids.",
        ),
    ] = None,
    image_size: options.ImageSize = None,
    noise_at: options.NoiseAt = "data",
    objective: Annotated[
        str | None,
        options.training(
            metavar="NAME",
            help=f"What is minimised under noise: {options.listed(objective_names())}.",
            show_default="gaussian; denoise-mse for a denoiser",
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        options.training("--set", metavar="NAME=VALUE", help="A parameter of the objective; may be repeated."),
    ] = None,
    init: Annotated[
        str | None,
        options.training(
            "--init",
            metavar="ID|FILE",
            help="Begin with the weights of this checkpoint or file: a tenth of the usual epochs and learning rate.",
            show_default="drawn",
        ),
    ] = None,
    frozen_body: Annotated[
        bool,
        options.training("--frozen-body", help="Train the last layer alone: for --init or --pretrained on few images."),
    ] = False,
    epochs: Annotated[
        int | None, options.training(metavar="N", help="Passes over the data.", show_default="what suits")
    ] = None,
    batch_size: Annotated[
        int | None, options.training(metavar="N", help="Inputs in a step.", show_default="what suits")
    ] = None,
    learning_rate: Annotated[
        float | None, options.training(metavar="NUMBER", help="Highest rate.", show_default="what suits")
    ] = None,
    schedule: Annotated[
        str, options.training(metavar="NAME", help=f"{options.listed(options.SCHEDULES)}.")
    ] = "one-cycle",
    ema: Annotated[
        float, options.training(metavar="DECAY", help="Keep averaged weights, such as 0.999; 0 keeps the last.")
    ] = 0.0,
    ensemble: Annotated[
        int | None,
        options.training(
            "--ensemble",
            metavar="N",
            help="Train N networks with seeds from --seed on, for --members.",
            show_default="one network",
        ),
    ] = None,
    seed: options.Seed = 0,
    fresh: options.Fresh = False,
    dry_run: options.DryRun = False,
    device: options.OneDevice = "auto",
    precision: options.Precision = "fp32",
    compile: Annotated[
        bool, options.training("--compile", help="Use torch.compile, whose other rounding makes it another network.")
    ] = False,
    data_dir: options.DataDir = None,
    checkpoint_dir: Annotated[
        Path | None,
        options.output(metavar="FOLDER", help="Where the checkpoint goes.", show_default="beside the database"),
    ] = None,
    name: options.Name = None,
    tag: options.Tags = None,
    db: options.Database = None,
    format: options.OutputFormat = "table",
) -> None:
    """Train a classifier that is robust against Gaussian noise, or a denoiser for one that is not.

    Interrupted, the same command goes on after the last finished epoch; complete, it shows the checkpoint.
    """
    from rsuq_cli.console import Reporter
    from rsuq_cli.jobs.ensemble import train_members, training_of_members
    from rsuq_cli.jobs.training.request import TrainRequest
    from rsuq_cli.reports.checkpoints import checkpoint_table
    from rsuq_cli.results.names import Labels
    from rsuq_cli.run.network.preprocessing import with_noise_at
    from rsuq_cli.run.request import Machine, Sources
    from rsuq_cli.training.objectives.registry import assignments

    if hold_out_classes is not None:
        from rsuq_cli.datasets.names import without

        dataset = without(dataset, hold_out_classes)
    if (denoiser is None) != (for_ is None):
        given, missing = ("--for", "--denoiser") if denoiser is None else ("--denoiser", "--for")
        raise BadInput(f"{given} is given without {missing}", f"give {missing} with it")
    if denoiser is not None:
        settled = {"--model": "model", "--pretrained": "pretrained", "--frozen-body": "frozen_body"}
        for flag, name_ in settled.items():
            if is_given(ctx, name_):
                raise BadInput(f"both --denoiser and {flag} are given", f"--for names the network: leave {flag} out")
    request = TrainRequest(
        with_noise_at(Sources(denoiser or model, dataset, None, data_dir, image_size, pretrained=pretrained), noise_at),
        sigma,
        epochs,
        batch_size,
        learning_rate,
        schedule,
        objective or ("denoise-mse" if denoiser else "gaussian"),
        assignments(parameter or []),
        init,
        ema,
        seed,
        checkpoint_dir,
        fresh,
        labels=Labels(name, tuple(tag or ())),
        machine=Machine(device, precision, compile=compile),
        classifier=for_,
        frozen_body=frozen_body,
    )
    requests = training_of_members(request, ensemble)
    if dry_run:
        from rsuq_cli.jobs.training.plan import train_plan
        from rsuq_cli.reports.plan import train_plan_sheet

        train_plan_sheet(train_plan(requests, db, Reporter())).print(format)
        return
    checkpoint_table(train_members(requests, db, Reporter())).print(format)
