"""What a denoiser does for a network that never saw noise: average certified radii on the digits, four ways.

    python benchmarks/denoisers.py [--sigma 0.25 --sigma 0.5] [--seeds 3] [--n 1000]

For every seed a small network is trained clean and certified as it is, behind a denoiser trained for the mean squared
error, behind the same after a stability step, and beside it one that was trained under noise. Prints a row for each
noise level and denoiser: the mean over the seeds of the average certified radius without rejection, and their range.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

CLEAN = "0.001"  # a noise level that no network notices
DENOISER = "unet"


def rsuq(database: Path, *arguments: str) -> Any:
    """Returns the JSON answer of a command."""
    command = [sys.executable, "-m", "rsuq_cli", *arguments, "--db", str(database), "--format", "json"]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(found.stdout)


def trained(database: Path, *arguments: str) -> dict[str, Any]:
    """Returns the record of a checkpoint."""
    (found,) = rsuq(database, "train", *arguments)
    return dict(found)


def radius(database: Path, sigma: str, n: int, *arguments: str) -> float:
    """Returns the average certified radius without rejection on the test images."""
    (found,) = rsuq(database, "certify", "--sigma", sigma, "--n", str(n), *arguments)
    return float(found["acr_standard"])


def ways(database: Path, sigma: str, seed: int, n: int) -> dict[str, tuple[float, float]]:
    """Returns, for every way, the average certified radius and the seconds that its training took."""
    seeded = ("--seed", str(seed))
    clean = trained(database, "--sigma", CLEAN, *seeded)
    network = ("--checkpoint", str(clean["checkpoint_id"]))
    robust = trained(database, "--sigma", sigma, *seeded)
    front = ("--denoiser", DENOISER, "--for", str(clean["checkpoint_id"]), "--sigma", sigma, *seeded)
    mse = trained(database, *front)
    stability = trained(database, *front, "--objective", "denoise-stability", "--init", str(mse["checkpoint_id"]))
    behind = {
        "behind a denoiser": (mse,),
        "after a stability step": (mse, stability),
    }
    found = {
        "as it is": (radius(database, sigma, n, *network), clean["seconds"]),
        "trained under noise": (
            radius(database, sigma, n, "--checkpoint", str(robust["checkpoint_id"])), robust["seconds"],
        ),
    }  # fmt: skip
    for way, steps in behind.items():
        last = ("--denoiser", str(steps[-1]["checkpoint_id"]))
        found[way] = radius(database, sigma, n, *network, *last), sum(step["seconds"] for step in steps)
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sigma", action="append", help="noise level; may be repeated", default=None)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--n", type=int, default=1000)
    given = parser.parse_args()
    print(f"{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    print("| σ | network | ACR, mean of the seeds | range | training, s |\n|---|---|---|---|---|")
    for sigma in given.sigma or ["0.25", "0.5"]:
        with tempfile.TemporaryDirectory() as folder:
            every = [ways(Path(folder) / "r.sqlite", sigma, seed, given.n) for seed in range(given.seeds)]
        for way in every[0]:
            radii, seconds = zip(*(one[way] for one in every), strict=True)
            spread = f"{min(radii):.3f} to {max(radii):.3f}"
            print(
                f"| {sigma} | {way} | {sum(radii) / len(radii):.3f} | {spread} | {sum(seconds) / len(seconds):.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
