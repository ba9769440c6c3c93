"""Whether a job is long enough to compile is counted, so that the same job is always decided alike."""

import pytest
import torch

from rsuq_cli.models.loading import LoadedModel
from rsuq_cli.models.zoo import build
from rsuq_cli.run.sampler import worth_compiling

CIFAR = (3, 32, 32)


def loaded(name: str, shape: tuple[int, int, int]) -> LoadedModel:
    return LoadedModel(build(name, shape=shape, num_classes=10).eval(), name, "", "", "", {})


@pytest.mark.parametrize(
    ("name", "shape", "samples", "device", "expected"),
    [
        ("cnn", (1, 8, 8), 10_100, "cpu", False),
        ("resnet20", CIFAR, 100 * 1100, "cpu", False),
        # Past the bound by weights and pixels, but the operations that are counted are fewer.
        ("resnet20", CIFAR, 1_000_000, "cpu", False),
        ("resnet20", CIFAR, 100 * 100_100, "cpu", True),
        ("resnet20", CIFAR, 100 * 100_100, "mps", False),
    ],
)
def test_long_jobs_are_worth_it(
    name: str, shape: tuple[int, int, int], samples: int, device: str, expected: bool
) -> None:
    assert worth_compiling(loaded(name, shape), shape, samples, torch.device(device)) is expected


def test_operations_are_counted_where_the_network_is() -> None:
    """A device that computes nothing, but refuses tensors of another as all devices do."""
    model = loaded("resnet20", CIFAR)
    model.module.to("meta")
    assert worth_compiling(model, CIFAR, 100 * 100_100, torch.device("cpu"))
