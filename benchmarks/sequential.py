"""How many samples stopping early takes, beside the least that any method can: `python benchmarks/sequential.py`.

Simulates, on a population of inputs with known masses, the stopping rules of `rsuq certify --at-radius` and
`--tolerance` as the package has them, n = 100,000 and alpha = 0.001. The limit for deciding whether a mass p is above
p0 = Phi(R / sigma) with error alpha is log(1 / alpha) / KL(p, p0) samples on average (Wald 1947), at most n here. Where
an input is below R the rule needs no proof of that, so it can stay below the limit.

The population is one like CIFAR-10's test set under a ResNet-110 trained with noise of sigma 0.25 (Cohen et al. 2019):
8 % abstentions, the others spread between the deciles of their radii. `--log FILE` takes a certification log instead
(tab-separated, with columns predict and radius).
"""

from __future__ import annotations

import argparse
import csv
import math
import platform
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy
from scipy.special import ndtr, rel_entr

from rsuq_cli.certificates.bounds import clopper_pearson_lower
from rsuq_cli.certificates.certificate import certify
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.method import Method
from rsuq_cli.certificates.radii import stays_above_half
from rsuq_cli.certificates.stopping import Stopping

Array = npt.NDArray[np.float64]

SIGMA, N, N0, ALPHA = 0.25, 100_000, 100, 0.001
ABSTENTIONS, ABSTAINING_MASS = 0.08, 0.47
DECILES = (0.001, 0.08, 0.17, 0.27, 0.37, 0.475, 0.59, 0.72, 0.855, 0.953, 0.953)


class Stopped(NamedTuple):
    """Samples that each input took, and the radius that it had then, in pixel units."""

    draws: npt.NDArray[np.int64]
    radius: Array


def made_up_masses(inputs: int) -> Array:
    """Returns masses of the class spread as in the module's docstring."""
    abstaining = round(ABSTENTIONS * inputs)
    spread = (np.arange(inputs - abstaining) + 0.5) / (inputs - abstaining)
    radii = np.interp(spread, np.linspace(0, 1, len(DECILES)), DECILES)
    return np.concatenate([np.full(abstaining, ABSTAINING_MASS), ndtr(radii / SIGMA)])


def masses_of_log(path: Path) -> Array:
    """Returns the masses that the radii of a log stand for."""
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    return np.array([ABSTAINING_MASS if int(r["predict"]) < 0 else ndtr(float(r["radius"]) / SIGMA) for r in rows])


def simulate(masses: Array, stopping: Stopping, rng: np.random.Generator) -> Stopped:
    """Returns what the stopping rule does to inputs whose class has these masses."""
    method = Method(SIGMA, ALPHA, last_look=stopping.looks[-1])
    hits = np.zeros(len(masses), dtype=np.int64)
    draws, radius = np.zeros(len(masses), dtype=np.int64), np.zeros(len(masses))
    going, before = np.arange(len(masses)), 0
    for look in stopping.looks:
        hits[going] += rng.binomial(look - before, masses[going])
        before = look
        votes = np.stack([hits[going], look - hits[going]], axis=1)
        selected = np.tile([N0, 0], (len(going), 1))
        selection, estimation = Counts(selected, selected), Counts(votes, votes)
        draws[going], radius[going] = look, certify(selection, estimation, method).radius_standard
        going = going[~stopping.decided(selection, estimation, method)]
    return Stopped(draws, radius)


def fixed(masses: Array, rng: np.random.Generator) -> Array:
    """Returns the radii of all n samples, by the exact bound for a fixed number of them."""
    hits = rng.binomial(N, masses)
    return SIGMA * stays_above_half(clopper_pearson_lower(hits, N, ALPHA))


def limit(masses: Array, radius: float) -> float:
    """Returns the average of the fewest samples that decide about a radius."""
    p0 = float(ndtr(radius / SIGMA))
    divergence = rel_entr(masses, p0) + rel_entr(1 - masses, 1 - p0)
    with np.errstate(divide="ignore"):
        return float(np.minimum(N, math.log(1 / ALPHA) / divergence).mean())


def main() -> None:
    """Prints one line for each radius and tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--log", type=Path, help="a certification log with this sigma instead of the made-up population"
    )
    parser.add_argument("--radius", type=float, nargs="*", default=[0.25, 0.5, 0.75])
    parser.add_argument("--tolerance", type=float, nargs="*", default=[0.05, 0.1, 0.2])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    masses = masses_of_log(options.log) if options.log else made_up_masses(10_000)
    rng = np.random.default_rng(options.seed)
    exact = fixed(masses, rng)
    population = options.log or "the made-up population"
    print(f"{len(masses):,} inputs of {population}, sigma {SIGMA}, n = {N:,}, alpha = {ALPHA}")
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}")
    print(f"{'':>16}  {'limit':>7}  {'mean':>7}  {'median':>7}  {'at n':>6}  certified (fixed n)   seconds")
    for radius in options.radius:
        started = time.perf_counter()
        found = simulate(masses, Stopping(N, ("standard",), at_radius=radius), rng)
        shares = f"{(found.radius >= radius).mean():10.2%} ({(exact >= radius).mean():.2%})"
        report(f"radius {radius:g}", found, f"{limit(masses, radius):7,.0f}", shares, started)
    for tolerance in options.tolerance:
        started = time.perf_counter()
        found = simulate(masses, Stopping(N, ("standard",), tolerance=tolerance), rng)
        radii = f"ACR {found.radius.mean():.4f} ({exact.mean():.4f})"
        report(f"tolerance {tolerance:g}", found, f"{'-':>7}", radii, started)


def report(name: str, found: Stopped, least: str, result: str, started: float) -> None:
    """Prints a line."""
    draws = found.draws
    print(f"{name:>16}  {least}  {draws.mean():7,.0f}  {np.median(draws):7,.0f}  {(draws >= N).mean():6.2%}  {result}"
          f"   {time.perf_counter() - started:7.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
