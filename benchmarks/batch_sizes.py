"""How the forward pass depends on the batch size, and how near the engine's own choice is to the best.

    python benchmarks/batch_sizes.py [--models cnn,resnet20,resnet110,resnet50] [--device cpu] [--repeats 5]

Every size in one process, in turn; samples per second, medians, as shares of the best. Needs torch, numpy and scipy.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from rsuq_cli.models.zoo import build
from rsuq_cli.sampling.device import inference, resolve_device
from rsuq_cli.sampling.engine import Engine, automatic_batch_size

SHAPES = {"mlp": (1, 8, 8), "cnn": (1, 8, 8), "resnet50": (3, 224, 224)}
FACTORS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4)


def sizes_around(chosen: int) -> list[int]:
    """Returns multiples of 32 from a sixteenth to four times the size."""
    return sorted({max(32, int(chosen * factor) // 32 * 32) for factor in FACTORS})


def rates(engines: dict[int, Engine], repeats: int) -> dict[int, float]:
    """Returns the median samples per second of the bare forward pass of every batch size."""
    measured: dict[int, list[float]] = {size: [] for size in engines}
    rows = max(engines)
    for repeat in range(repeats + 1):
        for size, engine in engines.items():
            passes = -(-rows // size)
            with inference(engine.device, engine.precision):
                started = time.perf_counter()
                for _ in range(passes):
                    engine.forward_fixed()
                if engine.device.type == "cuda":
                    torch.cuda.synchronize()
            if repeat:  # the first round warms up
                measured[size].append(passes * size / (time.perf_counter() - started))
    return {size: statistics.median(values) for size, values in measured.items()}


def main() -> None:
    """Prints a line for every model and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="mlp,cnn,resnet20,resnet110,resnet50")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    device = resolve_device(args.device)
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, {args.repeats} repeats")
    for name in args.models.split(","):
        shape = SHAPES.get(name, (3, 32, 32))
        chosen = automatic_batch_size(shape, device)
        engines = {
            size: Engine(
                build(name, shape=shape, num_classes=10).eval(), shape=shape, num_classes=10, sigma=0.25, seed=0,
                device=device, precision=args.precision, batch_size=size,
            )
            for size in sizes_around(chosen)
        }  # fmt: skip
        found = rates(engines, args.repeats)
        best = max(found.values())
        shown = "   ".join(f"{size}{'*' if size == chosen else ''} {rate / best:.2f}" for size, rate in found.items())
        print(f"{name} {shape[1]}x{shape[2]}, best {best:,.0f}/s: {shown}")


if __name__ == "__main__":
    main()
