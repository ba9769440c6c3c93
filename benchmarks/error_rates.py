"""How often certificates are wrong, over hundreds of settings: `python benchmarks/error_rates.py`.

A setting is a number of classes, a kind of masses, a rule, a way to bound competitors, and alpha. For each, inputs with
known masses are sampled and certified; a certificate is wrong when one of its radii is larger than the exact one of
those masses (`certify_masses`, which the tests hold against a linear programme over all classifiers), or when it states
a decision that the masses contradict. Many masses lie where a bound is known to fail with probability alpha, just
beyond what some count would give, and many rivals are tied there. No guarantee may be wrong more often than alpha: an
exact test for each, and the smallest of all its p-values beside how many there are.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy
from scipy.stats import binomtest

from rsuq_cli.certificates.bounds import clopper_pearson_lower, clopper_pearson_upper
from rsuq_cli.certificates.certificate import CERTAIN, UNCERTAIN, certify_each, certify_masses
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.guarantees import RULES
from rsuq_cli.certificates.method import BOUNDS_VERSIONS, COMPETITORS, Method

Array = npt.NDArray[np.float64]
N0, N = 100, 1000
ALPHAS = (0.05, 0.01, 0.001)
CLASSES = (2, 3, 10, 100, 1000)
RADII = ("standard", "cc", "ncl", "uncertain", "explicit")
# Samples that are drawn at a time: a thousand classes of many inputs take memory.
_CELLS = 4_000_000


class World(NamedTuple):
    """The masses of one input: certain and uncertain by class, each `[K]`."""

    certain: Array
    uncertain: Array


class Rate(NamedTuple):
    """How often one guarantee of a setting was wrong, and how surprising that is if alpha is right."""

    setting: str
    alpha: float
    wrong: int
    trials: int
    p_value: float

    @property
    def by_alpha(self) -> float:
        """The rate in units of alpha."""
        return self.wrong / self.trials / self.alpha


def worlds(classes: int, alpha: float, rng: np.random.Generator) -> Iterator[tuple[str, World]]:
    """Yields masses with a name; several are where some bound fails with probability alpha."""
    lower = float(clopper_pearson_lower(760, N, alpha)) * (1 - 1e-9)
    upper = float(clopper_pearson_upper(120, N, alpha / 2)) * (1 + 1e-9)
    yield "class at its bound", _world(classes, lower, 0.0, 0.6 * (1 - lower), 1)
    yield "one rival at its bound", _world(classes, 0.45, upper, 0.3, 1)
    tied = min(classes - 1, 3)
    yield "tied rivals at their bound", _world(classes, 0.4, upper, max(0.0, 0.55 - tied * upper), tied)
    yield "class and rejection tied", _world(classes, 0.45, 0.02, 0.45, 1)
    masses = rng.dirichlet(np.full(2 * classes, 2.0 / classes))
    yield "at random", World(masses[:classes], masses[classes:])


def _world(classes: int, own: float, rival: float, rejected: float, rivals: int) -> World:
    """Returns masses with `rivals` strong rivals; what is left is spread over all other classes, or rejected."""
    certain, uncertain = np.zeros(classes), np.zeros(classes)
    certain[0], uncertain[0] = own, rejected
    certain[1 : 1 + rivals] = rival
    others = classes - 1 - rivals
    left = max(0.0, 1.0 - certain.sum() - rejected)
    if others > 0:
        certain[1 + rivals :] = left / others
    else:
        uncertain[0] += left
    whole = certain.sum() + uncertain.sum()
    return World(certain / whole, uncertain / whole)


def methods(alpha: float) -> list[Method]:
    """Returns every method at an alpha; what an older release bounded otherwise in both ways."""
    return [
        Method(1.0, alpha, rule, competitors, bounds=bounds)
        for rule in RULES for competitors in COMPETITORS for bounds in BOUNDS_VERSIONS
        if not (competitors == "merged" and bounds == 1)
    ]  # fmt: skip


def failures(world: World, every: list[Method], trials: int, rng: np.random.Generator) -> dict[tuple[int, str], int]:
    """Returns how many certificates of each method and guarantee are wrong."""
    classes = len(world.certain)
    masses = np.concatenate([world.certain, world.uncertain])
    truths = [_truth(world, method) for method in every]
    wrong: dict[tuple[int, str], int] = {}
    part = max(1, min(trials, _CELLS // len(masses)))
    for first in range(0, trials, part):
        size = min(part, trials - first)
        drawn = [rng.multinomial(n, masses, size=size) for n in (N0, N)]
        selection, estimation = (Counts(d[:, :classes], d[:, :classes] + d[:, classes:]) for d in drawn)
        for place, found in enumerate(certify_each(selection, estimation, every)):
            for name in RADII:
                about = found.standard_class if name in ("standard", "explicit") else found.class_index
                exact = truths[place][name][about] * (1 + 1e-12)
                bad = int((getattr(found, f"radius_{name}") > exact).sum())
                wrong[place, name] = wrong.get((place, name), 0) + bad
            certain = (found.decision == CERTAIN) & ~truths[place]["certain"][found.class_index].astype(bool)
            unsure = (found.decision == UNCERTAIN) & ~truths[place]["rejects"].astype(bool)[0]
            for name, flags in (("certain", certain), ("decided uncertain", unsure)):
                wrong[place, name] = wrong.get((place, name), 0) + int(flags.sum())
    return wrong


def _truth(world: World, method: Method) -> dict[str, Array]:
    """Returns the exact radii about every class `[K]`, and which decisions hold."""
    classes = len(world.certain)
    every = np.arange(classes)
    shape = (classes, classes)
    certain, uncertain = (np.broadcast_to(one, shape) for one in (world.certain, world.uncertain))
    about = certify_masses(certain, uncertain, method, every)
    largest = certify_masses(world.certain[None], world.uncertain[None], method)
    found = {name: getattr(about, f"radius_{name}") for name in ("standard", "cc", "ncl", "explicit")}
    found["uncertain"] = np.broadcast_to(largest.radius_uncertain, classes)
    # What class-wise proves at most is true whichever way a method bounds competitors.
    best = certify_masses(certain, uncertain, method._replace(competitors="class-wise"), every)
    for name in ("cc", "ncl"):
        found[name] = np.maximum(found[name], getattr(best, f"radius_{name}"))
    explicit = certify_masses(certain, uncertain, method._replace(rule="standard", competitors="class-wise"), every)
    if method.rule != "majority":
        found["standard"] = np.maximum(found["standard"], explicit.radius_standard)
    found["explicit"] = explicit.radius_standard
    best_uncertain = certify_masses(
        world.certain[None], world.uncertain[None], method._replace(competitors="class-wise")
    ).radius_uncertain
    found["uncertain"] = np.maximum(found["uncertain"], best_uncertain)
    joint, rejected = world.certain, float(world.uncertain.sum())
    if method.rule == "majority":
        found["certain"], rejects = joint > 0.5, joint.max() <= 0.5
    else:
        amounts = joint + world.uncertain if method.rule == "standard" else joint
        others = np.array([np.delete(amounts, c).max() for c in every])
        if method.rule == "plurality":
            others = np.maximum(others, rejected)
        found["certain"], rejects = amounts > others, method.rule == "plurality" and rejected > joint.max()
    found["rejects"] = np.array([rejects])
    return found


def rates(trials: int, seed: int, classes: tuple[int, ...]) -> Iterator[Rate]:
    """Yields one rate for every setting and guarantee."""
    rng = np.random.default_rng(seed)
    for alpha in ALPHAS:
        every = methods(alpha)
        for number in classes:
            for name, world in worlds(number, alpha, rng):
                for (place, guarantee), wrong in failures(world, every, trials, rng).items():
                    method = every[place]
                    setting = f"{number} classes, {name}, {method.rule}, {method.competitors}, v{method.bounds}"
                    p_value = float(binomtest(wrong, trials, alpha, alternative="greater").pvalue)
                    yield Rate(f"{setting}: {guarantee}", alpha, wrong, trials, p_value)


def main() -> None:
    """Prints how many settings there were, and the guarantees that were wrong most often."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40_000, help="certificates of each setting")
    parser.add_argument("--classes", type=int, nargs="*", default=list(CLASSES))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    found = list(rates(options.trials, options.seed, tuple(options.classes)))
    settings = len({one.setting.partition(":")[0] + str(one.alpha) for one in found})
    print(f"{settings:,} settings × {options.trials:,} certificates, {len(found):,} rates, seed {options.seed}")
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}")
    print(f"{sum(one.wrong > 0 for one in found):,} rates are not 0; "
          f"{sum(one.by_alpha > 1 for one in found):,} are above alpha, as some have to be that are alpha")  # fmt: skip
    for one in sorted(found, key=lambda one: one.p_value)[:8]:
        print(f"  p = {one.p_value:.2g}: {one.by_alpha:.3f} alpha, alpha = {one.alpha:g}, {one.setting}")
    smallest = min(one.p_value for one in found)
    print(f"smallest p-value {smallest:.2g}; with so many tests one of {0.05 / len(found):.2g} would be news")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
