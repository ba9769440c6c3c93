"""How fast the sampling engine is: against the textbook loop, and against the bare forward pass.

    python benchmarks/throughput.py [--models cnn,resnet20] [--device cpu] [--repeats 5] [--json FILE]

All variants alternate within one run, one at a time, and are compared by ratio; the table has medians over the repeats
with their range. Needs torch, numpy and scipy only.

(a) textbook: one input at a time, x.repeat, randn_like, eager float32 (tf32 where that is the engine's), argmax, counts
    on the host after every batch
(b) textbook with entropy and softmax scored on the host, as uncertainty-aware peers do
(c) our engine with plain votes
(d) our engine with every one-pass measure counted into class by bin evidence
(e) the bare forward pass of the same prepared model on a fixed batch in memory: the practical limit
(m) as (a), with the engine's memory setting

On the CPU the engine tells the C library to keep freed memory, for the whole process and for good. The textbook has no
such line, so (a) and (b) run in a process of their own, which waits while the others run; (m) is (a) in the engine's.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from rsuq_cli.models.zoo import build
from rsuq_cli.sampling.device import Precision, check_precision, inference, resolve_device, tf32
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.noise import Stream
from rsuq_cli.sampling.packing import Stretch, Task, pack, samples_in
from rsuq_cli.uncertainty.thresholds import calibrated_edges

SIGMA = 0.25


@dataclass(frozen=True)
class Case:
    """A model at a shape, sampled over `inputs` inputs with `n` samples each; the textbook's batch size."""

    model: str
    shape: tuple[int, int, int]
    inputs: int
    n: int
    textbook_batch: int
    classes: int = 10

    @property
    def name(self) -> str:
        size = f"{self.model} {self.shape[1]}x{self.shape[2]}"
        return f"{size}, {self.inputs} inputs x {self.n} samples, textbook batch {self.textbook_batch}"


def cases(models: list[str], device: torch.device) -> Iterator[Case]:
    """Yields sizes that take seconds on the device; the shape of the work is that of n = 100 and n = 100,000."""
    big = device.type == "cuda"
    known = {
        "cnn": [
            Case("cnn", (1, 8, 8), 1000, 100, 100),
            Case("cnn", (1, 8, 8), 1, 100_000, 1000),
        ],
        "resnet20": [
            Case("resnet20", (3, 32, 32), 1000 if big else 20, 100, 100),
            Case("resnet20", (3, 32, 32), 1, 100_000 if big else 2000, 1000),
            Case("resnet20", (3, 32, 32), 1, 100_000 if big else 2000, 128),
        ],
        "resnet110": [Case("resnet110", (3, 32, 32), 1, 100_000 if big else 500, 500)],
        "resnet50": [Case("resnet50", (3, 224, 224), 1, 10_000 if big else 64, 64, classes=1000)],
    }
    for model in models:
        yield from known[model]


def textbook(case: Case, model: nn.Module, images: torch.Tensor, device: torch.device, *, scored: bool) -> None:
    """(a), and (b) where it is scored."""
    with torch.no_grad():
        for image in images:
            x = image.to(device).float() / 255
            counts = np.zeros(case.classes, dtype=int)
            uncertain = np.zeros(case.classes, dtype=int)
            remaining = case.n
            while remaining > 0:
                size = min(case.textbook_batch, remaining)
                remaining -= size
                batch = x.repeat((size, 1, 1, 1))
                logits = model(batch + torch.randn_like(batch) * SIGMA)
                if not scored:
                    for label in logits.argmax(1).cpu().numpy():
                        counts[label] += 1
                    continue
                p = torch.softmax(logits, dim=1).cpu().numpy()
                entropy = -(p * np.log(np.maximum(p, 1e-12))).sum(axis=1)
                for label, high in zip(p.argmax(axis=1), entropy > 0.5, strict=True):
                    (uncertain if high else counts)[label] += 1


def model_and_images(case: Case, device: torch.device) -> tuple[nn.Module, torch.Tensor]:
    """Returns the same in every process."""
    torch.manual_seed(0)
    model = build(case.model, shape=case.shape, num_classes=case.classes).to(device).eval()
    return model, (torch.rand(case.inputs, *case.shape) * 255).byte()


def textbook_process(case: Case, device: torch.device, precision: Precision, orders: Connection) -> None:
    """Runs (a) for False and (b) for True, and answers with the seconds; ends for None."""
    model, images = model_and_images(case, device)
    with tf32(allowed=precision == "tf32"):
        while (scored := orders.recv()) is not None:
            started = time.perf_counter()
            textbook(case, model, images, device, scored=scored)
            orders.send(time.perf_counter() - started)


class Bench:
    """The variants of one case."""

    def __init__(self, case: Case, device: torch.device, args: argparse.Namespace) -> None:
        self.case, self.device = case, device
        context = multiprocessing.get_context("spawn")
        self.orders, theirs = context.Pipe()
        context.Process(target=textbook_process, args=(case, device, args.precision, theirs), daemon=True).start()
        self.plain, self.images = model_and_images(case, device)
        self.engine = Engine(
            self.plain, shape=case.shape, num_classes=case.classes, sigma=SIGMA, seed=0, device=device,
            precision=args.precision, batch_size=args.batch_size, compiled=args.compile,
        )  # fmt: skip
        values = self.engine.uncertainties(self.images[:4], range(4), draws=100)
        self.edges = calibrated_edges(values, thresholds={}, coverages=[0.9])

    def votes(self) -> None:
        """(c)."""
        engine, case = self.engine, self.case
        counts = torch.zeros(case.inputs, case.classes, dtype=torch.int64, device=self.device)
        images, indices = self.images, range(case.inputs)
        tasks = (Task(p, (Stretch(Stream.ESTIMATION, 0, case.n),)) for p in range(case.inputs))
        for batch in pack(tasks, engine.batch_size):
            with inference(self.device, engine.precision):
                classes = engine.logits(images, indices, batch).argmax(1)[: samples_in(batch)]
            rows = np.repeat([piece.position for piece in batch], [piece.size for piece in batch])
            flat = torch.from_numpy(rows).to(self.device) * case.classes + classes
            counts.view(-1).scatter_add_(0, flat, torch.ones_like(flat))
        counts.cpu()

    def evidence(self) -> None:
        """(d)."""
        tasks = (Task(p, (Stretch(Stream.ESTIMATION, 0, self.case.n),)) for p in range(self.case.inputs))
        for _ in self.engine.count(self.images, range(self.case.inputs), self.edges, tasks):
            pass

    def bare(self) -> None:
        """(e)."""
        rows, total = self.engine.batch_size, self.case.inputs * self.case.n
        with inference(self.device, self.engine.precision):
            for _ in range(-(-total // rows)):
                self.engine.forward_fixed()
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def timed(self, repeats: int) -> dict[str, list[float]]:
        """Returns samples per second of every variant, measured in turn."""
        variants: dict[str, Callable[[], float]] = {
            "a": lambda: self.ordered(scored=False),
            "b": lambda: self.ordered(scored=True),
            "c": lambda: seconds_of(self.votes),
            "d": lambda: seconds_of(self.evidence),
            "e": lambda: seconds_of(self.bare),
            "m": lambda: seconds_of(self.textbook_here),
        }
        total = self.case.inputs * self.case.n
        # (e) runs whole batches only: it is counted by the rows that it really passes.
        rows = self.engine.batch_size
        samples = dict.fromkeys(variants, total) | {"e": -(-total // rows) * rows}
        rates: dict[str, list[float]] = {name: [] for name in variants}
        for repeat in range(repeats + 1):
            for name, run in variants.items():
                seconds = run()
                if repeat:  # the first round warms up
                    rates[name].append(samples[name] / seconds)
        self.orders.send(None)
        return rates

    def textbook_here(self) -> None:
        """(m)."""
        with tf32(allowed=self.engine.precision == "tf32"):
            textbook(self.case, self.plain, self.images, self.device, scored=False)

    def ordered(self, *, scored: bool) -> float:
        """Returns the seconds that (a) or (b) took in its own process."""
        self.orders.send(scored)
        seconds: float = self.orders.recv()
        return seconds

    def roofline(self) -> dict[str, float]:
        """Returns counted work of a sample, the chip's measured rates, and the samples per second that they allow.

        Work is that of convolutions and linear layers, all else being fused with them at best, and bytes are what they
        read and write in the engine's precision; the rate is that of a matrix product in it.
        """
        rows = self.engine.batch_size
        fixed = torch.rand(rows, *self.case.shape, device=self.device)
        precision = self.engine.precision
        size = 2 if precision == "bf16" else 4
        moved = 0

        def count(_: nn.Module, inputs: object, output: object) -> None:
            nonlocal moved
            tensors = [t for t in (*inputs, output) if isinstance(t, torch.Tensor)]  # type: ignore[misc]
            moved += sum(t.numel() * size for t in tensors)

        leaves = [m for m in self.plain.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        hooks = [leaf.register_forward_hook(count) for leaf in leaves]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            self.plain(fixed)
        for hook in hooks:
            hook.remove()
        flops, moved_bytes = counter.get_total_flops() / rows, moved / rows
        matrix, copy = matrix_rate(self.device, precision), copy_rate(self.device)
        return {
            "flops": flops,
            "bytes": moved_bytes,
            "matrix_flops_per_second": matrix,
            "copy_bytes_per_second": copy,
            "samples_per_second_by_flops": matrix / flops,
            "samples_per_second_by_bytes": copy / moved_bytes,
        }


def seconds_of(run: Callable[[], None]) -> float:
    """Returns how long it took."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _rate(work: float, run: Callable[[], object], device: torch.device) -> float:
    times = []
    for _ in range(6):
        if device.type == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return work / statistics.median(times[1:])


def matrix_rate(device: torch.device, precision: Precision) -> float:
    """Returns floating-point operations per second of a large matrix product in a precision."""
    size = 8192 if device.type == "cuda" else 1536
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    with tf32(allowed=precision == "tf32"):
        return _rate(2.0 * size**3, lambda: a @ b, device)


def copy_rate(device: torch.device) -> float:
    """Returns bytes per second of a large copy, bytes read plus bytes written."""
    a = torch.randn(2**28 if device.type == "cuda" else 2**25, device=device)
    b = torch.empty_like(a)
    return _rate(2.0 * a.numel() * 4, lambda: b.copy_(a), device)


def spread(values: list[float]) -> str:
    """Returns the median with its range."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def ratio(rates: dict[str, list[float]], over: str, under: str) -> float:
    """Returns the median of the ratios of neighbouring measurements, which drift together."""
    return statistics.median(x / y for x, y in zip(rates[over], rates[under], strict=True))


def main() -> None:
    """Runs the cases asked for and prints a table, and JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="cnn,resnet20")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json")
    args = parser.parse_args()
    device = resolve_device(args.device)
    args.precision = check_precision(args.precision, device)
    machine = f"{platform.processor() or platform.machine()}, {device}, {torch.get_num_threads()} threads"
    print(f"{machine}, torch {torch.__version__}, {args.precision}, {args.repeats} repeats")
    print("samples per second, median (range)")
    results = []
    for case in cases(args.models.split(","), device):
        bench = Bench(case, device, args)
        rates = bench.timed(args.repeats)
        ratios = {f"{x}/{y}": ratio(rates, x, y) for x, y in ("ca", "dc", "db", "de", "da", "ma")}
        print(f"\n{case.name}; engine batch {bench.engine.batch_size}, {bench.engine.preparation}")
        for name, values in rates.items():
            print(f"  ({name}) {spread(values)}")
        print("  " + "   ".join(f"({x.replace('/', ')/(')}) {value:.2f}" for x, value in ratios.items()))
        roof = bench.roofline()
        by_flops, by_bytes = roof["samples_per_second_by_flops"], roof["samples_per_second_by_bytes"]
        print(f"  roofline: {roof['flops'] / 1e6:.1f} MFLOP and {roof['bytes'] / 1e6:.2f} MB a sample", end=" ")
        print(f"allow {by_flops:,.0f} and {by_bytes:,.0f} samples per second")
        results.append({"case": asdict(case), "rates": rates, "ratios": ratios, "roofline": roof})
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(results, file, indent=2)


if __name__ == "__main__":
    main()
