"""A network of your own, certified without the command line: `python examples/custom_model.py`.

The same file serves the command line:

    rsuq train   --model examples/custom_model.py:make --sigma 0.25
    rsuq certify --model examples/custom_model.py:make --sigma 0.25
"""

from __future__ import annotations

import os

import torch
from sklearn.datasets import load_digits
from torch import nn

import rsuq_cli as rsuq

SIGMA = 0.25
EPOCHS, INPUTS, N = (
    int(os.environ.get(name, default)) for name, default in (("EPOCHS", 30), ("INPUTS", 50), ("N", 2000))
)


def make(num_classes: int = 10) -> nn.Module:
    """Returns a small network for 8×8 images; what normalises the pixels is a part of it."""
    return nn.Sequential(
        nn.BatchNorm2d(1), nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(512, num_classes),
    )  # fmt: skip


def main() -> None:
    """Trains under noise, certifies held-out digits, and prints what came out."""
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(digits.target)
    train, calibration, test = slice(0, 1200), slice(1200, 1500), slice(1500, 1500 + INPUTS)

    model = make()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(EPOCHS):
        for batch in torch.randperm(1200).split(100):
            noisy = images[train][batch] + SIGMA * torch.randn_like(images[train][batch])
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(noisy), labels[train][batch]).backward()
            optimizer.step()

    result = rsuq.certify(
        model, images[test], labels[test], sigma=SIGMA, n=N, uncertainty="margin", calibration=images[calibration],
        coverage=0.9,
    )  # fmt: skip
    print(result.frame()[["label", "class_index", "decision", "radius_standard", "radius_cc", "radius_ncl"]].head(10))
    figures = result.figures(radii=[0.25])
    print(f"coverage {figures.coverage:.2f}, accuracy {figures.clean_accuracy:.2f}")
    print(f"ACR: standard {figures.acr_standard:.3f}, CC {figures.acr_cc:.3f}, NCL {figures.acr_ncl:.3f}")


if __name__ == "__main__":
    main()
