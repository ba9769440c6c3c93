"""How many votes move where the noise is rounded otherwise: what another kind of device can change in evidence.

    python benchmarks/rounding_votes.py [--models cnn,resnet20] [--inputs 100] [--n 1000] [--device cpu]

Noise of a counter has the same random bits on every device; logarithm, cosine and sine may be rounded otherwise. Here
each sample is made twice of the same bits, with these in float32 as the engine has them, and in float64, rounded at the
end; the same network is asked about both, in the same batches. Where two devices are each as near to float64 as this
one, they differ in at most about twice as many votes as are printed. `cnn` is trained on the digits first; the others
have random weights, whose votes are nearer to ties.
"""

from __future__ import annotations

import argparse
import math
import platform

import torch
from torch import nn

from rsuq_cli.datasets.digits import Digits
from rsuq_cli.models.zoo import build
from rsuq_cli.sampling.counter_noise import draw
from rsuq_cli.sampling.device import inference, resolve_device
from rsuq_cli.sampling.noise import Copies, Stream
from rsuq_cli.sampling.philox import rows_of, words
from rsuq_cli.training.loop import train
from rsuq_cli.training.settings import TrainSettings

SIGMA = 0.25
ROWS = 1000


def draw_in_float64(out: torch.Tensor, counters: torch.Tensor) -> None:
    """Writes what `draw` writes: all that is rounded alike everywhere in float32, and the rest in float64."""
    groups = -(-out.shape[1] // 4)
    random = words(0, counters, groups)
    parts = []
    for first, second in (random[:2], random[2:]):
        share = (first.float() + 0.5) * 2.0**-32
        radius = torch.sqrt(-2 * torch.log(share.double()))
        angle = (second.float() * (2 * math.pi * 2.0**-32)).double()
        parts += [radius * torch.cos(angle), radius * torch.sin(angle)]
    out.copy_(torch.cat(parts, dim=1)[:, : out.shape[1]])


def network(name: str, device: torch.device) -> tuple[nn.Module, tuple[int, int, int], torch.Tensor]:
    """Returns a network on the device, the shape of its images, and images as floats."""
    torch.manual_seed(0)
    if name != "cnn":
        shape = (3, 32, 32)
        return build(name, shape=shape, num_classes=10).to(device).eval(), shape, torch.rand(100, *shape)
    dataset = Digits()
    model = build(name, shape=dataset.shape, num_classes=10)
    train(model, dataset, TrainSettings(sigma=SIGMA, epochs=10), device=device)
    return model.eval(), dataset.shape, dataset.load("test").images.float() / 255


def main() -> None:
    """Prints a line for every network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="cnn,resnet20")
    parser.add_argument("--inputs", type=int, default=100)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    device = resolve_device(args.device)
    print(f"{platform.processor() or platform.machine()}, {device}, torch {torch.__version__}, sigma {SIGMA}")
    for name in args.models.split(","):
        model, shape, images = network(name, device)
        moved, farthest, total = 0, 0.0, 0
        for index, image in enumerate(images[: args.inputs].to(device)):
            for start in range(0, args.n, ROWS):
                size = min(ROWS, args.n - start)
                rows = rows_of([Copies(Stream.ESTIMATION, index, start, size)])
                counters = torch.from_numpy(rows.counters).to(device)
                single = torch.empty((size, math.prod(shape)), device=device)
                double = torch.empty_like(single)
                draw(single, 0, counters)
                draw_in_float64(double, counters)
                farthest = max(farthest, float((single - double).abs().max()))
                with inference(device, "fp32"):
                    votes = [model(image + SIGMA * part.view(size, *shape)).argmax(1) for part in (single, double)]
                moved += int((votes[0] != votes[1]).sum())
                total += size
        print(f"{name}: {moved} of {total:,} votes differ; a standard normal value by at most {farthest:.1e}")


if __name__ == "__main__":
    main()
