"""What the host does for a batch: sampling and packing with a network that does nothing, in milliseconds a batch.

    python benchmarks/host_time.py [--device cpu] [--noise philox] [--rows 5440] [--repeats 7]

A GPU idles where this takes longer than its batch. The images have one pixel, so that on the CPU little is left but the
host's part; the kernels on so many rows are in it all the same, so it is a bound, and `--rows 64` shows what launching
them costs. One thread. Medians with their range: (a) sampling alone, (b) with the finished inputs packed as they come,
(c) with a thread beside that packs them; (p) the time of the processor for packing them alone. `PYTHONPATH=OTHER`
measures another checkout, with `--noise numpy` where that has no other.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import nn

from rsuq_cli.sampling.device import resolve_device
from rsuq_cli.sampling.engine import Counted, Engine
from rsuq_cli.sampling.finished import Finished, finished_of
from rsuq_cli.uncertainty.thresholds import calibrated_edges

SHAPE, CLASSES, SIGMA = (1, 1, 1), 10, 0.25


class Nothing(nn.Module):
    """Logits that are the pixel plus a constant for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Buffer(torch.linspace(0.0, 1.0, CLASSES))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns `[N, classes]`."""
        return images.flatten(1)[:, :1] + self.offset


def engine_for(noise: str, device: torch.device, rows: int) -> Engine:
    """Returns an engine with the noise named."""
    made = None
    if noise == "philox":
        from rsuq_cli.sampling.counter_noise import CounterNoise

        made = CounterNoise(seed=0, sigma=SIGMA, shape=SHAPE, device=device)
    return Engine(
        Nothing(), shape=SHAPE, num_classes=CLASSES, sigma=SIGMA, seed=0, device=device, batch_size=rows, noise=made
    )


def packed(counted: Sequence[Counted]) -> list[Finished]:
    """Returns the inputs as they are stored."""
    return [finished_of(one) for one in counted]


def seconds_of(steps: Iterator[list[Counted]], how: str) -> float:
    """Returns how long sampling took, with what is finished packed "not", "here" or "beside"."""
    started = time.perf_counter()
    with ThreadPoolExecutor(1) as thread:
        waiting: Future[list[Finished]] | None = None
        for counted in steps:
            if how == "here":
                packed(counted)
            elif how == "beside":
                before, waiting = waiting, thread.submit(packed, counted)
                if before:
                    before.result()
    return time.perf_counter() - started


def main() -> None:
    """Prints a line for many samples of few inputs, and one for few samples of many."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--noise", default="philox", choices=["philox", "numpy"])
    parser.add_argument("--rows", type=int, default=5440)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    device = resolve_device(args.device)
    engine = engine_for(args.noise, device, args.rows)
    print(f"{platform.processor() or platform.machine()}, {device}, torch {torch.__version__}, {args.noise} noise")
    for inputs, n0, n in ((2, 100, 100_000), (540, 100, 100)):
        images = torch.randint(0, 256, (inputs, *SHAPE), dtype=torch.uint8)
        values = engine.uncertainties(images[:4], range(len(images[:4])), draws=100)
        edges = calibrated_edges(values, thresholds={}, coverages=(0.9,))
        batches = -(-inputs * (n0 + n) // args.rows)
        found: dict[str, list[float]] = {how: [] for how in ("not", "here", "beside", "alone")}
        for repeat in range(args.repeats + 1):
            for how in ("not", "here", "beside"):
                seconds = seconds_of(engine.sample(images, range(inputs), edges, n0=n0, n=n), how)
                found[how] += [1e3 * seconds / batches] if repeat else []  # the first warms up
            steps = engine.sample(images, range(inputs), edges, n0=n0, n=n)
            counted = [one for part in steps for one in part]
            started = time.process_time()
            packed(counted)
            found["alone"] += [1e3 * (time.process_time() - started) / batches]
        said = "   ".join(f"({name}) {spread(values)}" for name, values in zip("abcp", found.values(), strict=True))
        print(f"n0 = {n0}, n = {n:,}, ms a batch of {args.rows:,}:   {said}")


def spread(values: list[float]) -> str:
    """Returns the median with its range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
