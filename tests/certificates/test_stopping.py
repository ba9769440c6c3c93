"""Stopping rules: simulated paths at the worst masses, and what they cost."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import ndtr, rel_entr
from scipy.stats import binomtest

from rsuq_cli.certificates.bounds import clopper_pearson_lower
from rsuq_cli.certificates.certificate import UNDECIDED, certify, certify_masses
from rsuq_cli.certificates.evidence import Counts
from rsuq_cli.certificates.method import Method
from rsuq_cli.certificates.stopping import GUARANTEE_NAMES, Stopping

PATHS = 20_000
N = 10_000


class World(NamedTuple):
    """True masses by class, certain and uncertain."""

    certain: tuple[float, ...]
    uncertain: tuple[float, ...]


class Stopped(NamedTuple):
    """Counts at the moment of stopping, and the samples drawn until then."""

    selection: Counts
    estimation: Counts
    draws: npt.NDArray[np.int64]


def walk(world: World, stopping: Stopping, method: Method, *, paths: int = PATHS, seed: int = 0) -> Stopped:
    """Samples inputs with these masses until the rule stops each."""
    return walk_each(np.tile([*world.certain, *world.uncertain], (paths, 1)), stopping, method, seed=seed)


def walk_each(masses: npt.NDArray[np.float64], stopping: Stopping, method: Method, *, seed: int) -> Stopped:
    """Samples one input for each row of masses, certain before uncertain."""
    rng = np.random.default_rng(seed)
    paths, classes = len(masses), masses.shape[1] // 2
    first = rng.multinomial(100, masses)
    counts, draws = np.zeros_like(first), np.zeros(paths, dtype=np.int64)
    going, before = np.arange(paths), 0
    for look in stopping.looks:
        counts[going] += rng.multinomial(look - before, masses[going])
        draws[going], before = look, look
        done = stopping.decided(votes(first[going], classes), votes(counts[going], classes), method)
        going = going[~done]
    return Stopped(votes(first, classes), votes(counts, classes), draws)


def votes(counts: npt.NDArray[np.int64], classes: int) -> Counts:
    certain = counts[..., :classes]
    return Counts(certain, certain + counts[..., classes:])


def rarer_than(alpha: float, failures: int, paths: int) -> bool:
    return bool(binomtest(failures, paths, alpha, alternative="greater").pvalue > 1e-3)


# The mass of each guarantee is just short of what its radius needs.
RADIUS, SIGMA = 0.5, 0.5
SHORT = float(ndtr(RADIUS / SIGMA)) * (1 - 1e-9)
WORST = {
    "standard": World((SHORT - 0.1, 1 - SHORT), (0.1, 0.0)),
    "cc": World((SHORT, 0.03), (1 - SHORT - 0.03, 0.0)),
    "ncl": World((SHORT - 0.2, 1 - SHORT), (0.1, 0.1)),
}


@pytest.mark.parametrize("alpha", [0.05, pytest.param(0.001, marks=pytest.mark.slow)])
@pytest.mark.parametrize("guarantee", ["cc", "ncl", pytest.param("standard", marks=pytest.mark.slow)])
def test_a_radius_that_is_not_there_is_certified_on_at_most_alpha_of_the_paths(guarantee: str, alpha: float) -> None:
    method = Method(SIGMA, alpha, last_look=N)
    stopping = Stopping(N, (guarantee,), at_radius=RADIUS)  # type: ignore[arg-type]
    found = walk(WORST[guarantee], stopping, method)
    certified = getattr(certify(found.selection, found.estimation, method), f"radius_{guarantee}") >= RADIUS
    assert rarer_than(alpha, int(certified.sum()), PATHS)
    # Bounds for a fixed number of samples would not survive the many looks.
    if alpha == 0.05:
        assert certified.any()


@pytest.mark.parametrize(
    "rule", ["majority", *(pytest.param(one, marks=pytest.mark.slow) for one in ("standard", "plurality", "filtered"))]
)
@pytest.mark.parametrize(
    "stopping",
    [
        pytest.param(Stopping(N, tolerance=0.1), id="tolerance"),
        pytest.param(Stopping(N, at_radius=0.4), id="radius", marks=pytest.mark.slow),
    ],
)
def test_no_radius_at_the_moment_of_stopping_exceeds_the_true_one_too_often(stopping: Stopping, rule: str) -> None:
    alpha, world = 0.05, World((0.72, 0.1, 0.02), (0.06, 0.05, 0.05))
    method = Method(SIGMA, alpha, rule, "class-wise", last_look=N)  # type: ignore[arg-type]
    found = walk(world, stopping, method)
    stopped = certify(found.selection, found.estimation, method)
    exact = certify_masses(np.array([world.certain]), np.array([world.uncertain]), method)
    about = stopped.class_index == exact.class_index[0]
    assert about.mean() > 0.99
    for name in GUARANTEE_NAMES:
        wrong = (getattr(stopped, f"radius_{name}") > getattr(exact, f"radius_{name}")[0]) & about
        assert rarer_than(alpha, int(wrong.sum()), PATHS), name
    undecided = stopped.decision == UNDECIDED
    assert rarer_than(alpha, int((~undecided & (stopped.decision != exact.decision[0]) & about).sum()), PATHS)


@pytest.mark.parametrize(
    "mass", [0.5, 0.9, *(pytest.param(mass, marks=pytest.mark.slow) for mass in (0.6, 0.99, 0.9999))]
)
def test_the_masses_between_are_as_safe_for_a_tolerance(mass: float) -> None:
    alpha = 0.05
    method = Method(1.0, alpha, last_look=N)
    found = walk(World((mass, 1 - mass), (0.0, 0.0)), Stopping(N, ("standard",), tolerance=0.2), method, seed=1)
    radius = certify(found.selection, found.estimation, method).radius_standard
    true = float(certify_masses(np.array([[mass, 1 - mass]]), np.zeros((1, 2)), method).radius_standard[0])
    first = found.selection.votes[:, 0] >= 50
    assert rarer_than(alpha, int((radius[first] > true).sum()), int(first.sum()))


def test_going_on_seldom_gains_more_than_the_tolerance() -> None:
    tolerance, mass, method = 0.1, 0.95, Method(1.0, 0.01, last_look=N)
    stopping = Stopping(N, ("standard",), tolerance=tolerance)
    found = walk(World((mass, 1 - mass), (0.0, 0.0)), stopping, method, paths=4000)
    assert (found.draws < N).mean() > 0.9
    rng = np.random.default_rng(9)
    more = rng.binomial(N - found.draws, mass)
    whole = found.estimation.votes + np.stack([more, N - found.draws - more], axis=1)
    early = certify(found.selection, found.estimation, method).radius_standard
    late = certify(found.selection, Counts(whole, whole), method).radius_standard
    assert (late - early > tolerance).mean() <= 0.01


POPULATION = ndtr(np.concatenate([np.full(16, -0.08), np.linspace(0.02, 3.8, 184)]))


@pytest.mark.parametrize("radius", [1.0, 2.0])
def test_on_average_fewer_samples_are_drawn_than_deciding_with_proof_needs(radius: float) -> None:
    """In units of sigma. To prove an input above R takes more than the least; to give one up, less."""
    n, alpha, method = 100_000, 0.001, Method(1.0, 0.001, last_look=100_000)
    population = np.repeat(POPULATION, 20)
    masses = np.stack([population, 1 - population, *np.zeros((2, len(population)))], axis=1)
    found = walk_each(masses, Stopping(n, ("standard",), at_radius=radius), method, seed=5)
    certified = certify(found.selection, found.estimation, method).radius_standard >= radius
    p0 = float(ndtr(radius))
    least = np.minimum(n, math.log(1 / alpha) / (rel_entr(population, p0) + rel_entr(1 - population, 1 - p0)))
    assert found.draws.mean() <= least.mean()
    fixed = clopper_pearson_lower(np.random.default_rng(1).binomial(n, population), n, alpha) >= p0
    assert abs(certified.mean() - fixed.mean()) <= 0.005


def counts(*pairs: tuple[int, int]) -> Counts:
    both = np.array(pairs)
    return Counts(both, both)


def test_an_input_stops_when_its_radius_is_reached_or_out_of_reach() -> None:
    method = Method(1.0, 0.001, last_look=N)
    stopping = Stopping(10_000, ("cc",), at_radius=1.0)
    estimation = counts((500, 0), (300, 200), (430, 70), (40, 460))
    selection = counts(*[(100, 0)] * 4)
    assert stopping.decided(selection, estimation, method).tolist() == [True, True, False, True]


def test_an_input_stops_when_no_radius_can_gain_much() -> None:
    method = Method(1.0, 0.001, last_look=1000)
    stopping = Stopping(1000, tolerance=0.1)
    selection = counts((100, 0), (100, 0), (100, 0))
    estimation = counts((900, 95), (90, 10), (20, 80))
    assert stopping.decided(selection, estimation, method).tolist() == [True, False, True]
    wide = Stopping(1000, tolerance=5.0)
    assert wide.decided(selection, estimation, method).all()


def test_every_guarantee_that_is_asked_for_must_be_decided() -> None:
    method = Method(1.0, 0.001, last_look=100_000)
    certain, all_votes = np.array([[840, 0]]), np.array([[1000, 0]])
    estimation, selection = Counts(certain, all_votes), counts((100, 0))
    decided = {
        names: bool(Stopping(100_000, names, at_radius=1.0).decided(selection, estimation, method)[0])
        for names in (("cc",), ("standard",), ("ncl",), GUARANTEE_NAMES)
    }
    assert decided == {("cc",): False, ("standard",): True, ("ncl",): True, GUARANTEE_NAMES: False}


def test_the_form_of_a_bound_does_not_depend_on_when_the_path_stopped() -> None:
    method = Method(1.0, 0.001, competitors="auto", last_look=100_000)
    selected = np.array([60, 10, 10, 10, 10])
    selection = Counts(selected, selected)
    forms = set()
    for n in (100, 1000, 100_000):
        estimated = selected * n // 100
        forms.add(bool(certify(selection, Counts(estimated, estimated), method).class_wise))
    assert forms == {True}


def test_what_a_run_records_about_its_rule() -> None:
    recorded = Stopping(1000, ("cc",), at_radius=0.25).configuration()
    assert recorded["guarantees"] == ["cc"]
    assert (recorded["at_radius"], recorded["tolerance"]) == (0.25, None)
    assert recorded["looks"][-1] == 1000
