"""How much memory sampling takes beyond the model and one batch of activations, and that it does not grow with n.

    python benchmarks/memory.py [--models cnn,resnet20] [--device cpu]

The most that torch's allocator has handed out at one time: counted, so that it is the same in every run. "bare" is the
prepared model, beside the one it was made from, and one forward pass of a full batch of noise. Needs torch, numpy and
scipy only.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from functools import partial

import torch
from torch.profiler import ProfilerActivity, profile

from rsuq_cli.models.zoo import build
from rsuq_cli.sampling.device import inference, resolve_device
from rsuq_cli.sampling.engine import Engine, automatic_batch_size
from rsuq_cli.sampling.forward import Forward
from rsuq_cli.uncertainty.thresholds import calibrated_edges

SHAPES = {"mlp": (1, 8, 8), "cnn": (1, 8, 8), "resnet50": (3, 224, 224)}
CLASSES = 10
BATCHES = (2, 10)


def peak(run: Callable[[], object], device: torch.device) -> float:
    """Returns the most MiB of tensors at one time while it ran, beyond those from before."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    results = profiled.profiler.kineto_results
    changes = [event for event in results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most / 2**20


def bare(name: str, device: torch.device) -> None:
    """Prepares a model and runs one batch."""
    shape = SHAPES.get(name, (3, 32, 32))
    model = build(name, shape=shape, num_classes=CLASSES).eval()
    forward = Forward(model, shape, device, "fp32", compiled=False)
    with inference(device, "fp32"):
        forward.logits(torch.randn(automatic_batch_size(shape, device), *shape, device=device))


def sampling(name: str, device: torch.device, batches: int) -> None:
    """Prepares a model and samples an input for so many batches, with all evidence."""
    shape = SHAPES.get(name, (3, 32, 32))
    model = build(name, shape=shape, num_classes=CLASSES).eval()
    engine = Engine(model, shape=shape, num_classes=CLASSES, sigma=0.25, seed=0, device=device)
    image, edges = torch.zeros(1, *shape, dtype=torch.uint8), calibrated_edges({}, thresholds={}, coverages=())
    for _ in engine.sample(image, [0], edges, n0=0, n=batches * engine.batch_size):
        pass


def main() -> None:
    """Prints a line for every model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="mlp,cnn,resnet20,resnet110,resnet50")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = resolve_device(args.device)
    torch.zeros(1, device=device)  # what counts memory has to be there before it is asked
    print(f"{device}, torch {torch.__version__}; MiB at one time")
    for name in args.models.split(","):
        least = peak(partial(bare, name, device), device)
        line = f"{name}: bare {least:,.1f}"
        for batches in BATCHES:
            most = peak(partial(sampling, name, device, batches), device)
            line += f"   {batches} batches {most:,.1f} ({most / least - 1:+.1%})"
        print(line)


if __name__ == "__main__":
    main()
