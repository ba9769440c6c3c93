"""The sets that torchvision knows, read from a folder or downloaded into it.

Invariant: a set is complete in the folder or not there at all; a download that fails or is interrupted leaves nothing
behind that could be taken for data.
"""

from __future__ import annotations

import contextlib
import http.client
import pickle
import sys
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rsuq_cli.datasets.arrays import ArrayDataset, FileName
from rsuq_cli.datasets.dataset import Arrays
from rsuq_cli.errors import BadInput

DIGIT_NAMES = tuple("0123456789")
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100_TEXT = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm"""
CIFAR100_NAMES = tuple(CIFAR100_TEXT.split())
FASHION_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


@dataclass(frozen=True)
class VisionSet:
    """What is known of a torchvision set before any of its files is there."""

    torchvision_name: str
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    files: str  # where its files lie below the data folder, for the hint
    crop: bool = True
    flip: bool = False


VISION_SETS = {
    "cifar10": VisionSet("CIFAR10", CIFAR10_NAMES, (3, 32, 32), "cifar-10-batches-py/", flip=True),
    "cifar100": VisionSet("CIFAR100", CIFAR100_NAMES, (3, 32, 32), "cifar-100-python/", flip=True),
    "mnist": VisionSet("MNIST", DIGIT_NAMES, (1, 28, 28), "MNIST/raw/"),
    "fashion_mnist": VisionSet("FashionMNIST", FASHION_NAMES, (1, 28, 28), "FashionMNIST/raw/", flip=True),
    "svhn": VisionSet("SVHN", DIGIT_NAMES, (3, 32, 32), "train_32x32.mat and test_32x32.mat"),
}

# What torchvision raises where the network, the disk or an archive fails.
DOWNLOAD_ERRORS = (
    *(OSError, RuntimeError, RecursionError, EOFError),
    *(http.client.HTTPException, tarfile.TarError, zlib.error),
)
# What it raises where a file is there and is not what it should be (it checks no hash of MNIST's files).
READ_ERRORS = (
    *(OSError, RuntimeError, AssertionError, ValueError, TypeError, LookupError, EOFError, pickle.UnpicklingError),
)


class VisionDataset(ArrayDataset):
    """A torchvision set whose files lie in `data_dir`, or are downloaded into it when they are first asked for."""

    def __init__(self, name: str, data_dir: Path, *, image_size: int | None = None) -> None:
        self.source = VISION_SETS[name]
        self.data_dir = data_dir
        super().__init__(
            name,
            self.source.class_names,
            self.source.shape,
            image_size=image_size,
            augment_crop=self.source.crop,
            augment_flip=self.source.flip,
        )

    def _read_file(self, file: FileName) -> Arrays:
        try:
            data = self._open(file, self.data_dir)
            arrays = _arrays(data)
        except READ_ERRORS as error:
            raise BadInput(
                f"the files of {self.name} in {self.data_dir} cannot be read: {_one_line(error)}",
                f"delete {self.source.files} there and run the command again, it is then downloaded anew",
            ) from error
        if arrays.images.shape[1:] != self.source.shape or len(arrays.images) != len(arrays.labels):
            raise BadInput(
                f"the files of {self.name} in {self.data_dir} hold {len(arrays.labels)} labels for images of shape"
                f" {tuple(arrays.images.shape)}",
                f"delete {self.source.files} there and run the command again, it is then downloaded anew",
            )
        return arrays

    def _open(self, file: FileName, folder: Path) -> Any:
        """Returns torchvision's object for a file found in `folder`, downloaded into it where it is not there."""
        try:
            return self._construct(file, folder, download=False)
        except RuntimeError as error:
            # torchvision's only sign for "not here" among its RuntimeErrors.
            if "download=True" not in str(error):
                raise
        return self._download(file, folder)

    def _construct(self, file: FileName, folder: Path, *, download: bool) -> Any:
        import torchvision

        constructor = getattr(torchvision.datasets, self.source.torchvision_name)
        which = {"split": file} if self.name == "svhn" else {"train": file == "train"}
        # Some releases of torchvision print their progress, and stdout is for the answer alone.
        with contextlib.redirect_stdout(sys.stderr):
            return constructor(folder, download=download, **which)

    def _download(self, file: FileName, folder: Path) -> Any:
        """Downloads beside the place and moves into it, so that a broken download is never found there."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
                data = self._construct(file, Path(temporary), download=True)
                for path in sorted(Path(temporary).rglob("*")):
                    if path.is_file() and path.suffix != ".gz":  # the archives are unpacked and not needed again
                        target = folder / path.relative_to(temporary)
                        target.parent.mkdir(parents=True, exist_ok=True)
                        path.replace(target)
                return data
        except DOWNLOAD_ERRORS as error:
            raise BadInput(
                f"{self.name} is not in {folder}, or not whole, and cannot be downloaded: {_one_line(error)}",
                f"copy {self.source.files} into {folder}, or name the folder that holds it with --data-dir",
            ) from error


def _arrays(data: Any) -> Arrays:
    """Returns torchvision's arrays as [N, C, H, W] uint8 and [N] int64, copied only where the layout demands it."""
    images = torch.as_tensor(data.data)
    if images.ndim == 3:  # the MNIST family: [N, H, W]
        images = images.unsqueeze(1)
    elif images.shape[-1] == 3:  # CIFAR: [N, H, W, C], a view of an array that is channels-first in memory
        images = images.permute(0, 3, 1, 2)
    labels = data.labels if hasattr(data, "labels") else data.targets
    return Arrays(images.contiguous(), torch.as_tensor(np.asarray(labels, dtype=np.int64)))


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
