"""The model and the data that a run is about.

Invariant: nothing is written here; a run that cannot start leaves every file as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.dataset import Dataset, Split
from rsuq_cli.datasets.fitted import original
from rsuq_cli.datasets.names import kept_under
from rsuq_cli.errors import BadInput
from rsuq_cli.fingerprint import Fingerprint
from rsuq_cli.models.denoised import LoadedDenoiser, behind
from rsuq_cli.models.fingerprint import fingerprint_of
from rsuq_cli.models.loading import LoadedModel, open_model
from rsuq_cli.models.member import Member
from rsuq_cli.models.members import dropout_rates, joined, opened_members, under_dropout
from rsuq_cli.models.spec import is_library
from rsuq_cli.results.rows import CheckpointRow
from rsuq_cli.run.cautions import other_data, other_sigma
from rsuq_cli.run.classes import matched
from rsuq_cli.run.configuration import recorded_fingerprint
from rsuq_cli.run.denoising import in_front
from rsuq_cli.run.network.normalisation import normalised
from rsuq_cli.run.network.own import is_drawn
from rsuq_cli.run.network.preprocessing import noise_line
from rsuq_cli.run.network.weights import found_checkpoint, untrained_network
from rsuq_cli.run.rejecter import LoadedRejecter, read_rejecter, without_fitted
from rsuq_cli.run.request import Sources
from rsuq_cli.run.sampler import Recipe
from rsuq_cli.run.unseen import seen_warning, unseen_calibration
from rsuq_cli.run.watcher import Watcher
from rsuq_cli.spelling import path_of


@dataclass(frozen=True)
class Opened:
    """A data set, the name it is kept under, the size its images were resized to, a model, its checkpoint if ours.

    `fingerprint` is what the model computes, `recipe` how another process opens the same model; `untrained` says that
    its weights are random, `renamed` that classes have other names than it was trained with; `warnings` belong to
    whatever is found out about it. `others` are the further networks of an ensemble, all of which `model` is as one,
    behind the `denoiser` where there is one; no image that the `rejecter` was fitted on calibrates.
    """

    dataset: Dataset
    dataset_name: str
    image_size: int | None
    model: LoadedModel
    checkpoint: CheckpointRow | None
    fingerprint: Fingerprint
    recipe: Recipe
    untrained: bool = False
    renamed: bool = False
    warnings: tuple[str, ...] = ()
    others: tuple[LoadedModel, ...] = ()
    rejecter: LoadedRejecter | None = None
    denoiser: LoadedDenoiser | None = None

    @property
    def which(self) -> str:
        """The weights, in words."""
        return _which(self.checkpoint, self.model)

    @property
    def knows_classes(self) -> bool:
        """Whether the weights hold the names of the classes, which were compared with those of the data."""
        return isinstance(self.model.metadata.get("class_names"), (list, tuple))

    def seen(self, inputs: Split) -> str:
        """Returns a line for every network that was trained, and for a rejecter fitted, on some of the inputs."""
        networks = [(self.which, self.model.metadata), *((Path(one.source).name, one.metadata) for one in self.others)]
        if self.denoiser is not None:
            networks.append((self.denoiser.denoiser.spec, dict(self.denoiser.metadata)))
        lines = [seen_warning(inputs, metadata, which) for which, metadata in networks]
        return "; ".join(filter(None, [*lines, self.rejecter.fitted.saw(inputs) if self.rejecter else ""]))

    def check_calibration(self, coverages: Sequence[float]) -> None:
        """Raises BadInput, before the database is touched, where nothing can calibrate a threshold for a coverage."""
        if not coverages or len(self.dataset.calibration_indices):
            return
        if len(original(self.dataset).calibration_indices):
            raise BadInput(
                f"{self.dataset.name} has too few calibration images that {self.which} was not trained on",
                "give --threshold, or train anew on what the data set is now",
            )
        raise BadInput(
            f"{self.dataset.name} has no calibration data to find a threshold for a coverage",
            "give --threshold, or a data set with training data",
        )


def open_sources(
    sources: Sources, sigma: float, device: torch.device, database: str | Path | None, watcher: Watcher,
    *, denoised: bool = False,
) -> Opened:  # fmt: skip
    """Returns data and model, the newest checkpoint trained for (model, data set, sigma) where no weights are named.

    `device` is where a normalisation is looked for. What is `denoised` need not have seen noise, with a denoiser of the
    sources or one that is trained.
    Raises BadInput where there is no such data set or model, no checkpoint (with the command that trains one), and for
    a factory that draws its weights, unless that is asked for.
    """
    dataset = open_dataset(sources.dataset, data_dir=sources.data_dir, image_size=sources.image_size)
    dataset.tell(watcher.say)
    name = kept_under(dataset.name, sources.image_size)
    found = found_checkpoint(sources, dataset, name, sigma, database)
    checkpoint, notes = found.checkpoint, list(found.notes)
    weights = path_of(checkpoint.file) if checkpoint else sources.weights
    model = open_model(
        sources.model, shape=dataset.shape, num_classes=dataset.num_classes, weights=weights, file=sources.factory_file
    )  # fmt: skip
    untrained = (
        weights is None
        and not sources.pretrained
        and is_drawn(model, dataset.shape, dataset.num_classes, file=sources.factory_file)
    )
    if untrained and not sources.untrained:
        raise untrained_network(sources, sigma, found.notes)
    if checkpoint:
        notes.append(f"checkpoint {checkpoint.id}: {path_of(checkpoint.file).name}")
    elif sources.pretrained:
        notes.append(f"the weights are those that the library of {sources.model} publishes")
    elif weights is None and not untrained:
        notes.append(
            f"no checkpoint of {sources.model} for {name} at sigma {sigma:g}: using the factory's own weights"
        )  # fmt: skip
    which = _which(checkpoint, model)
    if model.preprocessing:
        notes.append(noise_line(model.preprocessing))
    fitted = _fitted(dataset, name, model, which, sources)
    for note in (*notes, *model.notes, *fitted.notes):
        watcher.say(note)
    dataset = fitted.dataset
    model, warnings = normalised(model, dataset, sources, sigma, device, watcher)
    own = fingerprint_of(model.module, dataset.shape)
    mean, std = model.normalisation or (None, None)
    ensemble = _ensemble(sources, sigma, name, model, dataset)
    front = in_front(sources.denoiser, (model, *ensemble.others), ensemble.dataset, name, sigma)
    whole = behind(ensemble.model, front.denoiser if front else None)
    fingerprint = fingerprint_of(whole.module, dataset.shape) if ensemble.others or front else own
    asked = under_dropout(whole, sources.monte_carlo, dataset.shape)
    for note in front.notes if front else ():
        watcher.say(note)
    for rates in filter(None, dropout_rates(asked.module)):
        watcher.say(f"masks are those of the network's own dropout layers, at rates of {', '.join(map(str, rates))}")
    dataset = front.dataset if front else ensemble.dataset
    rejecter = _rejecter(sources, model, which, dataset.num_classes)
    about_rejecter = rejecter.fitted.other_sigma(sigma) if rejecter else ""
    if rejecter:
        dataset, left_out = without_fitted(dataset, rejecter.fitted)
        if left_out:
            watcher.say(left_out)
    own_cautions = _cautions(sources, sigma, model, own, which, denoised=denoised or sources.denoiser is not None)
    cautions = [*fitted.warnings, *own_cautions, *ensemble.warnings, *filter(None, [about_rejecter])]
    cautions += front.warnings if front else ()
    if untrained:
        cautions.append("the network is untrained: its weights are those that its factory draws")
    for caution in cautions:
        watcher.say(f"warning: {caution}")
    recipe = Recipe(
        sources.model, dataset.shape, dataset.num_classes, weights, mean, std, model.weights_sha256, fingerprint,
        sources.factory_file, ensemble.members, sources.monte_carlo, sources.denoiser,
    )  # fmt: skip
    return Opened(
        dataset, name, sources.image_size, asked, checkpoint, fingerprint, recipe, untrained,
        fitted.renamed, (*warnings, *cautions), ensemble.others, rejecter,
        front.denoiser if front else None,
    )  # fmt: skip


def _rejecter(sources: Sources, model: LoadedModel, which: str, classes: int) -> LoadedRejecter | None:
    """Returns the rejecter; raises BadInput where it was fitted for other weights or classes."""
    if sources.rejecter is None:
        return None
    found = read_rejecter(sources.rejecter)
    found.fitted.check_network(model.weights_sha256, which, classes)
    return found


def _which(checkpoint: CheckpointRow | None, model: LoadedModel) -> str:
    if checkpoint:
        return f"checkpoint {checkpoint.id}"
    return model.spec if is_library(model.spec) and model.source == model.spec else Path(model.source).name


class _Ensemble(NamedTuple):
    """All networks as one, the members as they are found again, the data without images that any of them saw, and
    warnings.
    """

    model: LoadedModel
    members: tuple[Member, ...]
    dataset: Dataset
    warnings: tuple[str, ...]
    others: tuple[LoadedModel, ...]


def _ensemble(sources: Sources, sigma: float, name: str, main: LoadedModel, dataset: Dataset) -> _Ensemble:
    """Returns the network with the further ones; raises BadInput for one trained for classes of other names."""
    others = opened_members(
        sources.members, shape=dataset.shape, num_classes=dataset.num_classes, normalisation=main.normalisation
    )
    members: list[Member] = []
    warnings: list[str] = []
    for place, (one, opened) in enumerate(zip(sources.members, others, strict=True)):
        which = one.file.name
        if opened.weights_sha256 == main.weights_sha256:
            raise BadInput(f"{which} is the first network itself", "it would count twice in the mean: name each once")
        names, own = (each.metadata.get("class_names") for each in (opened, main))
        if names is not None and own is not None and list(names) != list(own):
            raise BadInput(f"{which} was trained for classes of other names", "take members of the same classes")
        if (names is None) != (own is None):
            warnings.append(f"{which} and the first network do not both name their classes: they are taken to be alike")
        before = [main.metadata, *(earlier.metadata for earlier in others[:place])]
        dataset, warning = unseen_calibration(dataset, name, opened.metadata, which, before)
        members.append(one._replace(factory_file=opened.source_file))
        caution = other_sigma(opened.metadata, opened.source, sigma)
        warnings += [warning, other_data(name, opened.metadata, which), f"{which}: {caution}" if caution else ""]
    return _Ensemble(
        joined(main, others),
        tuple(members),
        dataset,
        tuple(filter(None, warnings)),
        tuple(others),
    )


class _Fitted(NamedTuple):
    """The data as the network needs them, lines that cost nothing, and lines that belong to the run."""

    dataset: Dataset
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    renamed: bool


def _fitted(dataset: Dataset, name: str, model: LoadedModel, which: str, sources: Sources) -> _Fitted:
    """Returns the data with the network's classes, by name, and calibration images that training did not see.

    Raises BadInput where the network was trained for classes of other names.
    """
    notes, warnings = [other_data(name, model.metadata, which)] if sources.weights or sources.checkpoint else [], []
    renamed = False
    trained = sources.recorded_classes or model.metadata.get("class_names")
    if isinstance(trained, (list, tuple)):
        found = matched(
            dataset,
            list(map(str, trained)),
            which,
            renamed=sources.classes_renamed,
            synonyms=() if sources.recorded_classes else model.class_synonyms,
        )
        dataset, renamed = found.dataset, found.renamed
        notes.append(found.note)
        warnings.append(found.warning)
    dataset, warning = unseen_calibration(dataset, name, model.metadata, which)
    return _Fitted(dataset, tuple(filter(None, notes)), tuple(filter(None, (*warnings, warning))), renamed)


def _cautions(
    sources: Sources, sigma: float, model: LoadedModel, found: Fingerprint, which: str, *, denoised: bool
) -> list[str]:  # fmt: skip
    """Returns what the weights file says of itself that does not agree with what is done with it."""
    cautions = []
    named = (sources.weights or sources.checkpoint) and not denoised
    if named and (caution := other_sigma(model.metadata, model.source, sigma)):
        cautions.append(caution)
    known = recorded_fingerprint(model.metadata)
    if known is not None and not known.agrees(found):
        cautions.append(f"{model.spec} computes something else than when {which} was trained")
    return cautions
