"""The embedded data set: scikit-learn's 1,797 handwritten digits, 8×8, which need no network.

Invariant: positions are those of scikit-learn's array for all three splits, and the division never changes.
"""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from rsuq_cli.datasets.arrays import ArrayDataset, FileName
from rsuq_cli.datasets.dataset import Arrays, Indices, SplitName
from rsuq_cli.datasets.splits import SEED, stratified_sample

HELD_OUT = 360  # inputs for test and as many for calibration: 20 % of 1,797 each


class Digits(ArrayDataset):
    """UCI's optical recognition of handwritten digits, test part, as scikit-learn ships it (`load_digits`)."""

    def __init__(self, *, image_size: int | None = None) -> None:
        # Strokes fill the 8×8 frame, so a crop cuts into them; a mirrored digit is another sign.
        super().__init__("digits", tuple("0123456789"), (1, 8, 8), image_size=image_size)

    def _file_of(self, split: SplitName) -> FileName:
        return "train"  # one array holds all three splits

    def _read_file(self, file: FileName) -> Arrays:
        images, labels = _bundled()
        # Values are 0 to 16: the 8-bit grid keeps them apart and lets the data live as uint8 like any other.
        grey = np.rint(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
        return Arrays(torch.from_numpy(grey), torch.from_numpy(labels))

    def _divide(self, file: FileName, labels: Indices) -> dict[SplitName, Indices]:
        test = stratified_sample(labels, HELD_OUT, seed=SEED)
        others = np.setdiff1d(np.arange(len(labels), dtype=np.int64), test)
        calibration = others[stratified_sample(labels[others], HELD_OUT, seed=SEED + 1)]
        return {"train": np.setdiff1d(others, calibration), "calibration": calibration, "test": test}


def _bundled() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Returns images `[N, 64]` with values 0 to 16, and labels `[N]`: what `load_digits(return_X_y=True)` returns.

    scikit-learn's file is read without scikit-learn, whose import takes longer than certifying a digit.
    """
    package = find_spec("sklearn")
    file = Path(package.origin).parent / "datasets/data/digits.csv.gz" if package and package.origin else None
    if file is None or not file.is_file():
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        return images, labels.astype(np.int64)
    with gzip.open(file, "rt") as lines:
        table = np.loadtxt(lines, delimiter=",")
    return table[:, :-1], table[:, -1].astype(np.int64)
