"""An ensemble: which network is the first and which are asked beside it, and the training of all of them.

Invariant: every member is known by the bytes of its weights before anything is opened; the first is the one that
`--weights`, `--checkpoint` or `--objective` names, and where none of them does, the first of the list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.training.origin import Origin, origin_of_weights
from rsuq_cli.jobs.training.request import TrainOutcome, TrainRequest
from rsuq_cli.jobs.training.run import train_run
from rsuq_cli.models.checkpoints import sha256_of
from rsuq_cli.models.denoiser import Denoiser
from rsuq_cli.models.member import Member
from rsuq_cli.models.rejecter_file import RejecterFile
from rsuq_cli.results.checkpoints import checkpoint_by_number
from rsuq_cli.results.database import open_for_lookup
from rsuq_cli.results.labels import number_named
from rsuq_cli.results.names import REJECTER
from rsuq_cli.run.denoising import denoiser_of_factory, denoiser_of_weights, is_factory
from rsuq_cli.run.record import masks_of
from rsuq_cli.run.rejecter import read_rejecter
from rsuq_cli.run.request import Sources
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.spelling import path_of
from rsuq_cli.uncertainty.predictor import Decide, Predictor

# Passes under dropout where none are given (Gal and Ghahramani use more where one prediction is all there is).
_MASKS = 8


def with_members(sources: Sources, named: str, database: str | Path | None) -> Sources:
    """Returns the sources with the networks of a list such as "3,4,weights.safetensors": checkpoints, or files.

    A checkpoint is of the model that it was trained as, a file of the model of the sources.
    Raises BadInput for a list with gaps, for a checkpoint or file that there is not, and for less than two networks.
    """
    parts = [part.strip() for part in named.split(",")]
    if not all(parts):
        raise BadInput(f"--members {named!r} has an empty place", "give numbers, names or files with commas between")
    found = [origin_of_weights(part, database) for part in parts]
    members = tuple(_member(one, sources.model) for one in found)
    given = (sources.weights, sources.checkpoint, sources.objective, sources.untrained, sources.pretrained)
    if not any(given):
        sources, members = _first(sources, found[0]), members[1:]
    if not members:
        raise BadInput(f"--members {named} is one network", "name two or more, or leave it out")
    return replace(sources, members=members)


def denoiser_named(named: str, database: str | Path | None) -> Denoiser:
    """Returns the denoiser of a checkpoint, by number or name, of a file, or of a factory of one's own.

    Raises BadInput where there is none of the three, or it is no denoiser.
    """
    if is_factory(named):
        return denoiser_of_factory(named)
    origin = origin_of_weights(named, database)
    return denoiser_of_weights(origin.file, origin.sha256)


class Flags(NamedTuple):
    """What a command says of its predictor; None where it says nothing."""

    views: int
    members: str | None
    mc_dropout: float | None
    passes: int | None
    decide: str | None
    rejecter: str | None = None
    denoiser: str | None = None


class Asked(NamedTuple):
    """The networks of a command, and what is asked of them for every sample."""

    sources: Sources
    predictor: Predictor


def asked(sources: Sources, flags: Flags, seed: int, database: str | Path | None) -> Asked:
    """Returns the sources with all networks, and the predictor: members and masks decide by their mean unless the
    command says otherwise, views only reject.

    Raises BadInput for numbers and words that there are not, and for networks that are not there or named twice.
    """
    if flags.members is not None:
        sources = with_members(sources, flags.members, database)
    if flags.denoiser is not None:
        sources = replace(sources, denoiser=denoiser_named(flags.denoiser, database))
    predictor = predictor_asked(flags, tuple(one.sha256 for one in sources.members))
    if sources.denoiser is not None:
        predictor = replace(predictor, denoiser=sources.denoiser.sha256)
    if flags.rejecter is not None:
        place = rejecter_named(flags.rejecter, database)
        read_rejecter(place).fitted.check_asked(predictor)
        sources, predictor = replace(sources, rejecter=place), replace(predictor, rejecter=place.sha256)
    return Asked(replace(sources, monte_carlo=masks_of(predictor, seed)), predictor)


def predictor_asked(flags: Flags, members: tuple[str, ...]) -> Predictor:
    """Returns what flags ask of a network with further ones, by their hashes; raises BadInput as `Predictor` does."""
    usual: Decide = "mean" if members or flags.mc_dropout is not None else "single"
    passes = (1 if flags.mc_dropout is None else _MASKS) if flags.passes is None else flags.passes
    return Predictor(flags.views, flags.decide or usual, members, flags.mc_dropout, passes)  # type: ignore[arg-type]


def members_trained(checkpoints: Sequence[int], database: str | Path | None) -> tuple[Member, ...]:
    """Returns the members that checkpoints are; raises BadInput where a file is gone or another one now."""
    return tuple(_member(origin_of_weights(str(one), database), "") for one in checkpoints)


def rejecter_named(named: str, database: str | Path | None) -> RejecterFile:
    """Returns the file of a fitted rejecter, by its number or name among the checkpoints, or by its path.

    Raises BadInput where there is neither.
    """
    file = path_of(named)
    if file.is_file() and not named.isdecimal():
        return RejecterFile(file, sha256_of(file))
    with open_for_lookup(database) as db:
        if db is None:
            raise BadInput(f"there is no rejecter {named}", "`rsuq fit-rejecter` fits one")
        row = checkpoint_by_number(db, number_named(db, "checkpoint", named))
    if row.objective != REJECTER:
        raise BadInput(f"checkpoint {row.id} is a network and no rejecter", "`rsuq fit-rejecter` fits one")
    return RejecterFile(path_of(row.file), row.sha256)


def training_of_members(request: TrainRequest, networks: int | None) -> list[TrainRequest]:
    """Returns the trainings of an ensemble of so many networks, their seeds one after another; of None, the training.

    Raises BadInput for less than two networks.
    """
    if networks is None:
        return [request]
    if networks < 2:
        raise BadInput(f"--ensemble is {networks}", "give 2 or more, or leave it out for one network")
    named = request.labels.name
    return [
        replace(
            request, seed=request.seed + place,
            labels=replace(request.labels, name=None if named is None else f"{named}-{place + 1}"),
        )
        for place in range(networks)
    ]  # fmt: skip


def train_members(
    requests: Sequence[TrainRequest], database: str | Path | None, watcher: Watcher
) -> list[TrainOutcome]:
    """Trains one network after another; those that were trained before are shown, and an interrupted one goes on."""
    outcomes = []
    for place, request in enumerate(requests, start=1):
        if len(requests) > 1:
            watcher.say(f"network {place} of {len(requests)}, seed {request.seed}")
        outcomes.append(train_run(request, database, watcher))
    return outcomes


def _first(sources: Sources, origin: Origin) -> Sources:
    if origin.checkpoint is None:
        return replace(sources, weights=origin.file)
    return replace(sources, model=origin.checkpoint.model, checkpoint=str(origin.checkpoint.id))


def _member(origin: Origin, model: str) -> Member:
    if origin.checkpoint is None:
        return Member(model, origin.file, origin.sha256)
    return Member(origin.checkpoint.model, origin.file, origin.sha256)
