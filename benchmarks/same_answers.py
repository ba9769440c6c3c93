"""Whether the prepared model gives the answers of the plain one: the same noise through both, vote by vote.

    python benchmarks/same_answers.py [--models cnn,resnet20] [--device cpu] [--n 2000] [--compile]

Plain is the model as it was built: eager, float32, batch norm apart, channels first. Votes may differ only where the
two largest logits tie within rounding; how far the logits themselves move says what rounding is. A second seed shows
that shares of votes differ by no more than sampling does. Needs torch, numpy and scipy only.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from rsuq_cli.models.zoo import build
from rsuq_cli.sampling.device import inference, resolve_device
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.noise import Stream
from rsuq_cli.sampling.packing import Stretch, Task, pack, samples_in

SHAPES = {"mlp": (1, 8, 8), "cnn": (1, 8, 8), "resnet50": (3, 224, 224)}
CLASSES, INPUTS, SIGMA = 10, 4, 0.5


class Agreement(NamedTuple):
    """Of `samples`, the votes that differ, the widest gap of two logits among them, and how far logits move at most."""

    samples: int
    differing: int
    widest_gap: float
    moved: float


def with_varied_answers(name: str) -> nn.Module:
    """Returns a network with batch norms that fit noisy images, so that there is something to fold, and mixed votes."""
    torch.manual_seed(0)
    shape = SHAPES.get(name, (3, 32, 32))
    model = build(name, shape=shape, num_classes=CLASSES)
    noisy = torch.rand(32, *shape) + SIGMA * torch.randn(32, *shape)
    last = [part for part in model.modules() if isinstance(part, nn.Linear)][-1]
    with torch.no_grad():
        for _ in range(20):
            model.train()(noisy)
        last.bias.sub_(model.eval()(noisy).mean(dim=0))  # no class is ahead everywhere
    return model


def compare(engine: Engine, plain: nn.Module, images: torch.Tensor, n: int) -> Agreement:
    """Returns how the engine's forward pass agrees with the plain one on n samples of each image."""
    tasks = (Task(p, (Stretch(Stream.ESTIMATION, 0, n),)) for p in range(len(images)))
    samples = differing = 0
    widest = moved = 0.0
    for batch in pack(tasks, engine.batch_size):
        rows = samples_in(batch)
        with inference(engine.device, engine.precision):
            ours = engine.logits(images, range(len(images)), batch)[:rows].float()
        with inference(engine.device, "fp32"):
            theirs = plain(engine.noisy(images, range(len(images)), batch)[:rows])
        apart = ours.argmax(1) != theirs.argmax(1)
        top = theirs[apart].topk(2, dim=1).values
        samples, differing = samples + rows, differing + int(apart.sum())
        widest = max(widest, float((top[:, 0] - top[:, 1]).max())) if len(top) else widest
        moved = max(moved, float((ours - theirs).abs().max()))
    return Agreement(samples, differing, widest, moved)


def largest_deviation(engines: list[Engine], images: torch.Tensor, n: int) -> float:
    """Returns how far the shares of votes of two seeds are apart, in standard errors, at most over inputs, classes."""
    shares = []
    for engine in engines:
        votes = np.zeros((len(images), CLASSES))
        tasks = (Task(p, (Stretch(Stream.ESTIMATION, 0, n),)) for p in range(len(images)))
        for batch in pack(tasks, engine.batch_size):
            with inference(engine.device, engine.precision):
                logits = engine.logits(images, range(len(images)), batch)
            classes = logits.argmax(1)[: samples_in(batch)].cpu().numpy()
            rows = np.repeat([piece.position for piece in batch], [piece.size for piece in batch])
            np.add.at(votes, (rows, classes), 1)
        shares.append(votes / n)
    pooled = (shares[0] + shares[1]) / 2
    error = np.sqrt(2 * pooled * (1 - pooled) / n)
    return float((np.abs(shares[0] - shares[1]) / np.where(error > 0, error, 1)).max())


def main() -> None:
    """Prints a line for every model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="mlp,cnn,resnet20,resnet110,resnet50")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--n", type=int, default=2000, help="samples of each of 4 images (64 at 224x224)")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    device = resolve_device(args.device)
    print(f"{device}, {args.precision}, torch {torch.__version__}")
    for name in args.models.split(","):
        shape = SHAPES.get(name, (3, 32, 32))
        n = 64 if shape[1] == 224 else args.n
        model = with_varied_answers(name)
        images = (torch.rand(INPUTS, *shape) * 255).byte().to(device)
        engines = [
            Engine(
                model, shape=shape, num_classes=CLASSES, sigma=SIGMA, seed=seed, device=device,
                precision=args.precision, compiled=args.compile,
            )
            for seed in (0, 1)
        ]  # fmt: skip
        found = compare(engines[0], with_varied_answers(name).to(device), images, n)
        gap = f" (gap up to {found.widest_gap:.1e})" if found.differing else ""
        deviation = largest_deviation(engines, images, n)
        print(f"{name}, {engines[0].preparation}")
        print(f"  {found.differing} of {found.samples:,} votes differ{gap}; logits move by up to {found.moved:.1e}")
        print(f"  a second seed within {deviation:.1f} standard errors")


if __name__ == "__main__":
    main()
