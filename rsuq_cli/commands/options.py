"""Flags that several commands share, so that they are spelled and explained once, and the panels that hold all flags.

Invariant: a command's parameters stand in the order of `PANELS`, and flags that two commands have in the same panel
stand in the same order in both. Names that belong to slow modules are repeated here, and held to them by a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from rsuq_cli.console import FORMATS, Format
from rsuq_cli.errors import BadInput
from rsuq_cli.uncertainty.measures import MEASURES

WHAT = "What is certified"
RULE = "Uncertainty and rule"
TRAINING = "Training"
ATTACK = "Attack"
SAMPLING = "Sampling"
PLACE = "Where it runs"
VIEW = "What is shown"
OUTPUT = "Output"
# What --help shows, in this order; a command has those that it needs.
PANELS = (WHAT, RULE, TRAINING, ATTACK, SAMPLING, PLACE, VIEW, OUTPUT)

# `options.what(help=...)` is `typer.Option` in the panel of that name, and so on.
argument = partial(typer.Argument, rich_help_panel=WHAT)
what = partial(typer.Option, rich_help_panel=WHAT)
reading = partial(typer.Option, rich_help_panel=RULE)
training = partial(typer.Option, rich_help_panel=TRAINING)
attack = partial(typer.Option, rich_help_panel=ATTACK)
sampling = partial(typer.Option, rich_help_panel=SAMPLING)
place = partial(typer.Option, rich_help_panel=PLACE)
view = partial(typer.Option, rich_help_panel=VIEW)
output = partial(typer.Option, rich_help_panel=OUTPUT)

# Known to modules that import torch or scipy, for which --help does not wait.
MODELS = (
    "mlp", "cnn", "resnet20", "resnet32", "resnet56", "resnet110", "resnet18", "resnet50", "wide_resnet50_2",
    "densenet121", "vit_b_16",
)  # fmt: skip
NORMALISATIONS = ("none", "half", "cifar10", "cifar100", "imagenet", "mnist", "data")
DATASETS = ("digits", "cifar10", "cifar100", "mnist", "fashion_mnist", "svhn")
OOD_SETS = ("noise:gaussian", "noise:uniform", "noise:smooth", "constant", "photo-patches")
RULES = ("majority", "plurality", "filtered", "standard")
COMPETITORS = ("merged", "class-wise", "auto")
SPLITS = ("test", "calibration", "train")
NOISES = ("gaussian", "grid")
PRECISIONS = ("fp32", "tf32", "bf16")
SCHEDULES = ("one-cycle", "cosine")
GROUPINGS = ("model", "uncertainty", "objective", "sigma", "threshold", "rule", "dataset", "run", "source")
PICTURE_PANELS = ("curves", "masses", "tradeoff", "risk", "scatter", "ood")


def listed(names: Sequence[str]) -> str:
    """Returns names as a sentence has them: "a, b or c"."""
    *before, last = names
    return f"{', '.join(before)} or {last}" if before else last


# What is certified
Model = Annotated[
    str,
    what(
        metavar="NAME",
        help=f"{', '.join(MODELS)}; timm:NAME, torchvision:NAME or hf:REPOSITORY; or your own: module:factory or "
        "path/file.py:factory.",
    ),
]
Weights = Annotated[
    Path | None,
    what(
        metavar="FILE",
        help="safetensors or a state dict; FILE#PART takes one part of it, such as averaged weights.",
        show_default="newest checkpoint",
    ),
]
Checkpoint = Annotated[
    str | None,
    what("--checkpoint", metavar="ID", help="This checkpoint: its number, or its name.", show_default="the newest"),
]
Objective = Annotated[
    str | None,
    what("--objective", metavar="NAME", help="The newest checkpoint trained for this.", show_default="any"),
]
Untrained = Annotated[
    bool, what("--untrained", help="Take the weights that your factory draws, though nobody trained them.")
]
Pretrained = Annotated[
    bool, what("--pretrained", help="Of timm:, torchvision: or hf:, the weights that the library publishes.")
]
NoiseAt = Annotated[
    str,
    what(
        "--noise-at", metavar="WHERE",
        help="data: noise at the data's size, resized after it as a library does; or model: resized before it.",
    ),
]  # fmt: skip
Normalise = Annotated[
    str | None,
    what(
        metavar="NAME",
        help=f"Normalisation of weights that hold none: {listed(NORMALISATIONS)} (the training inputs' own).",
        show_default="found on noisy calibration inputs",
    ),
]
Mean = Annotated[
    str | None, what(metavar="LIST", help="Its means instead, as 0.49,0.48,0.45 (pixel units).", show_default=False)
]
Std = Annotated[str | None, what(metavar="LIST", help="With --mean: its standard deviations.", show_default=False)]
ClassesRenamed = Annotated[
    bool, what("--classes-renamed", help="Classes of other names than the weights know are the same, in their order.")
]
Sigma = Annotated[float, what(metavar="NUMBER", help="Noise level in pixel units (pixels are in [0, 1]).")]
Dataset = Annotated[
    str,
    what(
        metavar="NAME",
        help=f"digits (embedded), {', '.join(DATASETS[1:])}; folder:PATH (train/CLASS/*, test/CLASS/*) or npz:PATH "
        "(x_train, y_train, x_test, y_test).",
    ),
]
ImageSize = Annotated[
    int | None, what(metavar="PIXELS", help="Resize images to this side.", show_default="as they are")
]
Split = Annotated[str, what(metavar="NAME", help=f"{listed(SPLITS)}.")]
RunNamed = Annotated[str, argument(metavar="RUN", help="Its number, or its name where no other run has it.")]
CheckpointNamed = Annotated[
    str, argument(metavar="CHECKPOINT", help="Its number, or its name where no other checkpoint has it.")
]
OnlyName = Annotated[str | None, what("--name", metavar="NAME", help="Only what is called this.")]
OnlyTags = Annotated[
    list[str] | None, what("--tag", metavar="TAG", help="Only what has this tag; repeated: all of them.")
]

# Uncertainty and rule
Measures = Annotated[
    list[str] | None,
    reading(metavar="MEASURE", help=f"{listed(list(MEASURES))}; may be repeated.", show_default="entropy"),
]
Views = Annotated[
    int,
    reading(
        "--views", metavar="N",
        help="Ask the network about every noisy input, its mirror image (2), and both moved by a pixel (4, 8): N times "
        "the cost.",
    ),
]  # fmt: skip
Members = Annotated[
    str | None,
    reading(
        "--members", metavar="ID|FILE,...",
        help="An ensemble: these checkpoints, or files of weights, are all asked about every noisy input.",
        show_default="one network",
    ),
]  # fmt: skip
Denoiser = Annotated[
    str | None,
    reading(
        "--denoiser", metavar="ID|FILE|FACTORY",
        help="Put this in front of the network: a checkpoint of rsuq train --denoiser, or path/file.py:factory.",
        show_default="none",
    ),
]  # fmt: skip
McDropout = Annotated[
    float | None,
    reading(
        "--mc-dropout", metavar="RATE",
        help="Keep dropout on, every sample with masks of its own: the network's, or else of this rate before its last "
        "layer.",
        show_default="off",
    ),
]  # fmt: skip
Passes = Annotated[
    int | None, reading("--passes", metavar="N", help="Masks for every sample with --mc-dropout.", show_default="8")
]
Rejecter = Annotated[
    str | None,
    reading(
        "--rejecter", metavar="ID|FILE", help="What rsuq fit-rejecter fitted; its measure is called rejecter.",
        show_default="none",
    ),
]  # fmt: skip
Decide = Annotated[
    str | None,
    reading(
        metavar="WHO",
        help="With these: single, the plain pass of the first network names the class, or mean, the mean of all does.",
        show_default="single for views, else mean",
    ),
]
Coverages = Annotated[
    list[float] | None,
    reading(metavar="SHARE", help="Share of noisy calibration inputs to answer; may be repeated.", show_default="0.9"),
]
Coverage = Annotated[
    float | None, reading(metavar="SHARE", help="Share of noisy calibration inputs to answer.", show_default="0.9")
]
Threshold = Annotated[float | None, reading(metavar="NUMBER", help="Certain when the uncertainty is at most this.")]
Rule = Annotated[str, reading(metavar="RULE", help=f"How votes decide: {listed(RULES)}.")]
Competitors = Annotated[
    str | None,
    reading(
        metavar="HOW",
        help=f"How other classes are bounded: {listed(COMPETITORS)}.",
        show_default="merged; class-wise where the rule compares classes",
    ),
]
Alpha = Annotated[float, reading(metavar="SHARE", help="Error probability of a guarantee.")]
FamilyWise = Annotated[
    bool, reading("--family-wise", help="Split alpha over all guarantees that are printed for one input.")
]

# Sampling
SelectionSamples = Annotated[int, sampling("--n0", metavar="N", help="Samples that select the class.")]
Samples = Annotated[int, sampling("--n", metavar="N", help="Samples that estimate its mass.")]
Noise = Annotated[
    str,
    sampling(metavar="KIND", help="gaussian, or grid: rounded to multiples of 1/255, exact for 8-bit inputs."),
]
Seed = Annotated[int, sampling(metavar="N", help="Seed of all randomness.")]
Fresh = Annotated[bool, sampling("--fresh", help="Start anew instead of going on.")]
DryRun = Annotated[
    bool, sampling("--dry-run", help="Say what would be done, what it costs and what there is already; do nothing.")
]

# Where it runs
Device = Annotated[
    str,
    place(
        metavar="NAME", envvar="RSUQ_DEVICE",
        help="auto, cpu, cuda, cuda:N, mps, or a list such as cuda:0,cuda:1.",
    ),
]  # fmt: skip
OneDevice = Annotated[
    str, place("--device", metavar="NAME", envvar="RSUQ_DEVICE", help="auto, cpu, cuda, cuda:N or mps.")
]
Precision = Annotated[str, place(metavar="KIND", help="fp32, tf32 (NVIDIA) or bf16; it is recorded with the results.")]
BatchSize = Annotated[str, place(metavar="N", help="Samples in a forward pass, or auto.")]
Workers = Annotated[int, place(metavar="N", help="Processes that sample side by side; several devices have one each.")]
Shard = Annotated[
    str | None,
    place(
        "--shard", metavar="I/K",
        help="Sample every K-th input from the I-th on: 1/4 to 4/4 together are one run.", show_default="all inputs",
    ),
]  # fmt: skip
Compile = Annotated[
    bool | None, place("--compile/--no-compile", help="Use torch.compile.", show_default="for long jobs")
]
DataDir = Annotated[
    Path | None,
    place(
        metavar="FOLDER", envvar="RSUQ_DATA_DIR", help="Where data sets lie or are downloaded to.",
        show_default="in the user's data directory",
    ),
]  # fmt: skip

# What is shown
Details = Annotated[bool, view("--details", help="Every table and figure, not only what fits one screen.")]
Intervals = Annotated[bool, view("--intervals", help="The 95 % interval of each share.")]

# Output
Name = Annotated[
    str | None, output("--name", metavar="NAME", help="What to call it; a name is no part of its settings.")
]
Tags = Annotated[list[str] | None, output("--tag", metavar="TAG", help="A word to find it by; may be repeated.")]
RemovedTags = Annotated[
    list[str] | None, output("--remove", metavar="TAG", help="A tag to take away; may be repeated.")
]
Clear = Annotated[bool, output("--clear", help="Take away what is there.")]
Yes = Annotated[bool, output("--yes", help="Do not ask.")]
NoBackup = Annotated[bool, output("--no-backup", help="Make no copy of the database first.")]
Radii = Annotated[
    str | None,
    output(
        metavar="LIST", help="Radii of the certified curves, such as 0,0.25,0.5.", show_default="multiples of sigma"
    ),
]
Database = Annotated[
    str | None,
    output(
        "--db", metavar="FILE", envvar="RSUQ_DB", help="The results: a path or SQLAlchemy URL.",
        show_default="in the user's data directory",
    ),
]  # fmt: skip
OutputFormat = Annotated[Format, output("--format", metavar="FORMAT", help=f"What stdout gets: {listed(FORMATS)}.")]
Output = Annotated[
    Path | None,
    output("--output", metavar="FILE", help="Write the answer to this file, whole or not at all.",
           show_default="stdout"),
]  # fmt: skip
Force = Annotated[bool, output("--force", help="Replace a file that exists.")]


def batch_size_of(text: str) -> int | None:
    """Returns a batch size, None for "auto". Raises BadInput for what is no number."""
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise BadInput(f"--batch-size is {text!r}", "give a number of samples, or auto") from error
