"""What a step of every objective costs, beside the passes that it takes.

    python benchmarks/objective_speed.py [--model cnn] [--batch 64] [--repeats 5]

All objectives alternate within one run, and are compared by ratio to gaussian: time of a step, median over the repeats
with their range, beside the factor that `rsuq train` states. The labels are what the network says without noise: catrs
attacks only where an image is right under all noises. An attack's backward pass has no gradients of weights, so
less than the factor is usual; what an objective does beside passes is cheap for large networks only.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import torch

from rsuq_cli.models.zoo import build
from rsuq_cli.training.objectives.base import IMAGES, Batch, UnderNoise
from rsuq_cli.training.objectives.names import objective_names
from rsuq_cli.training.objectives.registry import objective_named

SHAPES = {"mlp": (1, 8, 8), "cnn": (1, 8, 8), "resnet20": (3, 32, 32)}
SIGMA = 0.5


def seconds(objective: UnderNoise, model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Returns how long loss and gradients of a batch take."""
    source = torch.Generator().manual_seed(0)
    memory = {IMAGES: torch.tensor(len(images))}
    batch = Batch(images, labels, SIGMA, source, 1.0, torch.arange(len(images)), memory)
    started = time.perf_counter()
    objective(model, batch).backward()
    return time.perf_counter() - started


def main() -> None:
    """Prints a table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="cnn", choices=SHAPES)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    shape = SHAPES[given.model]
    torch.manual_seed(0)
    model, images = build(given.model, shape=shape, num_classes=10).train(), torch.rand(given.batch, *shape)
    labels = model(images).argmax(dim=1)
    objectives = {
        name: objective_named(name, sigma=SIGMA) for name in objective_names() if not objective_named(name).of_denoiser
    }
    times: dict[str, list[float]] = {name: [] for name in objectives}
    for repeat in range(given.repeats + 1):
        for name, objective in objectives.items():
            taken = seconds(objective, model, images, labels)
            if repeat:  # the first pays for all's start
                times[name].append(taken)
    machine = f"{platform.processor() or platform.machine()}, torch {torch.__version__}"
    print(f"{machine}, {torch.get_num_threads()} threads, {given.model}, batches of {given.batch}")
    print(f"{'objective':<12} {'images/s':>9}  {'time / gaussian':>15}  {'range':<14}  stated")
    for name, objective in objectives.items():
        ratios = sorted(own / plain for own, plain in zip(times[name], times["gaussian"], strict=True))
        rate = given.batch / statistics.median(times[name])
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        print(
            f"{name:<12} {rate:>9,.0f}  {statistics.median(ratios):>15.2f}  {spread:<14}  {objective.passes(SIGMA):g}"
        )


if __name__ == "__main__":
    main()
