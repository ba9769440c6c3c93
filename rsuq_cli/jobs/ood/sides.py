"""The inputs of an out-of-distribution run: the in-distribution side and the sets from elsewhere, one after the other.

Invariant: every input has one position in the run, counted through all sides; its evidence is stored under it. Its
noise depends on its number in its own set (and on the set's name), not on which other sets are asked for, so the
in-distribution side is sampled exactly as `certify` samples it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.datasets.contents import content_hashes
from rsuq_cli.datasets.dataset import Dataset, Indices, Split, SplitName
from rsuq_cli.datasets.folder import FolderDataset
from rsuq_cli.datasets.held_out import HeldOutDataset
from rsuq_cli.datasets.names import SEPARATOR, held_out_name, kept_under
from rsuq_cli.datasets.ood_sets import HELD_OUT, open_ood_set
from rsuq_cli.datasets.subset import spread
from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.ood.request import FEWEST_INPUTS, OodRequest
from rsuq_cli.models.custom import is_custom, origin_of
from rsuq_cli.results.database import open_for_lookup
from rsuq_cli.results.ood_writer import newest_held_out_checkpoint
from rsuq_cli.results.rows import CheckpointRow
from rsuq_cli.run.network.own import is_of
from rsuq_cli.run.network.weights import checkpoint_named
from rsuq_cli.run.ready import Part
from rsuq_cli.run.request import Sources

NO_LABEL = -1


@dataclass(frozen=True, eq=False)
class Side:
    """The inputs of one set; `start` is the position of the first in the run, `near` None in distribution."""

    name: str
    split: Split
    start: int
    near: bool | None = None

    def __len__(self) -> int:
        return len(self.split)

    @property
    def noise_numbers(self) -> Indices:
        """What the noise of each input depends on: in distribution its index, elsewhere the set's name too."""
        if self.near is None:
            return self.split.indices
        own_name = self.name.rpartition("/")[2]  # a folder may be moved
        return ((zlib.crc32(own_name.encode()) & 0x3FFFFFFF) + 1 << 32) + self.split.indices

    @property
    def part(self) -> Part:
        """The side as it is sampled, and stored under its positions in the run."""
        return Part(self.name, self.split, self.noise_numbers, np.arange(self.start, self.start + len(self)))


def sides(request: OodRequest, dataset: Dataset, name: str, own: Split, tell: Callable[[str], None]) -> list[Side]:
    """Returns the in-distribution side `own`, under `name`, and every set asked for, read once; `tell` hears of them.

    Raises BadInput for a set that cannot be had in this shape, has fewer than two inputs, or is the data set itself.
    """
    found = [Side(name, own, 0)]
    sources = request.certify.sources
    for wanted in dict.fromkeys(request.sets):
        opened = open_ood_set(
            wanted, dataset, count=request.certify.limit, made=len(own), image_size=sources.image_size,
            data_dir=sources.data_dir, tell=tell,
        )  # fmt: skip
        if opened.name in (dataset.name, name):
            raise BadInput(f"{opened.name} is the in-distribution data itself", "name another set with --ood")
        if opened.name in [side.name for side in found]:
            raise BadInput(f"{opened.name} is named twice", "name every set once")
        split = Split(opened.images, torch.full((len(opened),), NO_LABEL), opened.indices)
        found.append(Side(opened.name, split, found[-1].start + len(found[-1]), opened.near or wanted in request.near))
    for side in found:
        if len(side) < FEWEST_INPUTS:
            raise BadInput(f"{side.name} has {len(side)} inputs", f"give at least {FEWEST_INPUTS} on each side")
    return found


def own_inputs(request: OodRequest, dataset: Dataset) -> Split:
    """Returns the in-distribution inputs: at most `--limit`, spread evenly over the split."""
    split: SplitName = request.certify.split  # type: ignore[assignment]
    available = dataset.indices(split)[:: request.certify.skip]
    if not len(available):
        raise BadInput(f"{dataset.name} has no {split} inputs", "choose another --split or data set")
    return dataset.load(split, spread(available, request.certify.limit))


def resolved_sources(request: OodRequest, database: str | Path | None) -> Sources:
    """Returns where model and data come from, once it is known which classes are held out and what needs resizing.

    With the set `held-out` and a data set that holds out none, the newest checkpoint decides that does. An image size
    that the data have by nature leaves them as they are, so that it is about the other sets alone.
    """
    from dataclasses import replace

    sources = request.certify.sources
    dataset = open_dataset(sources.dataset, data_dir=sources.data_dir)
    own_size = None if dataset.shape[1:] == (sources.image_size,) * 2 else sources.image_size
    if HELD_OUT in request.sets and not isinstance(dataset, HeldOutDataset):
        name = _held_out_dataset(sources, dataset.name, own_size, request.certify.sigma, database)
        return replace(sources, dataset=name, image_size=own_size)
    return replace(sources, image_size=own_size)


def _held_out_dataset(
    sources: Sources, dataset: str, image_size: int | None, sigma: float, database: str | Path | None
) -> str:
    """Returns the name of the data set that the model was trained on, with classes held out."""
    suffix = kept_under("", image_size)
    recorded = None
    if sources.weights:
        from rsuq_cli.models.checkpoints import metadata_of
        from rsuq_cli.models.parts import located

        metadata = metadata_of(located(sources.weights).file)
        recorded = metadata.dataset if metadata else None
    else:
        is_of_model = _telling(sources.model, sources.objective)
        with open_for_lookup(database) as db:
            if sources.checkpoint is not None:
                recorded = checkpoint_named(db, sources.checkpoint).dataset
            else:
                checkpoint = db and newest_held_out_checkpoint(db, is_of_model, dataset + SEPARATOR, suffix, sigma)
                recorded = checkpoint.dataset if checkpoint else None
    if recorded is not None and held_out_name(recorded):
        return recorded.removesuffix(suffix)
    data = f" --dataset {sources.dataset}" if sources.dataset != "digits" else ""
    raise BadInput(
        f"no checkpoint of {sources.model} for {dataset} at sigma {sigma:g} was trained with classes held out",
        f"train it: rsuq train --model {sources.model}{data} --sigma {sigma:g} --hold-out-classes 0,1",
    )


def _telling(model: str, objective: str | None) -> Callable[[CheckpointRow], bool]:
    """Returns what tells whether a checkpoint is of a model: by name in the zoo, by file for a user's own."""
    if not is_custom(model):
        return lambda row: row.model == model and objective in (None, row.objective)
    origin = origin_of(model)
    return lambda row: is_of(row, origin, model) and objective in (None, row.objective)


def overlaps(dataset: Dataset, side_list: Sequence[Side]) -> list[str]:
    """Returns a warning for every set that holds images of the in-distribution data, compared by content.

    All splits are compared; of image folders the test split alone, since decoding the others would take long.
    """
    splits: tuple[SplitName, ...] = ("test",) if _on_disk(dataset) else ("train", "calibration", "test")
    own: set[bytes] = set()
    for split in splits:
        if len(dataset.indices(split)):
            own |= set(content_hashes(dataset.load(split).images))
    warnings = []
    for side in side_list:
        if side.near is None:
            continue
        shared = sum(digest in own for digest in content_hashes(side.split.images))
        if shared:
            warnings.append(f"{side.name} holds {shared} images of {dataset.name}: they are in distribution")
    return warnings


def _on_disk(dataset: Dataset) -> bool:
    return isinstance(dataset.whole if isinstance(dataset, HeldOutDataset) else dataset, FolderDataset)
