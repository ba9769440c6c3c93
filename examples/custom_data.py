"""Data of your own: written as an npz file, trained on, certified. `python examples/custom_data.py`.

Bars that lie or stand, in images of 8×8 pixels. An own data set needs `x_train`, `y_train`, `x_test` and `y_test`:
images `[N, C, H, W]` as uint8 or floats in [0, 1], and labels from 0 up.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

TRAIN, TEST, N, EPOCHS = (
    os.environ.get(name, default)
    for name, default in (("TRAIN", "400"), ("TEST", "40"), ("N", "2000"), ("EPOCHS", "20"))
)


def bars(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns images with one bar each, lying (0) or standing (1), on a grey ground."""
    random = np.random.default_rng(seed)
    images, labels = random.integers(0, 80, (count, 1, 8, 8), dtype=np.uint8), np.arange(count) % 2
    for image, label in zip(images, labels, strict=True):
        place = random.integers(0, 7)
        lines = image[0] if label == 0 else image[0].T
        lines[place : place + 2] = random.integers(120, 256)
    return images, labels


def main() -> None:
    """Writes the file and runs the three commands on it."""
    (x_train, y_train), (x_test, y_test) = bars(int(TRAIN), 0), bars(int(TEST), 1)
    np.savez("bars.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    common = ["--model", "mlp", "--dataset", "npz:bars.npz", "--sigma", "0.25"]
    for command in (
        ["train", *common, "--epochs", EPOCHS],
        ["certify", *common, "--n", N],
        ["report", "--per-class"],
    ):
        subprocess.run([sys.executable, "-m", "rsuq_cli", *command], check=True)


if __name__ == "__main__":
    main()
