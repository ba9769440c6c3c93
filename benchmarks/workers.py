"""Two worker processes against one process with two threads, and workers up to the number of cores.

    python benchmarks/workers.py [--models cnn,resnet20] [--workers 2] [--repeats 5]

Both sample the same inputs with all evidence, in turn; workers are started before. Samples per second, median (range).
Needs torch, numpy and scipy only.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial

import torch

from rsuq_cli.models.zoo import build
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.workers import Crew, Sampler, Solo
from rsuq_cli.uncertainty.thresholds import calibrated_edges

SHAPES = {"mlp": (1, 8, 8), "cnn": (1, 8, 8)}
# Inputs and samples of each, some seconds of two cores.
WORK = {"mlp": (400, 1000), "cnn": (400, 1000)}


def engine_of(name: str, device: str) -> Engine:
    """Returns the engine of one process."""
    torch.manual_seed(0)
    shape = SHAPES.get(name, (3, 32, 32))
    model = build(name, shape=shape, num_classes=10).eval()
    return Engine(model, shape=shape, num_classes=10, sigma=0.25, seed=0, device=torch.device(device))


def rate(sampler: Sampler, name: str) -> float:
    """Returns samples per second over all the work."""
    inputs, n = WORK.get(name, (16, 500))
    images = torch.randint(0, 256, (inputs, *SHAPES.get(name, (3, 32, 32))), dtype=torch.uint8)
    edges = calibrated_edges({}, thresholds={}, coverages=())
    started = time.perf_counter()
    finished = sum(len(done) for done in sampler.sample(images, range(inputs), edges, n0=0, n=n))
    assert finished == inputs
    return inputs * n / (time.perf_counter() - started)


def main() -> None:
    """Prints a line for every model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="cnn,resnet20")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    print(f"{torch.get_num_threads()} threads or {args.workers} workers, torch {torch.__version__}")
    for name in args.models.split(","):
        alone = Solo(engine_of(name, "cpu"))
        make = partial(engine_of, name)
        with Crew(make, ["cpu"] * args.workers, alone.engine.batch_size) as crew:
            rates: dict[str, list[float]] = {"threads": [], "workers": []}
            for repeat in range(args.repeats + 1):
                for kind, sampler in (("threads", alone), ("workers", crew)):
                    measured = rate(sampler, name)
                    if repeat:  # in the first round the workers start
                        rates[kind].append(measured)
        shown = ", ".join(f"{k} {statistics.median(v):,.0f} ({min(v):,.0f} to {max(v):,.0f})" for k, v in rates.items())
        ratio = statistics.median(w / t for w, t in zip(rates["workers"], rates["threads"], strict=True))
        print(f"{name}: {shown}; workers / threads {ratio:.2f}")


if __name__ == "__main__":
    main()
