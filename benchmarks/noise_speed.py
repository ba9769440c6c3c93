"""What exact noise costs: sampling with grid noise against Gaussian noise, by the same engine in one process.

    python benchmarks/noise_speed.py [--model resnet20] [--size 32] [--n 2000] [--repeats 5] [--device cpu]

The two alternate; the ratio is of the medians over the repeats, with their range.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time

import torch

from rsuq_cli.models.zoo import build
from rsuq_cli.sampling.counter_noise import gaussian_noise
from rsuq_cli.sampling.device import resolve_device
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.grid_noise import GridNoise, rounded_gaussian
from rsuq_cli.sampling.noise import Copies, Perturbation, Stream
from rsuq_cli.uncertainty.thresholds import calibrated_edges

SIGMA = 0.25


def main() -> None:
    """Prints seconds for a sample with either noise, their ratio, and what the noise alone costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device, shape = resolve_device(arguments.device), (3, arguments.size, arguments.size)
    torch.manual_seed(0)
    model = build(arguments.model, shape=shape, num_classes=10).eval()
    started = time.perf_counter()
    rounded_gaussian(SIGMA)
    table = time.perf_counter() - started
    noises: dict[str, Perturbation] = {
        "gaussian": gaussian_noise(seed=0, sigma=SIGMA, shape=shape, device=device),
        "grid": GridNoise(SIGMA, 0, shape, device),
    }
    engines = {
        name: Engine(model, shape=shape, num_classes=10, sigma=SIGMA, seed=0, device=device, noise=noise)
        for name, noise in noises.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in noises}
    for repeat in range(arguments.repeats + 1):
        for name, engine in engines.items():
            spent = _sampling(engine, arguments.n)
            if repeat:  # the first warms up
                seconds[name].append(spent)
    print(f"{arguments.model} {arguments.size}x{arguments.size}, n = {arguments.n}, {device}, {platform.processor()}")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; table of probabilities: {table:.2f} s, once")
    for name, times in seconds.items():
        low, middle, high = (1e6 * value / arguments.n for value in (min(times), statistics.median(times), max(times)))
        alone = 1e6 * _alone(noises[name], shape, device)
        print(f"{name:9} {middle:9.1f} us a sample [{low:.1f}, {high:.1f}], noise alone {alone:.1f} us")
    print(f"grid / gaussian: {statistics.median(seconds['grid']) / statistics.median(seconds['gaussian']):.3f}")


def _sampling(engine: Engine, n: int) -> float:
    image = torch.randint(0, 256, (1, *engine.shape), dtype=torch.uint8)
    edges = calibrated_edges({}, thresholds={"energy": (0.0,), "max_logit": (0.0,), "gen": (1.0,)}, coverages=())
    started = time.perf_counter()
    for _ in engine.sample(image, [0], edges, n0=100, n=n - 100):
        pass
    return time.perf_counter() - started


def _alone(noise: Perturbation, shape: tuple[int, int, int], device: torch.device, rows: int = 1000) -> float:
    out = torch.empty((rows, *shape), device=device)
    image = torch.zeros((1, *shape), dtype=torch.uint8, device=device)
    noise.write(out, image, [Copies(Stream.ESTIMATION, 0, 0, rows)])
    started = time.perf_counter()
    noise.write(out, image, [Copies(Stream.ESTIMATION, 1, 0, rows)])
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / rows


if __name__ == "__main__":
    main()
