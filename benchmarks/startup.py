"""How long the command line takes to start: `python benchmarks/startup.py`, medians of whole processes, in turn.

Trains a small network in a temporary database first, so that `certify` finds a checkpoint.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 5
RSUQ = [sys.executable, "-m", "rsuq_cli"]
COMMANDS = {
    "rsuq --help": [*RSUQ, "--help"],
    "python -c 'import torch'": [sys.executable, "-c", "import torch"],
    "rsuq certify --limit 1 --n 100 --fresh": [*RSUQ, "certify", "--limit", "1", "--n", "100", "--fresh"],
}


def main() -> None:
    """Prints the median and the range of every command."""
    with tempfile.TemporaryDirectory() as place:
        environment = os.environ | {"RSUQ_DB": str(Path(place) / "rsuq.db"), "OMP_WAIT_POLICY": "PASSIVE"}
        subprocess.run([*RSUQ, "train", "--epochs", "2"], env=environment, check=True, capture_output=True)
        seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for _ in range(REPEATS + 1):
            for name, command in COMMANDS.items():
                started = time.perf_counter()
                subprocess.run(command, env=environment, check=True, capture_output=True)
                seconds[name].append(time.perf_counter() - started)
    for name, values in seconds.items():
        counted = values[1:]  # the first warms the file cache
        print(f"{name:<42} {statistics.median(counted):.2f} s ({min(counted):.2f} to {max(counted):.2f})")


if __name__ == "__main__":
    main()
