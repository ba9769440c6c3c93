"""A fitted rejecter beside the measures that need no fit, on networks of digits: `python benchmarks/rejecter.py`.

For each sigma and seed two networks are trained (`--epochs`); a rejecter is fitted for the first alone, and for both
where the second only rejects. Every test digit is then certified, and gain and CC cost are read at equal coverage 0.9,
by thresholds calibrated on the same images. A line for each: mean over the seeds, its standard deviation, and in how
many seeds the rejecter gains more than the measure beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import sklearn
import torch


def rsuq(database: str, *arguments: object) -> list[dict[str, Any]]:
    """Returns the records that a command answers with."""
    command = [sys.executable, "-m", "rsuq_cli", *map(str, arguments), "--db", database, "--format", "json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    records: list[dict[str, Any]] = json.loads(done.stdout)
    return records


def figures(database: str, sigma: float, seed: int, options: argparse.Namespace) -> dict[tuple[str, str], Any]:
    """Returns the record of every way to ask and measure, of the networks of one seed."""
    here = ("--model", options.model, "--sigma", sigma)
    numbers = [
        rsuq(database, "train", *here, "--seed", 2 * seed + place, "--epochs", options.epochs)[0]["checkpoint_id"]
        for place in (0, 1)
    ]
    found: dict[tuple[str, str], Any] = {}
    for name, asked in _ways(numbers[1]).items():
        named = (*here, "--checkpoint", numbers[0], *asked)
        (rejecter, *_) = rsuq(database, "fit-rejecter", *named, "--max-cc-cost", options.max_cc_cost)
        measures = ("rejecter", "margin") if not asked else ("rejecter", "margin", "own_margin")
        flags = [word for one in measures for word in ("--uncertainty", one)]
        certify = (*named, *flags, "--rejecter", rejecter["rejecter_id"], "--n", options.n)
        found |= {(name, one["measure"]): one for one in rsuq(database, "certify", *certify)}
    return found


def _ways(second: int) -> dict[str, tuple[object, ...]]:
    return {"one pass": (), "two networks": ("--members", second, "--decide", "single")}


def line(name: str, measure: str, found: Sequence[dict[tuple[str, str], Any]]) -> str:
    """Returns gain and cost of a measure over the seeds, and how often the rejecter gains more."""
    texts = []
    for figure in ("gain", "cc_cost"):
        values = [100 * seed[name, measure][figure] for seed in found]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        texts.append(f"{statistics.mean(values):5.1f} ± {spread:3.1f}")
    more = sum(seed[name, "rejecter"]["gain"] > seed[name, measure]["gain"] for seed in found)
    beside = "" if measure == "rejecter" else f"   rejecter gains more in {more} of {len(found)}"
    return f"{name:>13} {measure:>11}   gain {texts[0]} %   CC cost {texts[1]} %{beside}"


def main() -> None:
    """Prints a line for every sigma, way to ask, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--sigma", type=float, nargs="*", default=[0.25, 0.5])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--max-cc-cost", type=float, default=1.0)
    parser.add_argument("--n", type=int, default=1000)
    options = parser.parse_args()
    print(f"{platform.machine()}, torch {torch.__version__}, scikit-learn {sklearn.__version__}, {options}")
    with tempfile.TemporaryDirectory() as folder:
        for sigma in options.sigma:
            found = [figures(f"{folder}/{sigma}.db", sigma, seed, options) for seed in range(options.seeds)]
            print(f"sigma {sigma:g}, {options.seeds} networks")
            for name, measure in found[0]:
                print(line(name, measure, found), flush=True)


if __name__ == "__main__":
    main()
