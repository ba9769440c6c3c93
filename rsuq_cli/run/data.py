"""The data that a stored run is about: which set, at which size, and which of its inputs.

Invariant: what a run recorded counts, and only where it recorded nothing is its name taken apart. Nothing here imports
PyTorch before a data set is opened.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsuq_cli.datasets.names import KeptName, kept_under, parted
from rsuq_cli.errors import BadInput
from rsuq_cli.results.rows import RunRow

if TYPE_CHECKING:
    from rsuq_cli.datasets.dataset import Dataset, Split, SplitName

# Runs record the size that their images were resized to under this name; it is part of their data set's name already.
IMAGE_SIZE = "image_size"
# Whether the inputs that --limit left are spread evenly over the split.
SPREAD = "spread"


def data_of(run: RunRow) -> KeptName:
    """Returns the data set of a run as `--dataset` takes it, and the size its images were resized to."""
    if IMAGE_SIZE not in run.configuration:
        return parted(run.dataset)
    size = run.configuration[IMAGE_SIZE]
    return KeptName(run.dataset.removesuffix(kept_under("", size)), size)


def open_data_of(run: RunRow, data_dir: Path | None = None) -> Dataset:
    """Returns the data set of a run, its classes as it recorded them; raises BadInput where it is not there."""
    from rsuq_cli.datasets.catalogue import open_dataset
    from rsuq_cli.run.classes import as_recorded

    name, image_size = data_of(run)
    dataset = open_dataset(name, data_dir=data_dir, image_size=image_size, recorded=run.class_names)
    return as_recorded(dataset, run.class_names, run.id)


def inputs_of(run: RunRow, dataset: Dataset) -> Split:
    """Returns the inputs of a run, read anew; raises BadInput where they are not what they were."""
    from rsuq_cli.datasets.subset import same_subset

    evenly = bool(run.configuration.get(SPREAD))
    split: SplitName = run.split  # type: ignore[assignment]
    inputs = dataset.load(split, same_subset(dataset, split, run.skip, run.subset_limit, evenly=evenly))
    if inputs.sha256() != run.subset_sha256:
        raise BadInput(f"the inputs of {run.dataset} have changed since run {run.id}", "certify them anew")
    return inputs
