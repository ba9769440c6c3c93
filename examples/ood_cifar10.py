"""Does the uncertainty of a smoothed classifier tell inputs from elsewhere? The experiment behind docs/ood.md.

On the embedded digits, in a minute, with two digits held out as the near set:

    python examples/ood_cifar10.py digits

On CIFAR-10, with image folders as out-of-distribution sets (class folders or flat; those named with --near are near):

    python examples/ood_cifar10.py cifar10 --data CIFAR10 --ood SETS --near tiny_imagenet

where CIFAR10 has train/<class>/* and test/<class>/*, and every folder in SETS is a set. Interrupted, the same line goes
on. The report is a Markdown table on stdout.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

MADE = ("noise:gaussian", "noise:smooth", "constant", "photo-patches")


def rsuq(*arguments: object, show: bool = False) -> None:
    """Runs one rsuq command; its tables are shown for the last one alone."""
    line = [str(argument) for argument in arguments]
    print("rsuq", *line, file=sys.stderr)
    stdout = None if show else subprocess.DEVNULL
    subprocess.run([sys.executable, "-m", "rsuq_cli", *line], check=True, stdout=stdout)


def digits(options: argparse.Namespace) -> None:
    """Trains without the digits 8 and 9, which are then the near set."""
    common = ("--model", options.model or "cnn", "--sigma", options.sigma)
    epochs = ("--epochs", options.epochs) if options.epochs else ()
    rsuq("train", *common, "--hold-out-classes", "8,9", *epochs)
    compare(options, *common, *flags("--ood", ("held-out", *MADE)))


def cifar10(options: argparse.Namespace) -> None:
    """Trains on the image folder unless a checkpoint is there, and compares every set below the other folder."""
    if options.data is None or options.ood is None:
        sys.exit("give --data FOLDER (train/CLASS/*, test/CLASS/*) and --ood FOLDER (one folder for each set)")
    data = ("--model", options.model or "resnet20", "--dataset", f"folder:{options.data}", "--sigma", options.sigma)
    if not options.trained:
        rsuq("train", *data, "--epochs", options.epochs or 8)
    sets = {path.name: f"folder:{path}" for path in sorted(options.ood.iterdir()) if path.is_dir()}
    near = flags("--near", [sets[name] for name in options.near])
    compare(options, *data, *flags("--ood", sets.values()), *near, "--image-size", 32)


def compare(options: argparse.Namespace, *arguments: object) -> None:
    """Scores, metrics and guarantees at the radii 0, sigma / 2 and sigma."""
    radii = f"0,{options.sigma / 2},{options.sigma}"
    limit = ("--limit", options.limit) if options.limit else ()
    rsuq("ood", *arguments, "--n", options.n, *limit, "--radii", radii, "--details", "--format", "markdown", show=True)


def flags(name: str, values: Iterable[str]) -> list[str]:
    """Returns the flag once for every value."""
    return [part for value in values for part in (name, value)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the command line and runs one of the two experiments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=("digits", "cifar10"))
    parser.add_argument("--data", type=Path, help="image folder of the in-distribution data")
    parser.add_argument("--ood", type=Path, help="folder with one folder of images for each set")
    parser.add_argument("--near", nargs="*", default=[], help="names of the sets that count as near")
    parser.add_argument("--model")
    parser.add_argument("--sigma", type=float, default=0.25)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--trained", action="store_true", help="a checkpoint is there: do not train")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--limit", type=int, help="inputs of each set")
    options = parser.parse_args(arguments)
    {"digits": digits, "cifar10": cifar10}[options.experiment](options)


if __name__ == "__main__":
    main()
