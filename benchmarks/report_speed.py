"""How long the figures of a large database take: `python benchmarks/report_speed.py`.

Makes a database of 1,000,000 certified samples in 100 scorings of 10 runs, by direct inserts of made-up but consistent
certificates, then times (a) `figures()` in this process and (b) the whole process `rsuq report`, imports included. Each
is repeated; the median and the range are printed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from rsuq_cli.results.database import open_for_reading, open_for_writing
from rsuq_cli.results.figures import figures
from rsuq_cli.results.rows import NewRun, NewScoring, StoredEdges
from rsuq_cli.results.writer import add_scoring, finish_run, start_run

RADII = (0.0, 0.1, 0.2, 0.25, 0.3, 0.5, 0.75, 0.9, 1.0)
MEASURES = ("entropy", "confidence", "margin", "energy", "gen")
COVERAGES = (0.95, 0.9)
SIGMA, N, CLASSES = 0.5, 10_000, 10


def make_database(path: Path, runs: int, inputs: int) -> int:
    """Fills a new database with `runs` runs of `inputs` inputs, 10 scorings each; returns the number of scorings."""
    rng = np.random.default_rng(0)
    grid = StoredEdges(np.linspace(0.01, 1, 100), np.linspace(0.01, 1, 100))
    with open_for_writing(path) as database:
        for number in range(runs):
            new = NewRun(
                "certify", f"resnet{number}", "cifar10", "test", 1, None, inputs, "0" * 64, SIGMA, 100, N, 0, "cuda",
                "fp32", {}, {"model": number}, f"{number:064d}", dict.fromkeys(MEASURES, grid),
            )  # fmt: skip
            run_id = start_run(database, new).id
            for measure in MEASURES:
                for coverage in COVERAGES:
                    scoring = NewScoring(run_id, measure, 1 - coverage, coverage, "majority", "merged", 0.001)
                    insert_samples(path, add_scoring(database, scoring), inputs, rng)
            finish_run(database, run_id, "complete", 1.0)
    return runs * len(MEASURES) * len(COVERAGES)


def insert_samples(path: Path, scoring_id: int, inputs: int, rng: np.random.Generator) -> None:
    """Inserts one scoring's certificates straight through the driver."""
    connection = sqlite3.connect(path)
    with connection:
        connection.executemany(
            "INSERT INTO certified_sample VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            samples(scoring_id, inputs, rng),
        )
    connection.close()


def samples(scoring_id: int, inputs: int, rng: np.random.Generator) -> Iterator[tuple[object, ...]]:
    """Yields made-up rows that satisfy every constraint: counts within N, radii in order, flags that follow."""
    label = rng.integers(0, CLASSES, inputs)
    chosen = np.where(rng.random(inputs) < 0.8, label, (label + 1) % CLASSES)
    decision = rng.choice(["certain", "uncertain", "undecided"], inputs, p=[0.85, 0.1, 0.05])
    certain = decision == "certain"
    uncertain_count = rng.integers(0, N // 5, inputs)
    standard = rng.random(inputs) * 1.9
    cc, ncl = np.where(certain, 0.8 * standard, 0.0), 1.2 * standard
    columns = (
        np.full(inputs, scoring_id), np.arange(inputs), label, chosen, chosen, decision, certain & (chosen == label),
        ~certain, np.full(inputs, True), standard > 1.85, np.full(inputs, N), N - uncertain_count, uncertain_count,
        np.full(inputs, N - N // 10), standard, cc, ncl, np.zeros(inputs), np.full(inputs, "majority"),
        np.full(inputs, "merged"),
    )  # fmt: skip
    return zip(*(column.tolist() for column in columns), strict=True)


def timed(what: str, work: Callable[[], object], repeats: int) -> None:
    """Runs `work` once to warm the disk cache and then `repeats` times; prints the median and the range in seconds."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    print(
        f"{what:<36} {statistics.median(seconds):6.2f} s   ({min(seconds):.2f} to {max(seconds):.2f}, {repeats} runs)"
    )


def read_figures(path: Path) -> None:
    """Opens the database as a report does and computes every figure."""
    with open_for_reading(path) as database:
        figures(database, radii=RADII)


def run_report(path: Path) -> None:
    """Runs `rsuq report` as its own process."""
    command = "import sys; from rsuq_cli.app import main; sys.exit(main())"
    arguments = ["report", "--db", str(path), "--format", "json"]
    subprocess.run([sys.executable, "-c", command, *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Makes the database in a temporary folder, or in the file given, and times the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="runs of 10 scorings each")
    parser.add_argument("--inputs", type=int, default=10_000, help="inputs of each run")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="make the database here and keep it; one that is there is used again")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path: Path = options.keep or Path(folder) / "speed.db"
        if not path.exists():
            scorings = make_database(path, options.runs, options.inputs)
            print(f"{scorings * options.inputs:,} samples in {scorings} scorings, {path.stat().st_size / 1e6:.0f} MB")
        print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores")
        timed("figures() in one process", lambda: read_figures(path), options.repeats)
        timed("rsuq report, the whole process", lambda: run_report(path), options.repeats)


if __name__ == "__main__":
    main()
