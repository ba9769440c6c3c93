"""The denoiser of a run: which one is meant, and whether it belongs in front of this network on these data.

Invariant: it is known by its bytes before anything is opened, and what it does not fit is refused or said.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.errors import BadInput
from rsuq_cli.models.checkpoints import metadata_of, sha256_of
from rsuq_cli.models.custom import is_custom, origin_of
from rsuq_cli.models.denoised import LoadedDenoiser, open_denoiser
from rsuq_cli.models.denoiser import DENOISERS, Denoiser
from rsuq_cli.models.loading import LoadedModel
from rsuq_cli.run.cautions import other_data, other_sigma
from rsuq_cli.run.unseen import unseen_calibration
from rsuq_cli.spelling import spelled

# What the settings of a denoiser's training hold of the network that it was trained for.
CLASSIFIER = "classifier"


class Front(NamedTuple):
    """A denoiser, the data without calibration images that it was trained on, lines that cost nothing, and warnings
    that belong to the run."""

    denoiser: LoadedDenoiser
    dataset: Dataset
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def denoiser_of_factory(spec: str) -> Denoiser:
    """Returns a factory of one's own as a denoiser; raises BadInput where it cannot be found."""
    spec = spelled(spec)  # it is kept with results
    source = origin_of(spec).file
    if source is None or not source.is_file():
        raise BadInput(f"{spec}: there is no file of it", "write it as path/file.py:factory")
    return Denoiser(spec, sha256_of(source), factory_file=source)


def denoiser_of_weights(file: Path, sha256: str) -> Denoiser:
    """Returns trained weights as a denoiser; raises BadInput where they do not say that they are one."""
    known = metadata_of(file)
    if known is None or known.model not in DENOISERS:
        what = "does not say what it is" if known is None else f"is of {known.model}"
        raise BadInput(
            f"{file.name} is no denoiser: it {what}",
            "name a checkpoint of rsuq train --denoiser, or a factory as path/file.py:factory",
        )
    return Denoiser(known.model, sha256, file)


def is_factory(named: str) -> bool:
    """Returns whether a denoiser is named by a factory."""
    return is_custom(named) and not Path(named).is_file()


def in_front(
    wanted: Denoiser | None, networks: Sequence[LoadedModel], dataset: Dataset, name: str, sigma: float
) -> Front | None:
    """Returns the denoiser of a run of these networks on these data, kept under `name`; None where it has none.

    Calibration images that it was trained on are replaced by ones that no network was.
    Raises BadInput where it cannot be opened, or is no function from images to images of their shape.
    """
    if wanted is None:
        return None
    opened = open_denoiser(wanted, dataset.shape)
    which = wanted.file.name if wanted.file else wanted.spec
    dataset, unseen = unseen_calibration(dataset, name, opened.metadata, which, [one.metadata for one in networks])
    sigmas = other_sigma(opened.metadata, which, sigma)
    notes = [f"every noisy input goes through the denoiser {wanted.spec} first ({which})"]
    trained_for = dict(opened.metadata.get("config") or {}).get(CLASSIFIER)
    if trained_for not in (None, networks[0].weights_sha256):
        notes.append(f"{which} was trained for another network than this {networks[0].spec}")
    notes.append(other_data(name, opened.metadata, which))
    warnings = [unseen, f"{which}: {sigmas}" if sigmas else ""]
    return Front(opened, dataset, tuple(filter(None, notes)), tuple(filter(None, warnings)))
