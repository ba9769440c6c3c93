"""Inputs per second of the pass that serves every out-of-distribution score, next to the clean single pass.

    python benchmarks/ood_speed.py [--inputs 64] [--n 1000] [--device cpu] [--repeats 3]

For `cnn` at 1×8×8 and `resnet20` at 3×32×32 with random weights (speed does not depend on them): the noise pass draws
100 + n samples for each input and counts every measure; the clean pass is one forward pass without noise. The medians
of the repeats are printed, after a warm-up, with their spread.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.models.zoo import build
from rsuq_cli.sampling.clean import clean_pass
from rsuq_cli.sampling.device import resolve_device
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.forward import Forward
from rsuq_cli.uncertainty.measures import MEASURES

CASES = (("cnn", (1, 8, 8)), ("resnet20", (3, 32, 32)))
EDGES = MeasureEdges(np.linspace(-1, 1, 201), np.linspace(0, 1, 201))


def main() -> None:
    """Measures both networks and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=64)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    device = resolve_device(options.device)
    print(f"{device}, torch {torch.__version__}, {torch.get_num_threads()} threads, n0 = 100, n = {options.n}")
    print(f"{'model':<10} {'inputs/s with noise':>24} {'inputs/s clean':>24} {'ratio':>8}")
    for name, shape in CASES:
        noisy, clean = measure(name, shape, device, options)
        ratio = statistics.median(clean) / statistics.median(noisy)
        print(f"{name:<10} {text(noisy):>24} {text(clean):>24} {ratio:>8.0f}")


def measure(
    name: str, shape: tuple[int, int, int], device: torch.device, options: argparse.Namespace
) -> tuple[list[float], list[float]]:
    """Returns inputs per second of every repeat, with noise and clean."""
    torch.manual_seed(0)
    model = build(name, shape=shape, num_classes=10).eval()
    images = torch.randint(0, 256, (options.inputs, *shape), dtype=torch.uint8)
    engine = Engine(model, shape=shape, num_classes=10, sigma=0.25, seed=0, device=device)
    forward = Forward(model, shape, device, "fp32", compiled=False)
    edges = dict.fromkeys(MEASURES, EDGES)
    noisy, clean = [], []
    for repeat in range(options.repeats + 1):
        inputs = options.inputs if repeat else 1  # the first warms up
        started = time.perf_counter()
        for _ in engine.sample(images[:inputs], np.arange(inputs), edges, n0=100, n=options.n):
            pass
        noisy.append(inputs / (time.perf_counter() - started))
        many = images.repeat(max(1, 2048 // options.inputs), 1, 1, 1)
        clean.append(len(many) / clean_pass(forward, many, batch_size=engine.batch_size).seconds)
    return noisy[1:], clean[1:]


def text(rates: list[float]) -> str:
    """Returns the median and the range."""
    return f"{statistics.median(rates):,.1f} [{min(rates):,.1f}, {max(rates):,.1f}]"


if __name__ == "__main__":
    main()
