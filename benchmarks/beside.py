"""This checkout beside another one: `workers.py` in each in turn, so that a change of the workers shows as a ratio.

    git worktree add /tmp/before REVISION
    python benchmarks/beside.py /tmp/before [--model cnn] [--rounds 3]

Samples per second of two workers and of one process, medians, and this checkout over the other one, round by round.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[1]
KINDS = ("threads", "workers")


def rates(checkout: Path, model: str) -> dict[str, float]:
    """Returns samples per second with the package of a checkout, by kind."""
    command = [sys.executable, str(HERE / "benchmarks" / "workers.py"), "--models", model, "--repeats", "3"]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    return {kind: float(re.findall(rf"{kind} ([0-9,]+) \(", said)[0].replace(",", "")) for kind in KINDS}


def main() -> None:
    """Prints a line for one process and one for the workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rounds = [(rates(args.other.resolve(), args.model), rates(HERE, args.model)) for _ in range(args.rounds)]
    for kind in KINDS:
        before, after = ([one[at][kind] for one in rounds] for at in (0, 1))
        ratios = [new / old for old, new in zip(before, after, strict=True)]
        print(
            f"{args.model}, {kind}: {statistics.median(before):,.0f} before, {statistics.median(after):,.0f} here; "
            f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
