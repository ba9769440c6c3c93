"""What a thousand classes cost: `python benchmarks/many_classes.py`.

Makes runs of made-up inputs whose samples name few, or many, of K classes, and times commands over their evidence, each
in a process of its own on one core: `rescore --sweep` over every bin edge of a measure, `rescore` of one threshold for
all inputs, and `certify` of a tiny network with K outputs. Time and peak memory should grow with the classes that are
named (hit), not with those that there are. Medians, with the range in brackets.

It prints also what class-wise bounds are worth with K = 1,000 classes at n = 100,000: the mean NCL radius in units of
sigma, with one bound for all competitors and with a share of alpha for each.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy

from rsuq_cli.certificates.certificate import certify
from rsuq_cli.certificates.evidence import Counts, Histogram, build_edges, encode
from rsuq_cli.certificates.guarantees import Rule
from rsuq_cli.certificates.method import Method
from rsuq_cli.results.database import open_for_writing
from rsuq_cli.results.rows import EvidenceRow, NewRun
from rsuq_cli.results.writer import finish_run, start_run, store_inputs

N0, N = 100, 100_000
CASES = ((10, 5), (1000, 5), (1000, 50), (1000, 500))
NETWORK = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc = torch.nn.Linear(64, {classes})

    def forward(self, x):
        return 3 * self.fc(x.flatten(1))
"""


class Cost(NamedTuple):
    """Wall seconds of each repeat, and the most memory in MB."""

    seconds: tuple[float, ...]
    megabytes: float

    def __str__(self) -> str:
        low, high = min(self.seconds), max(self.seconds)
        return f"{statistics.median(self.seconds):6.2f} s ({low:.2f} to {high:.2f}) {self.megabytes:5.0f} MB"


def make_database(path: Path, classes: int, hit: int, inputs: int) -> None:
    """Stores evidence of inputs whose samples name `hit` of the classes, the leader most of the time."""
    rng = np.random.default_rng(0)
    edges = {"entropy": build_edges(rng.beta(0.4, 1.2, 5000).astype(np.float32), lowest=0.0, highest=1.0)}
    bins = len(edges["entropy"].edges) + 1
    with open_for_writing(path) as db:
        new = NewRun(
            "certify", "net", "made-up", "test", 1, None, inputs, "0" * 64, 0.25, N0, N, 0, "cpu", "fp32", {}, {},
            "0" * 64, edges,
        )  # fmt: skip
        run_id = start_run(db, new).id
        for index in range(inputs):
            named = rng.choice(classes, hit, replace=False)
            mass = np.concatenate([[0.6], np.full(hit - 1, 0.4 / (hit - 1))])
            counts = np.zeros((2, classes, bins), dtype=np.int64)
            for stream, n in enumerate((N0, N)):
                votes = rng.multinomial(n, mass)
                counts[stream, named] = [rng.multinomial(count, np.full(bins, 1 / bins)) for count in votes]
            row = EvidenceRow(index, int(named[0]), N0, N, encode({"entropy": Histogram(*counts)}), 0.1)
            store_inputs(db, run_id, [row])
        finish_run(db, run_id, "complete", 1.0)


def cost(arguments: Sequence[object], folder: Path, repeats: int) -> Cost:
    """Returns what a command costs as a process of its own on one core."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RSUQ_DB": str(folder / "run.db")}
    seconds, megabytes = [], 0.0
    for _ in range(repeats):
        script = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL,"
            " stderr=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        command = [sys.executable, "-c", script, sys.executable, "-m", "rsuq_cli", *map(str, arguments)]
        started = time.perf_counter()
        told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=folder)
        seconds.append(time.perf_counter() - started)
        megabytes = max(megabytes, int(told.stdout) / 1024)
    return Cost(tuple(seconds), megabytes)


def radii(trials: int, rule: Rule, bounds: int) -> float:
    """Returns the mean NCL radius in units of sigma of inputs with 1,000 classes, fifty of which have some mass."""
    rng = np.random.default_rng(0)
    masses = np.zeros((trials, 1000))
    masses[:, 0] = 0.5
    masses[:, 1:51] = 0.35 * rng.dirichlet(np.full(50, 2.0), trials)
    masses[:, 999] = 0.15  # rejected, as if no class
    votes = [rng.multinomial(n, masses) for n in (N0, N)]
    selection, estimation = (Counts(_certain(one), one) for one in votes)
    return float(
        certify(selection, estimation, Method(1.0, 0.001, rule, "class-wise", bounds=bounds)).radius_ncl.mean()
    )


def _certain(votes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    certain = votes.copy()
    certain[:, 999] = 0
    return certain


def main() -> None:
    """Prints one line for each case and command, and the radii."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{options.inputs} inputs, n = {N:,}; Python {platform.python_version()}, NumPy {np.__version__}, "
          f"SciPy {scipy.__version__}")  # fmt: skip
    for classes, hit in CASES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_database(folder / "run.db", classes, hit, options.inputs)
            swept = cost(["rescore", 1, "--sweep", "--rule", "plurality"], folder, options.repeats)
            # Once: a scoring that is there is not made again.
            stored = cost(["rescore", 1, "--coverage", 0.8, "--rule", "plurality"], folder, 1)
            print(f"{classes:5} classes, {hit:3} hit   sweep {swept}   one threshold {stored}")
    for classes in (10, 1000):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "net.py").write_text(NETWORK.format(classes=classes))
            images = np.random.default_rng(0).uniform(size=(60, 1, 8, 8)).astype(np.float32)
            labels = np.arange(60) % classes
            train = np.random.default_rng(1).uniform(size=(classes, 1, 8, 8)).astype(np.float32)
            np.savez(folder / "d.npz", x_test=images, y_test=labels, x_train=train, y_train=np.arange(classes))
            asked = ["certify", "--model", "net.py:Net", "--dataset", "npz:d.npz", "--sigma", 0.25, "--n", 10_000,
                     "--threshold", 0.9, "--fresh", "--untrained"]  # fmt: skip
            print(f"{classes:5} outputs, 60 inputs × 10,000   certify {cost(asked, folder, options.repeats)}")
    rules: tuple[Rule, ...] = ("majority", "plurality", "filtered")
    for rule in rules:
        one, each = radii(500, rule, 2), radii(500, rule, 1)
        print(f"NCL, {rule}: {one:.2f} sigma with one bound for all, {each:.2f} with one for each")


if __name__ == "__main__":
    main()
