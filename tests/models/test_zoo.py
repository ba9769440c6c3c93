"""Every name of the zoo: shapes, stems, and refusals in one line."""

import subprocess
import sys

import pytest
import torch

from rsuq_cli.errors import BadInput
from rsuq_cli.models.normalise import Normalise
from rsuq_cli.models.zoo import NAMES, build

SMALL = [name for name in NAMES if name in ("mlp", "cnn", "resnet20", "resnet32")]
LARGE = [name for name in NAMES if name not in SMALL]


def test_the_names_are_those_promised() -> None:
    assert set(NAMES) == {
        "mlp", "cnn", "resnet20", "resnet32", "resnet56", "resnet110", "resnet18", "resnet50", "wide_resnet50_2",
        "densenet121", "vit_b_16",
    }  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32)])
def test_small_ones_map_images_to_logits(name: str, shape: tuple[int, int, int]) -> None:
    model = build(name, shape=shape, num_classes=4).eval()
    with torch.inference_mode():
        assert model(torch.rand(2, *shape)).shape == (2, 4)


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 64, 64)])
def test_large_ones_map_images_to_logits(name: str, shape: tuple[int, int, int]) -> None:
    # The meta device runs shapes alone, so that 100 million parameters cost nothing.
    with torch.device("meta"):
        model = build(name, shape=shape, num_classes=4).eval()
        assert model(torch.zeros(2, *shape)).shape == (2, 4)


@pytest.mark.parametrize(("side", "kept"), [(32, 32), (64, 16)])
@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_small_images_keep_their_resolution_in_the_stem(name: str, side: int, kept: int) -> None:
    with torch.device("meta"):
        network = build(name, shape=(3, side, side), num_classes=4).eval().network
        first = network.layer1 if name == "resnet18" else network.features.denseblock1  # type: ignore[union-attr]
        seen: list[int] = []
        first.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].shape[-1]))  # type: ignore[union-attr]
        network(torch.zeros(2, 3, side, side))  # type: ignore[operator]
    assert seen == [kept]


def test_normalisation_comes_first_and_uses_the_numbers_given() -> None:
    model = build("cnn", shape=(3, 8, 8), num_classes=2, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0))
    first, network = model
    assert isinstance(first, Normalise)
    assert first.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert network is model.network


def test_without_numbers_pixels_pass_unchanged() -> None:
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(build("cnn", shape=(1, 8, 8), num_classes=2).normalise(images), images)  # type: ignore[operator]


def test_an_unknown_name_shows_the_nearest() -> None:
    with pytest.raises(BadInput, match="resnet111") as caught:
        build("resnet111", shape=(3, 32, 32), num_classes=10)
    assert "resnet110" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("vit_b_16", (3, 30, 30), "30×30"),
        ("vit_b_16", (3, 32, 16), "32×16"),
        ("resnet20", (4, 32, 32), "4"),
        ("cnn", (1, 1, 9), "1×9"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name: str, shape: tuple[int, int, int], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        build(name, shape=shape, num_classes=10)


def test_the_zoo_imports_torchvision_only_when_it_needs_it() -> None:
    code = "import sys, rsuq_cli.models.loading; assert 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
