"""The cells of a study: what each network is trained with, and what is then sampled of it.

Invariant: every request that the study will make is made here, so that an impossible value is refused before anything
runs; a cell that begins with another's network comes after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from rsuq_cli.errors import BadInput, RsuqError, nearest
from rsuq_cli.jobs.ensemble import Flags, predictor_asked
from rsuq_cli.jobs.ood.request import OodRequest
from rsuq_cli.jobs.study.plan import CertifyTable, Match, Network, Objective, OodTable, Plan, TrainTable
from rsuq_cli.jobs.training.request import TrainRequest
from rsuq_cli.models.custom import is_custom
from rsuq_cli.models.member import Member
from rsuq_cli.models.spec import is_library
from rsuq_cli.models.zoo import NAMES, unknown_model
from rsuq_cli.run.record import masks_of
from rsuq_cli.run.request import CertifyRequest, Machine, Sources
from rsuq_cli.training.objectives.registry import objective_named
from rsuq_cli.uncertainty.predictor import Predictor


class Place(NamedTuple):
    """Where in the grid a network stands; `seed` is that of its training."""

    network: str
    objective: str
    sigma: float
    seed: int

    def __str__(self) -> str:
        return f"{self.network}, {self.objective}, σ {self.sigma:g}, seed {self.seed}"


@dataclass(frozen=True)
class Sampling:
    """What is sampled of a trained network: one certify run, and the OOD run beside it.

    `predictor` is what it is called. The requests name no checkpoint yet (`of`), and their predictor has the places
    `beside` it for members, whose weights nobody knows before they are trained.
    """

    predictor: str
    certify: CertifyRequest
    ood: OodRequest | None
    beside: tuple[Place, ...] = ()

    def of(self, checkpoint: int, members: tuple[Member, ...] = ()) -> CertifyRequest:
        """Returns the certify request for a trained network, with those beside it."""
        return _of_networks(self.certify, checkpoint, members)

    def ood_of(self, checkpoint: int, run: int, members: tuple[Member, ...] = ()) -> OodRequest | None:
        """Returns the OOD request for it; the certify run is its in-distribution side where both sample alike."""
        if self.ood is None:
            return None
        alike = self.ood.certify.n == self.certify.n
        certify = _of_networks(self.ood.certify, checkpoint, members)
        return replace(self.ood, certify=certify, run=run if alike else None)


def _of_networks(request: CertifyRequest, checkpoint: int, members: tuple[Member, ...]) -> CertifyRequest:
    sources = replace(request.sources, checkpoint=str(checkpoint), members=members)
    predictor = replace(request.predictor, members=tuple(one.sha256 for one in members))
    return replace(request, sources=sources, predictor=predictor)


@dataclass(frozen=True)
class Cell:
    """One network of the study: how it is trained, whose network it begins with, and what is sampled of it."""

    place: Place
    training: TrainRequest
    begins_with: Place | None
    samplings: tuple[Sampling, ...]

    def beginning_with(self, checkpoint: int) -> TrainRequest:
        """Returns the training that begins with the network of that checkpoint."""
        return replace(self.training, init=str(checkpoint))


class Surroundings(NamedTuple):
    """What a command says about the machine and not the plan."""

    machine: Machine
    data_dir: Path | None = None
    checkpoint_dir: Path | None = None


def cells_of(plan: Plan, around: Surroundings, where: str) -> list[Cell]:
    """Returns the cells of a plan in the order in which they can run; `where` is what a mistake is said to be in.

    Raises BadInput for a value that no command would take, a network that begins with one that the grid does not have,
    and a grid without a cell.
    """
    try:
        places = [place for place in _places(plan) if not any(_matches(cells, place) for cells in plan.exclude)]
        if not places:
            raise BadInput("every cell is excluded", "leave some")
        return [_cell(plan, place, places, around) for place in places]
    except RsuqError as error:
        raise BadInput(f"{where}: {error.message}", error.hint) from None


def _places(plan: Plan) -> Iterator[Place]:
    objectives = [one.name for one in _in_order(plan.objective)]
    for network, sigma, seed, objective in product(plan.network, plan.sigma, plan.seed, objectives):
        yield Place(network.name, objective, sigma, seed)


def _in_order(objectives: Sequence[Objective]) -> list[Objective]:
    """Returns the objectives with those that others begin with before them."""
    by_name = {one.name: one for one in objectives}
    ordered: list[Objective] = []

    def put(one: Objective, above: tuple[str, ...]) -> None:
        if one.name in above:
            raise BadInput(f"{' begins with '.join((*above, one.name))}", "let one of them begin anew: without init")
        if one.init is not None:
            if one.init not in by_name:
                raise BadInput(
                    f"{one.name} begins with {one.init}, which is no objective of the plan", nearest(one.init, by_name)
                )
            put(by_name[one.init], (*above, one.name))
        if one not in ordered:
            ordered.append(one)

    for one in objectives:
        put(one, ())
    return ordered


def _matches(cells: Match, place: Place) -> bool:
    named = {"network": cells.network, "objective": cells.objective, "sigma": cells.sigma, "seed": cells.seed}
    return any(named.values()) and all(not values or getattr(place, key) in values for key, values in named.items())


def _cell(plan: Plan, place: Place, places: Sequence[Place], around: Surroundings) -> Cell:
    network = next(one for one in plan.network if one.name == place.network)
    objective = next(one for one in plan.objective if one.name == place.objective)
    overrides = [one for one in plan.override if _matches(one, place)]
    train, certify, ood = _Settings(plan.train.given()), _Settings(plan.certify.given()), plan.ood
    train.take(network.train, objective.train, *(one.train for one in overrides))
    certify.take(*(one.certify for one in overrides))
    ood = next((one.ood for one in reversed(overrides) if one.ood), ood)
    begins_with = None if objective.init is None else place._replace(objective=objective.init)
    if begins_with and begins_with not in places:
        raise BadInput(f"{place} begins with {begins_with}, which is excluded", "leave it in, or exclude both")
    training = _training(plan, network, objective, place, TrainTable(**train), around)
    beside = _beside(plan, place, places)
    samplings = _samplings(plan, training, CertifyTable(**certify), ood, around, beside)
    return Cell(place, training, begins_with, tuple(samplings))


def _beside(plan: Plan, place: Place, places: Sequence[Place]) -> tuple[Place, ...]:
    """Returns the places of the networks that differ from this one by their seed, where it is the last of them: all
    are trained then. None elsewhere, so that there is one ensemble of them.

    Raises BadInput where a source wants members and there is one seed.
    """
    alike = [one for one in places if one._replace(seed=0) == place._replace(seed=0)]
    if len(alike) == 1 and any(source.members for source in plan.source):
        raise BadInput(f"a source has members, and {place} has one seed", "give two or more: seed = [0, 1, 2]")
    return tuple(alike[:-1]) if alike[-1] == place else ()


class _Settings(dict[str, Any]):
    """Settings, those that are taken later in place of the earlier."""

    def take(self, *tables: TrainTable | CertifyTable | None) -> None:
        for table in tables:
            self.update(table.given() if table else {})


def _training(
    plan: Plan, network: Network, objective: Objective, place: Place, table: TrainTable, around: Surroundings
) -> TrainRequest:  # fmt: skip
    if not (is_custom(network.model) or is_library(network.model) or network.model in NAMES):
        raise unknown_model(network.model)
    objective_named(objective.objective, objective.set, sigma=place.sigma)
    return TrainRequest(
        Sources(network.model, plan.dataset, data_dir=around.data_dir),
        place.sigma,
        **table.model_dump(),
        objective=objective.objective,
        parameters=objective.set,
        seed=place.seed,
        checkpoint_dir=around.checkpoint_dir,
        # How a study samples is no part of its networks.
        machine=Machine(around.machine.device.split(",")[0], around.machine.precision),
    )


def _samplings(
    plan: Plan, training: TrainRequest, table: CertifyTable, ood: OodTable | None, around: Surroundings,
    beside: tuple[Place, ...],
) -> Iterator[Sampling]:  # fmt: skip
    """Yields a sampling for each predictor; sources of one predictor are read from one run."""
    for predictor, measures in sampled(plan, beside).items():
        certify = CertifyRequest(
            sources=replace(training.sources, monte_carlo=masks_of(predictor, table.seed)),
            sigma=training.sigma,
            measures=measures,
            coverages=plan.coverage,
            predictor=predictor,
            machine=around.machine,
            **table.model_dump(),
        )
        yield Sampling(
            str(predictor), certify, None if ood is None else _ood(certify, ood), beside if predictor.members else ()
        )


def sampled(plan: Plan, beside: tuple[Place, ...]) -> dict[Predictor, tuple[str, ...]]:
    """Returns all the measures that are read of each predictor of the plan; none with members where none are beside."""
    found: dict[Predictor, tuple[str, ...]] = {}
    for source in plan.source:
        if source.members and not beside:
            continue
        flags = Flags(source.views, None, source.mc_dropout, source.passes, source.decide)
        predictor = predictor_asked(flags, tuple(map(str, beside)) if source.members else ())
        found[predictor] = tuple(dict.fromkeys((*found.get(predictor, ()), *source.uncertainty)))
    return found


def _ood(certify: CertifyRequest, table: OodTable) -> OodRequest:
    # The figures of detection are at one coverage; the first that is asked for is the plan's own choice.
    own = replace(certify, limit=table.limit, n=table.n or certify.n, coverages=certify.wanted_coverages[:1])
    return OodRequest(certify=own, sets=table.sets, radii=(0.0, certify.sigma), near=table.near)
