"""How long import, export, merge and a stream of inputs take: `python benchmarks/transfer_speed.py`.

Writes a certification log of 10,000 rows, imports it, exports it again, merges it into a second database, and streams
one row for each input of a database of 1,000,000 certificates (`--kept FILE`: one that report_speed.py --keep made).
Each is repeated, in this process and as a process of its own; the median and the range are printed.
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
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rsuq_cli.jobs.importing import ImportRequest, import_logs
from rsuq_cli.results.merging import merge

ROWS = 10_000


def write_log(path: Path, seed: int) -> None:
    """Writes a log such as the published ones: every input of a test set, radii to three digits."""
    random = np.random.default_rng(seed)
    labels, radii = random.integers(0, 10, ROWS), random.uniform(0, 0.95, ROWS)
    wrong = random.random(ROWS) < 0.2
    lines = ["idx\tlabel\tpredict\tradius\tcorrect\ttime"]
    for index, (label, radius, is_wrong) in enumerate(zip(labels, radii, wrong, strict=True)):
        predict = (label + 1) % 10 if is_wrong else label
        lines.append(f"{index}\t{label}\t{predict}\t{radius:.3}\t{int(not is_wrong)}\t0:00:14.172309")
    path.write_text("\n".join(lines) + "\n")


def timed(what: str, work: Callable[[int], object], repeats: int) -> None:
    """Runs `work` once to warm up and then `repeats` times, with the number of the repeat."""
    work(0)
    seconds = []
    for repeat in range(1, repeats + 1):
        start = time.perf_counter()
        work(repeat)
        seconds.append(time.perf_counter() - start)
    print(
        f"{what:<44} {statistics.median(seconds):6.2f} s   ({min(seconds):.2f} to {max(seconds):.2f}, {repeats} runs)"
    )


def run(*arguments: object) -> None:
    """Runs `rsuq` as its own process."""
    command = [sys.executable, "-m", "rsuq_cli", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    """Times everything in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--kept", type=Path, help="a large database whose inputs are streamed")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(options.repeats + 1):
            write_log(folder / f"{seed}.tsv", seed)

        def load(repeat: int) -> None:
            import_logs(ImportRequest((folder / f"{repeat}.tsv",), "cifar10", "resnet110", 0.25), folder / "a.db")

        flags = ("--dataset", "cifar10", "--model", "resnet110", "--sigma", 0.25, "--db", folder / "b.db")
        timed(f"import of {ROWS:,} rows", load, options.repeats)
        timed("rsuq import, the whole process", lambda i: run("import", folder / f"{i}.tsv", *flags), options.repeats)
        timed(
            "rsuq export, the whole process", lambda i: run("export", i + 1, "--db", folder / "b.db"), options.repeats
        )
        merged = (options.repeats + 1) * ROWS
        timed(f"merge of {merged:,} rows", lambda i: merge(folder / f"c{i}.db", folder / "a.db"), options.repeats)
    if options.kept:
        stream = ("report", "--inputs", "--format", "csv", "--db", options.kept)
        timed("rsuq report --inputs, the whole process", lambda _: run(*stream), options.repeats)


if __name__ == "__main__":
    main()
