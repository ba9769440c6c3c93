"""Where the engine's time goes: noise, forward pass, scores, counting, reports, and the rest.

    python benchmarks/where_time_goes.py [--models cnn,resnet20] [--device cpu] [--n 100] [--repeats 5]

Shares of the whole, medians over the repeats. On a GPU each part is waited for, which takes the overlap away. Needs
torch, numpy and scipy only.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch

from rsuq_cli.models.zoo import build
from rsuq_cli.sampling import forward
from rsuq_cli.sampling.device import resolve_device
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.tally import Tally
from rsuq_cli.uncertainty.thresholds import calibrated_edges

SHAPES = {"mlp": (1, 8, 8), "cnn": (1, 8, 8), "resnet50": (3, 224, 224)}
# Samples of a measurement, some seconds of two cores.
SAMPLES = {"mlp": 100_000, "cnn": 100_000, "resnet50": 64, "resnet110": 700}
PARTS = [
    ("noise", Engine, "noisy"),
    ("forward pass", forward.Forward, "logits"),
    ("scores", forward, "scores"),
    ("counting", Tally, "__init__"),
    ("counting", Tally, "add"),
    ("reports", Tally, "report"),
]


class Clock:
    """Adds up the seconds of each part, once the parts are wrapped."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.device = device
        for part, owner, name in PARTS:
            setattr(owner, name, self.wrapped(part, getattr(owner, name)))

    def wrapped(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the function with its time added to the part's."""

        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            result = function(*arguments, **named)
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            self.seconds[part] += time.perf_counter() - started
            return result

        return timed


def main() -> None:
    """Prints a line for every model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="cnn,resnet20,resnet110,resnet50")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    device = resolve_device(args.device)
    clock = Clock(device)
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, n = {args.n}")
    for name in args.models.split(","):
        shape = SHAPES.get(name, (3, 32, 32))
        inputs = max(1, SAMPLES.get(name, 4000) // args.n)
        model = build(name, shape=shape, num_classes=10).eval()
        engine = Engine(
            model, shape=shape, num_classes=10, sigma=0.25, seed=0, device=device, precision=args.precision
        )  # fmt: skip
        images = torch.randint(0, 256, (inputs, *shape), dtype=torch.uint8)
        values = engine.uncertainties(images[:4], range(len(images[:4])), draws=100)
        edges = calibrated_edges(values, thresholds={}, coverages=(0.9,))
        shares: dict[str, list[float]] = defaultdict(list)
        for _ in range(args.repeats):
            clock.seconds.clear()
            started = time.perf_counter()
            for _ in engine.sample(images, range(inputs), edges, n0=0, n=args.n):
                pass
            whole = time.perf_counter() - started
            for part, seconds in (*clock.seconds.items(), ("the rest", whole - sum(clock.seconds.values()))):
                shares[part].append(seconds / whole)
        print(f"{name}: " + ", ".join(f"{part} {statistics.median(found):.1%}" for part, found in shares.items()))


if __name__ == "__main__":
    main()
