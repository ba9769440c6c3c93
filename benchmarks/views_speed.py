"""What views cost: V views of every noise sample against V plain passes over as many samples.

    python benchmarks/views_speed.py [--models cnn,resnet20] [--device cpu] [--repeats 7]

The variants alternate within one run, one at a time, and are compared by ratio: time for V views divided by V times the
time of one pass, median over the repeats with their range. 1 is what passes cost; noise is drawn once for all views.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import numpy as np
import torch

from rsuq_cli.models.zoo import build
from rsuq_cli.sampling.device import resolve_device
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.uncertainty.predictor import Predictor
from rsuq_cli.uncertainty.thresholds import calibrated_edges

SHAPES = {"cnn": (1, 8, 8), "mlp": (1, 8, 8), "resnet20": (3, 32, 32), "resnet110": (3, 32, 32)}
SAMPLES = {"cnn": 200_000, "mlp": 200_000, "resnet20": 1500, "resnet110": 300}


def seconds(engine: Engine, images: torch.Tensor, samples: int) -> float:
    """Returns how long so many samples take, counted into class by bin evidence as a run counts them."""
    edges = calibrated_edges({}, measures=engine.predictor.measures, thresholds={"entropy": (0.5,)}, coverages=())
    started = time.perf_counter()
    for _ in engine.sample(images, np.arange(len(images)), edges, n0=1, n=samples // len(images)):
        pass
    return time.perf_counter() - started


def main() -> None:
    """Prints a table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="cnn,resnet20")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    device = resolve_device(given.device)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("model      views  time / (views x one pass)  range")
    for name in given.models.split(","):
        shape = SHAPES[name]
        images = torch.rand(2, *shape)
        engines = {
            views: Engine(
                build(name, shape=shape, num_classes=10), shape=shape, num_classes=10, sigma=0.25, seed=0,
                device=device, predictor=Predictor(views),
            )
            for views in (1, 2, 4, 8)
        }  # fmt: skip
        for engine in engines.values():
            seconds(engine, images, engine.batch_size)
        times = [
            {views: seconds(engine, images, SAMPLES[name]) for views, engine in engines.items()}
            for _ in range(given.repeats)
        ]
        for views in (2, 4, 8):
            ratios = sorted(one[views] / (views * one[1]) for one in times)
            median = statistics.median(ratios)
            print(f"{name:<10} {views:>5}  {median:>25.3f}  {ratios[0]:.3f} to {ratios[-1]:.3f}")


if __name__ == "__main__":
    main()
