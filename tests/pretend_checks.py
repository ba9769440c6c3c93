"""What is asked of the package on the pretend GPU: `python tests/pretend_checks.py [--slow] [WORD]`.

Every check returns "" or what is wrong, and the last line counts those that fail. For a process of its own.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from pretend import Pretend
from pretend_tensor import CPU, CUDA
from torch import nn

from rsuq_cli.api.tensors import certify
from rsuq_cli.auditing.attack import Attacker, Ball
from rsuq_cli.auditing.statement import Statement
from rsuq_cli.models.zoo import build
from rsuq_cli.sampling import forward, workers
from rsuq_cli.sampling.clean import clean_pass
from rsuq_cli.sampling.counter_noise import CounterNoise
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.grid_noise import GridNoise
from rsuq_cli.sampling.philox import PHILOX
from rsuq_cli.uncertainty.predictor import Predictor
from rsuq_cli.uncertainty.rejecter import Rejecter
from rsuq_cli.uncertainty.thresholds import calibrated_edges

Shape = tuple[int, int, int]
DIGITS: Shape = (1, 8, 8)
THUMBNAILS: Shape = (3, 8, 8)
EDGES = calibrated_edges({}, thresholds={"entropy": (0.5, 1.0), "margin": (0.1,)}, coverages=())
CHECKS: list[Callable[[], str]] = []


def check(function: Callable[[], str]) -> Callable[[], str]:
    """Has a function among the checks."""
    CHECKS.append(function)
    return function


def network(name: str = "cnn", shape: Shape = DIGITS) -> nn.Module:
    torch.manual_seed(1)
    return build(name, shape=shape, num_classes=10).eval().requires_grad_(False)


def pictures(count: int = 9, shape: Shape = DIGITS) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(5).integers(0, 256, (count, *shape), dtype=np.uint8))


def engine(model: nn.Module, shape: Shape = DIGITS, device: torch.device = CUDA, **more: Any) -> Engine:
    more = {"batch_size": 256} | more
    return Engine(model, shape=shape, num_classes=10, sigma=0.25, seed=0, device=device, **more)


def refused(action: Callable[[], object], word: str) -> str:
    """Returns "" where an action raises an error with a word, and else what it did."""
    try:
        action()
    except (RuntimeError, TypeError) as error:
        return "" if word in str(error) else f"{word!r} is not in {error}"
    return f"nothing was said of {word!r}"


@check
def the_device_refuses_what_a_device_refuses() -> str:
    with Pretend(float64=False):
        there = torch.ones(3, device=CUDA)
        index = torch.zeros(1, dtype=torch.int64)
        attempts = [
            (lambda: there + torch.ones(3), "at least two devices"),
            (lambda: there.index_add_(0, index, torch.ones(1, device=CUDA)), "at least two devices"),
            (lambda: torch.rand(3, device=CUDA, generator=torch.Generator()), "generator device"),
            (lambda: torch.rand(3, generator=torch.Generator(device="cuda")), ""),
            (lambda: there.double(), "no float64"),
            (lambda: torch.zeros(3, dtype=torch.float64, device=CUDA), "no float64"),
            (lambda: torch.zeros(3, dtype=torch.float64).to(CUDA), "no float64"),
            (lambda: there.numpy(), "convert"),
        ]
        wrong = [refused(action, word) for action, word in attempts if word]
        values = (there * torch.tensor(2.0)).cpu()  # a number on the host goes with any device
    return "; ".join(filter(None, [*wrong, "" if values.tolist() == [2.0] * 3 else f"{values}"]))


@check
def the_device_notes_what_waits_and_nothing_else() -> str:
    with Pretend() as gpu:
        there = torch.arange(4.0, device=CUDA)
        mask, host = there > 1, torch.ones(4)
        waiting: list[Callable[[], object]] = [
            lambda: there[0].item(), lambda: bool(mask.any()), lambda: there[mask], lambda: there.nonzero(),
            lambda: there.tolist(), lambda: there.cpu(), lambda: host.to(CUDA), lambda: there[[0, 2]],
            lambda: there[torch.tensor([0, 2])], torch.cuda.synchronize, lambda: host.to(CUDA, non_blocking=True),
            lambda: torch.empty(4).copy_(there, non_blocking=True),
        ]  # fmt: skip
        pinned = torch.empty(4, pin_memory=True)
        free: list[Callable[[], object]] = [
            lambda: host.pin_memory().to(CUDA, non_blocking=True), lambda: there.exp().sum(), lambda: there[1:3],
            lambda: pinned.copy_(there, non_blocking=True), lambda: there.where(mask, 0.0),
            lambda: there[torch.arange(2, device=CUDA)],
        ]  # fmt: skip
        found = []
        for action in (*waiting, *free):
            gpu.record.clear()
            action()
            found.append(bool(gpu.record.waits()))
    return "" if found == [True] * len(waiting) + [False] * len(free) else f"{found}"


def evidence(run: Engine) -> dict[int, Any]:
    found = [one for part in run.sample(pictures(), range(9), EDGES, n0=30, n=250) for one in part]
    return {
        one.position: (
            {name: [np.asarray(part).tolist() for part in histogram] for name, histogram in one.histograms.items()},
            one.sums.measures, one.sums.probabilities.tolist(),
        )
        for one in found
    }  # fmt: skip


@check
def evidence_is_that_of_the_cpu_on_the_same_noise() -> str:
    here = evidence(engine(network(), device=CPU, noise=CounterNoise(seed=0, sigma=0.25, shape=DIGITS, device=CPU)))
    on_grid = evidence(engine(network(), device=CPU, noise=GridNoise(0.25, 0, DIGITS, CPU, PHILOX)))
    with Pretend() as gpu:
        there = evidence(engine(network()))
        grid_there = evidence(engine(network(), noise=GridNoise(0.25, 0, DIGITS, CUDA)))
        drawn = {one.what for one in gpu.record.log if one.kind == "launch"} & {
            "normal_",
            "random_",
            "uniform_",
            "randn",
        }
    wrong = ["" if here == there else "Gaussian noise differs", "" if on_grid == grid_there else "grid noise differs"]
    # torch's own numbers depend on how many processors a card has.
    return "; ".join(filter(None, [*wrong, f"{drawn} are the card's" if drawn else ""]))


@check
def a_fitted_rejecter_scores_on_the_device_without_waiting() -> str:
    asked: dict[str, Any] = {
        "predictor": Predictor(rejecter="ab" * 32),
        "rejecter": Rejecter.of([0.1] * (3 * 10 + 10), 0.5),
    }
    edges = calibrated_edges({}, measures=["rejecter"], thresholds={"rejecter": (0.4, 0.6)}, coverages=())
    noise = CounterNoise(seed=0, sigma=0.25, shape=DIGITS, device=CPU)
    found = []
    for made in (partial(engine, device=CPU, noise=noise), engine):
        with Pretend() as gpu:
            steps = made(network(), batch_size=1024, **asked).sample(pictures(), range(9), edges, n0=0, n=1000)
            first = [next(steps), next(steps)]
            gpu.record.clear()
            first += [next(steps), next(steps)]
            waits = gpu.record.waits()
            counted = [one for part in (*first, *steps) for one in part]
            found.append({one.position: one.histograms["rejecter"].estimation.tolist() for one in counted})
    return "; ".join(filter(None, [", ".join(waits), "" if found[0] == found[1] else "other counts than on the CPU"]))


@check
def images_may_be_on_the_device_already() -> str:
    with Pretend():
        for images in (pictures(), pictures().to(CUDA)):
            certify(network(), images, list(range(9)), sigma=0.25, threshold=0.5, n=100, device="cuda", batch_size=256)
    return ""


@check
def nothing_waits_while_an_input_is_sampled() -> str:
    with Pretend() as gpu:
        steps = engine(network()).sample(pictures(), range(9), EDGES, n0=0, n=10_000)
        next(steps), next(steps)
        gpu.record.clear()
        next(steps), next(steps)
        return ", ".join(gpu.record.waits())


@check
def a_report_waits_for_its_own_batch_only() -> str:
    """On one stream a copy waits for all that was launched before it: it has to be launched before the next batch."""
    with Pretend() as gpu:
        steps = engine(network()).sample(pictures(40), range(40), EDGES, n0=28, n=100)
        wrong: list[object] = []
        next(steps), next(steps)
        for _ in range(3):
            before = len(gpu.record.log)
            found = next(steps)
            assert len(found) == 2, "every step reports the inputs of the one before"
            kept = [torch.from_numpy(one.histograms["entropy"].estimation) for one in found]
            wrong += ["evidence lies in pinned memory"] * sum(map(gpu.in_pinned, kept))
            now = gpu.record.log[before:]
            wrong += [one for one in now if one.kind == "wait" or (one.kind == "event" and one.behind > before)]
            assert [one.kind for one in now].count("event") == 1
        return f"{wrong}" if wrong else ""


@check
def noise_takes_as_many_launches_for_many_inputs_as_for_one() -> str:
    found = []
    for inputs, n in ((1, 250), (50, 5)):
        with Pretend() as gpu:
            run = engine(network("mlp"))
            gpu.record.clear()
            for _ in run.sample(pictures(inputs), range(inputs), EDGES, n0=0, n=n):
                pass
            found.append(sum(map(gpu.record.launches, ("philox.py", "_noise.py", "dataset.py"))))
    return "" if found[0] == found[1] <= 100 else f"{found} launches"


@check
def weights_are_not_cast_for_every_batch() -> str:
    found = []
    for precision in ("fp32", "bf16"):
        with Pretend() as gpu:
            run = engine(network("resnet20", THUMBNAILS), shape=THUMBNAILS, batch_size=32, precision=precision)
            steps = run.sample(pictures(1, THUMBNAILS), range(1), EDGES, n0=0, n=96)
            next(steps), next(steps)
            gpu.record.clear()
            next(steps)
            found.append(gpu.record.launches())
    return "" if found[1] - found[0] <= 8 else f"{found} launches a batch"


class Full(nn.Module):
    """A network whose device is full from so many rows on."""

    def __init__(self, most: int, error: Exception) -> None:
        super().__init__()
        self.layer, self.most, self.error = nn.Linear(64, 10), most, error

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > self.most:
            raise self.error
        answers: torch.Tensor = self.layer(images.flatten(1))
        return answers


@check
def a_full_memory_is_survived_everywhere() -> str:
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def sample(error: Exception = full, **more: Any) -> None:
        run = engine(Full(64, error).eval(), **more)
        assert sum(map(len, run.sample(pictures(), range(9), EDGES, n0=28, n=100))) == 9

    def attack() -> None:
        model = Full(64, full).eval().to(CUDA)
        attacker = Attacker(model, sigma=0.25, measure="entropy", threshold=0.5, device=CUDA)
        for kind in ("random", "pgd"):
            attacker.worst(Ball(pictures()[0], Statement("cc", "majority", 1), 0.1), kind, 1, 0)

    def clean() -> None:
        asked = forward.Forward(Full(64, full).eval(), DIGITS, CUDA, "fp32", compiled=False)
        assert len(clean_pass(asked, pictures(100), batch_size=256).classes) == 100

    attempts: dict[str, Callable[[], None]] = {
        "sampling": sample, "warm-up of a compiled model": lambda: sample(compiled=True), "clean pass": clean,
        "attack": attack,
        "sampling, said by cuDNN": lambda: sample(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")),
        "warm-up, said by cuDNN": lambda: sample(RuntimeError("unable to find an engine to execute"), compiled=True),
    }  # fmt: skip
    wrong = []
    with Pretend(), mock.patch.object(forward, "constant", lambda module, device: module):
        for name, attempt in attempts.items():
            try:
                attempt()
            except Exception as error:
                wrong.append(f"{name}: {type(error).__name__} {error}")
    return "; ".join(wrong)


@check
def a_worker_makes_its_device_the_current_one() -> str:
    class Gone:
        def send(self, report: object) -> None:
            raise BrokenPipeError

    with Pretend(count=2) as gpu:
        start = workers._Start(lambda device: engine(network("mlp"), device=torch.device(device)), "cuda:1", 1)
        workers._work(start, Gone())  # type: ignore[arg-type]
    return "" if gpu.current[:1] == [1] else f"{gpu.current}"


def main() -> int:
    """Runs the checks, prints a line for each, and returns how many fail."""
    words = [word for word in sys.argv[1:] if word != "--slow"]
    if "--slow" in sys.argv:
        import pretend_commands

        CHECKS[:] = pretend_commands.CHECKS
    failed = 0
    for one in CHECKS:
        if not all(word in one.__name__ for word in words):
            continue
        started = time.perf_counter()
        try:
            wrong = one()
        except Exception:
            wrong = traceback.format_exc(limit=-4)
        failed += bool(wrong)
        print(f"{'FAIL' if wrong else 'ok'} {one.__name__} ({time.perf_counter() - started:.1f} s) {wrong}", flush=True)
    print(f"{failed} fail")
    return failed


if __name__ == "__main__":
    sys.exit(main())
