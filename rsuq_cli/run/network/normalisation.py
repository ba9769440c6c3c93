"""The normalisation of a network whose weights hold none: what the user says, else what answers noisy inputs best.

Invariant: it is settled before anything is sampled, on calibration inputs with noise of their own, so that certificates
are about one function; which one it is, and why, is said, and recorded with the run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.datasets.subset import spread
from rsuq_cli.errors import BadInput
from rsuq_cli.models.custom import is_custom
from rsuq_cli.models.loading import LoadedModel
from rsuq_cli.models.normalise import Normalise
from rsuq_cli.models.spec import is_library
from rsuq_cli.models.statistics import KNOWN, OF_DATA, Statistics, customary
from rsuq_cli.models.zoo import channels_taken
from rsuq_cli.run.network.race import Candidate, Race, with_statistics
from rsuq_cli.run.request import Sources
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.training.statistics import channel_statistics

# Calibration inputs that candidates are compared on at most.
_MOST = 512
# Training inputs that the data's own statistics are estimated on.
_OF_DATA = 2000


class Normalised(NamedTuple):
    """A model with its normalisation settled, and what should be known of how it was, by the line."""

    model: LoadedModel
    warnings: tuple[str, ...] = ()


def normalised(
    model: LoadedModel, dataset: Dataset, sources: Sources, sigma: float, device: torch.device, watcher: Watcher
) -> Normalised:  # fmt: skip
    """Returns the model with the normalisation that is asked for, or found where its weights hold none, and says which.

    Raises BadInput where one is asked for that the weights or the network's own code contradict, or that does not fit
    the data.
    """
    given = _given(sources, model, dataset)
    if model.normalisation is None:
        if given is not None:
            _check_own(model, given)
        return Normalised(model)
    if given is not None:
        return Normalised(with_statistics(model, given))
    if is_library(model.spec):
        return Normalised(model)
    if sources.assumed is not None:
        return Normalised(with_statistics(model, _fitting(sources.assumed, model, dataset)))
    if not len(dataset.calibration_indices):
        return _assumed(model, dataset, watcher)
    return _found(model, dataset, sigma, device, watcher)


def _given(sources: Sources, model: LoadedModel, dataset: Dataset) -> Statistics | None:
    """Returns what `--normalise`, or `--mean` and `--std`, ask for."""
    wanted = sources.statistics
    if sources.normalise is not None:
        wanted = _of_data(dataset) if sources.normalise == OF_DATA else KNOWN[sources.normalise]
        if wanted is None:
            raise BadInput(f"{dataset.name} has no training inputs to normalise by", "give --mean and --std")
    return None if wanted is None else _fitting(wanted, model, dataset)


def _fitting(wanted: Statistics, model: LoadedModel, dataset: Dataset) -> Statistics:
    """Returns a normalisation as the data's channels take it; raises BadInput where they do not."""
    channels = dataset.shape[0]
    taken = channels_taken(model.spec, channels)
    if is_library(model.spec):
        taken = int(model.module.get_submodule("normalise").out_channels)  # type: ignore[arg-type]
    fitting = wanted.for_channels(channels, taken)
    if fitting is None:
        raise BadInput(
            f"the normalisation is for {len(wanted.mean)} channels, and the data have {channels}",
            "give one value for each channel, or one for all",
        )
    return fitting


def _check_own(model: LoadedModel, given: Statistics) -> None:
    """Raises BadInput where what is asked for is not what the model has in itself."""
    layer = model.module.get_submodule("normalise") if not is_custom(model.spec) else None
    if not isinstance(layer, Normalise):
        raise BadInput(
            f"{model.spec} normalises in its own code", "leave --normalise, --mean and --std out, and normalise there"
        )
    own = layer.statistics
    if len(own.mean) != len(given.mean) or not np.allclose(np.array(own), np.array(given), rtol=1e-3, atol=1e-4):
        raise BadInput(
            f"{model.source} holds its own normalisation: {own.describe()}, not {given.describe()}",
            "leave --normalise, --mean and --std out",
        )


def _assumed(model: LoadedModel, dataset: Dataset, watcher: Watcher) -> Normalised:
    name = customary(dataset.name)
    warning = (
        f"normalisation: {model.source} holds none, and {dataset.name} has no calibration data to find it with: "
        f"{name} is assumed; give --normalise, or --mean and --std"
    )
    watcher.say(f"warning: {warning}")
    return Normalised(with_statistics(model, _fitting(KNOWN[name], model, dataset)), (warning,))


def _candidates(model: LoadedModel, dataset: Dataset) -> list[Candidate]:
    """Returns what fits the images, the one that is usual for the data set first; no two are the same."""
    channels = dataset.shape[0]
    usual, own = customary(dataset.name), _of_data(dataset)
    by_name = {usual: KNOWN[usual]} | {name: one for name, one in KNOWN.items() if name != "mnist" or channels == 1}
    by_name |= {OF_DATA: own} if own else {}
    found: dict[Statistics, Candidate] = {}
    for name, one in by_name.items():
        fitting = one.for_channels(channels, channels_taken(model.spec, channels))
        if fitting is not None:
            found.setdefault(fitting, Candidate(name, fitting))
    return list(found.values())


def _found(model: LoadedModel, dataset: Dataset, sigma: float, device: torch.device, watcher: Watcher) -> Normalised:
    """Returns the model with the candidate that answers noisy calibration inputs best, or clean ones if none does.

    What published weights for this data set usually have is taken wherever it is not worse.
    """
    preferred = dataset.name if dataset.name == customary(dataset.name) else ""
    # Files often come class by class: a round should see all classes.
    order = np.random.default_rng(0).permutation(spread(dataset.calibration_indices, _MOST))
    split = dataset.load("calibration", order)
    race = Race(model, _candidates(model, dataset), split, sigma, device, _MOST)
    warnings, kind = [], "noisy"
    if race.useless:
        best = race.most_accurate
        warnings.append(
            f"normalisation: {model.source} holds none, and none gives a useful accuracy at sigma {sigma:g} (the best, "
            f"{best.name}: {best.accuracy:.1%} right)"
        )
        race, kind = Race(model, _candidates(model, dataset), split, 0.0, device, _MOST), "clean"
    taken = race.chosen(preferred)
    samples = f"{len(taken.right)} {kind} calibration samples"
    watcher.say(
        f"normalisation: the weights hold none; taking {taken.name} ({taken.statistics.describe()}), right on "
        f"{taken.accuracy:.1%} of {samples}; {_next_best(race, taken)}; --normalise says another"
    )
    unclear = race.unclear(taken)
    if unclear and not warnings:
        others = " and ".join(f"{one.name} ({one.accuracy:.1%})" for one in unclear)
        warnings.append(
            f"normalisation: {taken.name} is taken ({taken.accuracy:.1%} of {samples} are right), and {others} cannot "
            "be told from it: --normalise says which is meant"
        )
    for warning in warnings:
        watcher.say(f"warning: {warning}")
    return Normalised(with_statistics(model, taken.statistics), tuple(warnings))


def _next_best(race: Race, taken: Candidate) -> str:
    """Returns what the best of the others comes to, which may have lost by the probabilities of the labels alone."""
    others = [one for one in race.left if one is not taken] or [one for one in race.candidates if one is not taken]
    second = max(others, key=lambda one: (one.accuracy, one.likelihood))
    less_sure = ", less sure of the labels" if second.accuracy >= taken.accuracy else ""
    return f"the next, {second.name}, on {second.accuracy:.1%}{less_sure}"


def _of_data(dataset: Dataset) -> Statistics | None:
    """Returns the statistics of the data's own training inputs, a bounded number of them; None without any."""
    chosen = spread(dataset.indices("train"), _OF_DATA)
    return channel_statistics(dataset.load("train", chosen)) if len(chosen) else None
