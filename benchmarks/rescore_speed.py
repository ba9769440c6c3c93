"""How long a sweep over stored evidence takes: `python benchmarks/rescore_speed.py`.

Makes a run of 10,000 inputs with evidence for all measures in a temporary database, then times `rsuq rescore --sweep`
over every bin edge of 4 measures under 3 rules, as a process of its own on one core: wall time, and peak memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy

from rsuq_cli.certificates.evidence import Histogram, build_edges, encode
from rsuq_cli.results.database import open_for_writing
from rsuq_cli.results.rows import EvidenceRow, NewRun
from rsuq_cli.results.writer import finish_run, start_run, store_inputs
from rsuq_cli.uncertainty.measures import MEASURES

CLASSES, N0 = 10, 100
SWEPT = ("entropy", "confidence", "margin", "energy")
RULES = ("majority", "plurality", "filtered")


def make_database(path: Path, inputs: int, n: int) -> int:
    """Stores evidence of made-up inputs, from surely right to surely wrong; returns the bin edges of the swept."""
    rng = np.random.default_rng(0)
    calibration = rng.beta(0.4, 1.2, 5000).astype(np.float32)
    edges = {
        name: build_edges(calibration - (0.0 if measure.lowest == 0.0 else 12.0), lowest=measure.lowest,
                          highest=measure.highest)
        for name, measure in MEASURES.items()
    }  # fmt: skip
    with open_for_writing(path) as db:
        new = NewRun(
            "certify", "resnet110", "cifar10", "test", 1, None, inputs, "0" * 64, 0.25, N0, n, 0, "cuda", "fp32", {},
            {}, "0" * 64, edges,
        )  # fmt: skip
        run_id = start_run(db, new).id
        for start in range(0, inputs, 256):
            rows = []
            for index in range(start, min(start + 256, inputs)):
                label = int(rng.integers(CLASSES))
                share = class_shares(rng, label)
                histograms = {
                    name: histogram(rng, share, calibration, len(e.edges) + 1, n) for name, e in edges.items()
                }
                rows.append(EvidenceRow(index, label, N0, n, encode(histograms), 0.1))
            store_inputs(db, run_id, rows)
        finish_run(db, run_id, "complete", 1.0)
    return sum(len(edges[name].edges) for name in SWEPT)


def class_shares(rng: np.random.Generator, label: int) -> npt.NDArray[np.float64]:
    """Returns the masses of the classes of one input."""
    rest = rng.dirichlet(np.full(CLASSES, 0.3))
    leader = np.zeros(CLASSES)
    leader[label if rng.random() < 0.8 else (label + 1) % CLASSES] = 1.0
    weight = rng.beta(3.0, 0.6)
    return weight * leader + (1 - weight) * rest


def histogram(
    rng: np.random.Generator, share: npt.NDArray[np.float64], calibration: npt.NDArray[np.float32], bins: int, n: int
) -> Histogram:
    """Returns counts by class and bin: the uncertain samples are those of the unlikely classes."""
    centre = rng.integers(0, bins)
    spread = np.exp(-0.5 * ((np.arange(bins) - centre) / rng.uniform(3, 40)) ** 2)
    cells = (share[:, None] * spread / spread.sum()).ravel()
    cells /= cells.sum()
    selection, estimation = (rng.multinomial(size, cells).reshape(CLASSES, bins) for size in (N0, n))
    return Histogram(selection, estimation)


def main() -> None:
    """Makes the database and times the sweep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--n", type=int, default=100_000, help="estimation samples of each input")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="make the database here and keep it; one that is there is used again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path: Path = options.keep or Path(folder) / "speed.db"
        if not path.exists():
            edges = make_database(path, options.inputs, options.n)
            print(f"{options.inputs:,} inputs × {edges} edges of {len(SWEPT)} measures × {len(RULES)} rules")
        print(
            f"n = {options.n:,}; Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}"
        )
        for _ in range(options.repeats):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            started = time.perf_counter()
            sweep(path)
            wall = time.perf_counter() - started
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"{wall:6.1f} s   {cpu:6.1f} s of one core   {after.ru_maxrss / 1024:5.0f} MB at most")


def sweep(path: Path) -> None:
    """Runs the sweep as its own process on one core."""
    flags = [part for name in SWEPT for part in ("--uncertainty", name)]
    flags += [part for rule in RULES for part in ("--rule", rule)]
    command = [
        sys.executable,
        "-m",
        "rsuq_cli",
        "rescore",
        "1",
        "--sweep",
        *flags,
        "--db",
        str(path),
        "--format",
        "json",
    ]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | threads)


if __name__ == "__main__":
    main()
