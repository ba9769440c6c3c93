"""Models of other libraries: what they are shown, which weights they have, and what cannot be had is one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rsuq_cli.errors import BadInput
from rsuq_cli.models.libraries.prescription import Prescription
from rsuq_cli.models.library import Resize, fine_tuned, from_library, named, prescribed
from rsuq_cli.models.loading import open_model
from rsuq_cli.models.spec import is_custom, is_library
from rsuq_cli.models.statistics import Statistics


def test_a_name_is_a_librarys_or_a_factory_s() -> None:
    assert is_library("timm:resnet18")
    assert not is_custom("hf:microsoft/resnet-50")
    assert is_custom("timm.py:make")
    assert not is_library("net.py:make")
    assert not is_library("cnn")
    assert named("timm:resnet18.a1_in1k@64") == ("timm", "resnet18.a1_in1k", 64)
    assert named("torchvision:resnet18") == ("torchvision", "resnet18", None)


def test_timm_prescribes_what_its_own_transform_does() -> None:
    timm_data = pytest.importorskip("timm.data")
    timm = pytest.importorskip("timm")
    known = prescribed("timm:resnet18")
    transform = timm_data.create_transform(
        **timm_data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg("resnet18").to_dict())
    )
    pixels = np.random.default_rng(0).integers(0, 256, size=(60, 90, 3), dtype=np.uint8)
    # Smooth, so that Pillow's rounding between its two passes stays small.
    picture = Image.fromarray(pixels).resize((90, 60), Image.Resampling.BOX).resize((9, 6)).resize((90, 60))
    expected = transform(picture)
    image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
    parts = from_library("timm:resnet18", shape=(3, 60, 90), outputs=2).module
    shown = parts.get_submodule("normalise")(parts.get_submodule("resize")(image))[0]
    assert shown.shape == expected.shape == known.size
    # Two roundings to 8 bits, over a deviation of 0.22; bicubic overshoots where Pillow clips.
    assert float((shown - expected).abs().max()) < 3 / 255 / 0.22


def test_torchvision_prescribes_what_its_own_transform_does() -> None:
    from torchvision import models

    picture = Image.fromarray(np.arange(48 * 48 * 3, dtype=np.uint32).astype(np.uint8).reshape(48, 48, 3)).resize(
        (48, 40)
    )
    expected = models.ResNet18_Weights.IMAGENET1K_V1.transforms()(picture)
    image = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255
    parts = from_library("torchvision:resnet18.IMAGENET1K_V1", shape=(3, 40, 48), outputs=2).module
    shown = parts.get_submodule("normalise")(parts.get_submodule("resize")(image))[0]
    assert shown.shape == expected.shape
    assert float((shown - expected).abs().max()) < 3 / 255 / 0.22


def test_resizing_is_of_each_image_alone_and_has_gradients() -> None:
    layer = Resize((20, 24), (16, 16), "bicubic")
    images = torch.rand(5, 3, 9, 10, requires_grad=True)
    together = layer(images)
    assert torch.equal(together, torch.cat([layer(one[None]) for one in images]))
    assert torch.equal(together, layer(images))
    assert torch.autograd.gradcheck(layer, torch.rand(1, 1, 6, 6, dtype=torch.float64, requires_grad=True))


def test_data_of_the_size_that_is_seen_are_not_resized() -> None:
    model = from_library("torchvision:resnet18@32", shape=(3, 32, 32), outputs=4)
    assert isinstance(model.module.get_submodule("resize"), torch.nn.Identity)
    assert model.recorded() == {"noise_at": [3, 32, 32], "seen_at": [3, 32, 32]}
    other = from_library("torchvision:resnet18@32", shape=(3, 8, 8), outputs=4)
    assert other.recorded()["noise_at"] == [3, 8, 8]
    assert other.recorded()["resize"] == [37, 37]  # 32 · 256 / 224, rounded
    assert other.module.eval()(torch.rand(2, 3, 8, 8)).shape == (2, 4)


def test_grey_images_are_seen_as_grey_colours() -> None:
    parts = from_library("torchvision:resnet18@32", shape=(1, 32, 32), outputs=2).module
    grey = torch.rand(1, 1, 32, 32)
    expected = (grey.expand(1, 3, 32, 32) - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    assert torch.allclose(parts.get_submodule("normalise")(grey), expected)


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("timm:resnet18x", "timm has no model"),
        ("timm:resnet18.nope", "timm has no weights"),
        ("torchvision:resnet1", "torchvision has no classifier"),
        ("torchvision:resnet18.NOPE", "torchvision has no weights"),
        ("timm:", "names no model"),
    ],
)
def test_unknown_names_are_one_line(spec: str, what: str) -> None:
    with pytest.raises(BadInput, match=what) as raised:
        prescribed(spec)
    assert raised.value.hint
    assert "\n" not in raised.value.message


def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")

    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("Max retries exceeded\nwith url: x")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(BadInput, match="cannot be loaded") as raised:
        open_model("timm:resnet18", shape=(3, 32, 32), num_classes=3)
    assert "--weights" in raised.value.hint
    assert "\n" not in raised.value.message


def test_weights_of_the_datas_classes_and_of_the_librarys(tmp_path: Path) -> None:
    for outputs in (3, 1000):
        network = from_library("torchvision:squeezenet1_1@64", shape=(3, 64, 64), outputs=outputs).module
        torch.save(network.get_submodule("network").state_dict(), tmp_path / "weights.pt")
        found = open_model(
            "torchvision:squeezenet1_1@64", shape=(3, 64, 64), num_classes=3, weights=tmp_path / "weights.pt"
        )
        images = torch.rand(2, 3, 64, 64)
        assert torch.equal(found.module(images), network.eval()(images))
        assert len(found.class_synonyms) == (0 if outputs == 3 else 1000)
        assert found.normalisation is not None  # it is the library's, and recorded


def test_fine_tuning_draws_the_last_layer_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import models

    torch.manual_seed(5)
    published = models.squeezenet1_1(weights=None)
    real = models.get_model

    def published_or_drawn(name: str, **options: object) -> torch.nn.Module:
        network = real(name, **options | {"weights": None})
        if options.get("weights") is not None:
            network.load_state_dict(published.state_dict())
        return network

    monkeypatch.setattr(models, "get_model", published_or_drawn)
    model, drawn = fine_tuned("torchvision:squeezenet1_1@64", shape=(3, 64, 64), num_classes=3)
    assert drawn == ["network.classifier.1.weight", "network.classifier.1.bias"]
    own = model.module.get_submodule("network").state_dict()
    assert all(torch.equal(own[n], v) for n, v in published.state_dict().items() if not n.startswith("classifier"))


def test_duplicate_class_names_get_numbers() -> None:
    known = Prescription(
        (3, 8, 8), 8, "bilinear", Statistics((0.5,), (0.5,)), 3, (("crane", "n1"), ("dog",), ("crane", "n2"))
    )
    assert known.class_names == ("crane (0)", "dog", "crane (2)")


def test_a_folder_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", id2label={0: "cat", 1: "dog, hound"},
        label2id={"cat": 0, "dog, hound": 1},
    )  # fmt: skip
    torch.manual_seed(0)
    network = transformers.ResNetForImageClassification(config).eval()
    network.save_pretrained(tmp_path)
    processor = {
        "image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 16, "width": 16},
        "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "resample": 2,
        "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4],
    }  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    found = open_model(f"hf:{tmp_path}", shape=(3, 16, 16), num_classes=2)
    images = torch.rand(2, 3, 16, 16)
    mean, std = (torch.tensor(processor[name]).view(3, 1, 1) for name in ("image_mean", "image_std"))
    with torch.inference_mode():
        expected = network(pixel_values=(images - mean) / std).logits
    assert torch.allclose(found.module(images), expected, atol=1e-6)
    assert found.class_synonyms == (("cat",), ("dog, hound", "dog", "hound"))
    assert found.metadata["class_names"] == ["cat", "dog, hound"]
