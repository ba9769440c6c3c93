"""Flags that several commands share, so that they are spelled and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rsuq_cli.console import Format
from rsuq_cli.errors import BadInput

Database = Annotated[
    str | None,
    typer.Option(
        "--db", envvar="RSUQ_DB", help="Results: a path or SQLAlchemy URL.", show_default="in the user's data directory"
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        envvar="RSUQ_DATA_DIR", help="Where data sets lie or are downloaded to.", show_default="user's data directory"
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        help="digits (embedded), cifar10, cifar100, mnist, fashion_mnist, svhn, folder:PATH (train/CLASS/*, "
        "test/CLASS/*) or npz:PATH (x_train, y_train, x_test, y_test)."
    ),
]
Model = Annotated[
    str,
    typer.Option(
        help="mlp, cnn, resnet20/32/56/110, resnet18, resnet50, wide_resnet50_2, densenet121, vit_b_16, or your own: "
        "module:factory or path/file.py:factory."
    ),
]
Sigma = Annotated[float, typer.Option(help="Noise level in pixel units (pixels are in [0, 1]).")]
ImageSize = Annotated[int | None, typer.Option(help="Resize images to this side.", show_default="as they are")]
Device = Annotated[
    str, typer.Option(envvar="RSUQ_DEVICE", help="auto, cpu, cuda, cuda:N, mps, or a list such as cuda:0,cuda:1.")
]
Precision = Annotated[str, typer.Option(help="fp32, tf32 (NVIDIA) or bf16; it is recorded with the results.")]
BatchSize = Annotated[str, typer.Option(help="Samples in a forward pass, or auto.")]
Workers = Annotated[int, typer.Option(help="Processes that sample side by side; several devices have one each.")]
Compile = Annotated[
    bool | None,
    typer.Option("--compile/--no-compile", help="Use torch.compile.", show_default="for long jobs"),
]
OutputFormat = Annotated[Format, typer.Option("--format", help="What stdout gets.")]
Radii = Annotated[
    str | None,
    typer.Option(help="Radii of the certified curves, such as 0,0.25,0.5.", show_default="multiples of sigma"),
]
Alpha = Annotated[float, typer.Option(help="Error probability of a guarantee.")]
FamilyWise = Annotated[
    bool, typer.Option("--family-wise", help="Split alpha over all guarantees that are printed for one input.")
]
Rule = Annotated[str, typer.Option(help="How votes decide: majority, plurality, filtered or standard.")]
Competitors = Annotated[
    str | None,
    typer.Option(help="Bound other classes merged, class-wise, or auto.", show_default="merged; class-wise where "
                 "the rule compares classes"),
]  # fmt: skip
Fresh = Annotated[bool, typer.Option("--fresh", help="Start anew instead of going on.")]
Noise = Annotated[str, typer.Option(help="gaussian, or grid: rounded to multiples of 1/255, exact for 8-bit inputs.")]
Seed = Annotated[int, typer.Option(help="Seed of all randomness.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", help="Write the answer to this file, whole or not at all.", show_default="stdout"),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that exists.")]


def batch_size_of(text: str) -> int | None:
    """Returns a batch size, None for "auto". Raises BadInput for what is no number."""
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise BadInput(f"--batch-size is {text!r}", "give a number of samples, or auto") from error
