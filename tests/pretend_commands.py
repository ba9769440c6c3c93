"""Whole commands on the pretend GPU, and training: the slow part of `pretend_checks.py`."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from commandline import query, rsuq
from pretend import Pretend
from pretend_tensor import CUDA

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.models.zoo import build
from rsuq_cli.run import ready, sampler
from rsuq_cli.sampling.philox import PHILOX
from rsuq_cli.training import loop
from rsuq_cli.training.settings import TrainSettings

CHECKS: list[Callable[[], str]] = []
FEW = "--limit", 3, "--n", 100, "--no-compile"
ON = "--device", "cuda"


def check(function: Callable[[], str]) -> Callable[[], str]:
    """Has a function among the checks, in a home of its own."""

    def at_home() -> str:
        with tempfile.TemporaryDirectory() as home:
            own = {"HOME": home, "XDG_DATA_HOME": home, "XDG_CACHE_HOME": home, "RSUQ_DB": f"{home}/x.db"}
            with mock.patch.dict(os.environ, own):
                return function()

    at_home.__name__ = function.__name__
    CHECKS.append(at_home)
    return at_home


def failures(*commands: tuple[object, ...], **pretend: Any) -> str:
    """Returns what went wrong in commands on the device, one after the other."""
    wrong = []
    for command in commands:
        try:
            with Pretend(**pretend):
                result = rsuq(*command)
            said = "" if result.exit_code == 0 else result.stderr.splitlines()[-1]
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        wrong += [f"rsuq {' '.join(map(str, command))}: {said}"] if said else []
    return "; ".join(wrong)


def database() -> Path:
    return Path(os.environ["RSUQ_DB"])


@check
def every_command_runs() -> str:
    from PIL import Image

    picture = database().parent / "digit.png"
    Image.fromarray(open_dataset("digits").load("test").images[0, 0].numpy()).save(picture)
    wrong = failures(
        ("train", "--model", "cnn", "--epochs", 1, *ON), ("train", "--model", "mlp", "--epochs", 1, *ON),
        ("train", "--model", "cnn", "--epochs", 1, "--sigma", 0.5, "--precision", "bf16", *ON),
        ("certify", *FEW, "--coverage", 0.9, "--coverage", 0.8, *ON), ("certify", *FEW, "--precision", "bf16", *ON),
        ("certify", *FEW, "--model", "mlp", "--precision", "tf32", *ON), ("certify", *FEW, "--model", "mlp", *ON),
        ("certify", *FEW, "--model", "mlp", "--noise", "grid", "--batch-size", 512, *ON),
        ("certify", *FEW, "--model", "mlp", "--at-radius", 0.1, *ON),
        ("certify", *FEW, "--model", "mlp", "--views", 2, *ON),
        ("certify", *FEW, "--model", "mlp", "--mc-dropout", 0.2, "--passes", 2, *ON),
        ("certify", *FEW, "--model", "mlp", "--seed", 1, "--device", "cuda:1"),
        ("predict", picture, "--run", 1, *ON), ("audit", 1, "--inputs", 1, "--steps", 2, *ON),
        ("ood", "--ood", "noise:uniform", "--limit", 2, "--n", 100, "--no-compile", *ON),
        count=2,
    )  # fmt: skip
    runs = [json.loads(one) for (one,) in query(database(), "SELECT configuration FROM run")]
    unnamed = [one["model"] for one in runs if one.get("noise_generator") != PHILOX or one["device"] != "cuda"]
    return wrong or (f"runs without the name of their noise: {unnamed}" if unnamed else "")


@check
def a_run_goes_on_on_the_device_and_is_answered_alike_elsewhere() -> str:
    """The network and the noise are the same there, so an image of the run has the run's own answer."""
    command = "certify", "--model", "mlp", *FEW, *ON
    wrong = failures(
        ("train", "--model", "mlp", "--epochs", 1, *ON), command, command, (*command, "--batch-size", 64),
    )  # fmt: skip
    if wrong:
        return wrong
    # Kernels may depend on the size of a batch there.
    sizes = [json.loads(one).get("batch_size") for (one,) in query(database(), "SELECT configuration FROM run")]
    if len(sizes) != 2 or sizes[1] != 64:
        return f"runs with batches of {sizes}"
    votes = "SELECT vote_count, uncertain_count FROM certified_sample ORDER BY scoring_id, input_index"
    picture = database().parent / "digit.npy"
    np.save(picture, open_dataset("digits").load("test").images[0, 0].numpy())
    (answer,) = rsuq("predict", picture, "--run", 1, "--device", "cpu", "--format", "json").json
    found, stored = (answer["vote_count"], answer["uncertain_count"]), query(database(), votes)[0]
    return "" if found == stored else f"{found} here, {stored} there"


@check
def no_double_on_the_device() -> str:
    """GPUs of Apple's have none."""
    return failures(
        ("train", "--model", "mlp", "--epochs", 1, *ON),
        ("train", "--model", "cnn", "--epochs", 2, "--objective", "acr", "--set", "noises=1", *ON),
        ("certify", "--model", "mlp", *FEW, *ON), ("audit", 1, "--inputs", 1, "--steps", 1, *ON),
        ("ood", "--model", "mlp", "--ood", "noise:uniform", "--limit", 2, "--n", 100, "--no-compile", *ON),
        float64=False,
    )  # fmt: skip


@check
def an_interrupted_training_goes_on_without_doubles() -> str:
    """`acr` keeps a weight for every image, and a number that says when they were measured."""

    def stop(record: object) -> None:
        raise KeyboardInterrupt

    dataset, kept = open_dataset("digits"), database().parent / "state.pt"
    settings = TrainSettings(
        sigma=0.5, epochs=2, objective="acr", parameters={"noises": 1, "steps": 1, "easy_from": 0.0}
    )  # fmt: skip
    with Pretend(float64=False):
        for on_epoch in (stop, None):
            model = build("mlp", shape=dataset.shape, num_classes=10)
            with contextlib.suppress(KeyboardInterrupt):
                result = loop.train(
                    model, dataset, settings, device=CUDA, on_epoch=on_epoch, resume_file=kept
                )  # fmt: skip
    return "" if (result.resumed_after, result.epochs_done) == (1, 2) else f"{result}"


@check
def nothing_waits_within_an_epoch() -> str:
    inside = {"_step", "augment", "random_crop", "random_flip", "add_noise", "gaussian", "draw", "__call__", "moved"}
    with Pretend() as gpu:
        result = rsuq("train", "--model", "cnn", "--epochs", 1, "--sigma", 0.7, *ON)
    waits = [wait for wait in gpu.record.waits() if wait.split()[-1] in inside]
    return result.stderr if result.exit_code else ", ".join(waits)


@check
def operations_are_counted_where_the_network_is() -> str:
    """One that is not folded is moved as it is; a long job counts operations, which nothing may find elsewhere."""
    counted: list[float] = []

    def not_compiled(*given: Any) -> bool:
        counted.append(sampler.worth_compiling(*given))
        return False

    with (
        mock.patch.dict(sampler._WORTH_COMPILING, {"cuda": 1.0}),
        mock.patch.object(ready, "worth_compiling", not_compiled),
    ):
        wrong = failures(
            ("train", "--model", "mlp", "--epochs", 1, *ON),
            ("ood", "--model", "mlp", "--ood", "noise:uniform", "--limit", 2, "--n", 100, *ON),
        )
    return wrong or ("" if counted == [True] else f"{counted}")


@check
def gradients_are_added_in_one_order() -> str:
    wrong = []
    for name, shape in (("cnn", (1, 8, 8)), ("cnn", (1, 28, 28)), ("resnet20", (3, 32, 32)), ("resnet18", (3, 64, 64))):
        with Pretend() as gpu:
            model = build(name, shape=shape, num_classes=10).train().to(CUDA)
            with loop._precision(TrainSettings(sigma=0.5, epochs=1), CUDA):
                loss = model(torch.rand(2, *shape).to(CUDA)).sum()
            loss.backward()
        wrong += [f"{name} {shape}: {dict(gpu.record.atomic)}"] if gpu.record.atomic else []
    return "; ".join(wrong)
