"""torchvision's sets from their real file formats, and one line where they can neither be found nor downloaded."""

from __future__ import annotations

import hashlib
import http.client
import pickle
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision

from rsuq_cli.datasets.vision import VISION_SETS, VisionDataset
from rsuq_cli.errors import BadInput

RNG = np.random.default_rng(1)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def write_idx(path: Path, values: np.ndarray) -> None:
    """Writes an idx file as LeCun's page defines it: 0, 0, type 8 (bytes), dimensions, then big-endian sizes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    path.write_bytes(header + values.astype(np.uint8).tobytes())


def write_mnist(root: Path, name: str = "MNIST") -> dict[str, np.ndarray]:
    arrays = {}
    for file, count in (("train", 30), ("t10k", 8)):
        arrays[f"{file}-x"] = RNG.integers(0, 256, (count, 28, 28))
        arrays[f"{file}-y"] = np.arange(count) % 10
        write_idx(root / name / "raw" / f"{file}-images-idx3-ubyte", arrays[f"{file}-x"])
        write_idx(root / name / "raw" / f"{file}-labels-idx1-ubyte", arrays[f"{file}-y"])
    return arrays


def write_cifar(root: Path, monkeypatch, name: str) -> dict[str, np.ndarray]:
    """Writes CIFAR's Python batches, rows of 3,072 bytes channel by channel, and teaches torchvision their sums."""
    constructor = getattr(torchvision.datasets, VISION_SETS[name].torchvision_name)
    folder = root / constructor.base_folder
    folder.mkdir(parents=True)
    key = "labels" if name == "cifar10" else "fine_labels"
    arrays: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for kind, listing in (("train", constructor.train_list), ("test", constructor.test_list)):
        sums = []
        for file, _ in listing:
            rows = RNG.integers(0, 256, (10, 3072), dtype=np.uint8)
            (folder / file).write_bytes(pickle.dumps({"data": rows, key: list(range(10))}))
            sums.append([file, md5(folder / file)])
            arrays[kind].append(rows.reshape(10, 3, 32, 32))
        monkeypatch.setattr(constructor, f"{kind}_list", sums)
    meta = folder / constructor.meta["filename"]
    meta.write_bytes(pickle.dumps({constructor.meta["key"]: list(VISION_SETS[name].class_names)}))
    monkeypatch.setattr(constructor, "meta", {**constructor.meta, "md5": md5(meta)})
    return {kind: np.concatenate(parts) for kind, parts in arrays.items()}


def write_svhn(root: Path, monkeypatch) -> dict[str, np.ndarray]:
    """Writes SVHN's MATLAB files: X is [H, W, C, N], and y calls the digit 0 by the number 10."""
    listing = dict(torchvision.datasets.SVHN.split_list)
    arrays = {}
    for file in ("train", "test"):
        arrays[file] = RNG.integers(0, 256, (32, 32, 3, 20), dtype=np.uint8)
        path = root / f"{file}_32x32.mat"
        scipy.io.savemat(
            path, {"X": arrays[file], "y": np.arange(1, 21)[:, None] % 10 + 10 * (np.arange(1, 21) % 10 == 0)[:, None]}
        )
        listing[file] = [listing[file][0], path.name, md5(path)]
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", listing)
    return arrays


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist_from_idx_files(tmp_path, name):
    arrays = write_mnist(tmp_path, VISION_SETS[name].torchvision_name)
    dataset = VisionDataset(name, tmp_path)
    test = dataset.load("test")
    assert test.images.dtype == torch.uint8
    assert np.array_equal(test.images[:, 0].numpy(), arrays["t10k-x"])
    assert test.labels.tolist() == list(range(8))
    for split in (dataset.load("train"), dataset.load("calibration")):
        assert np.array_equal(split.images[:, 0].numpy(), arrays["train-x"][split.indices])
        assert np.array_equal(split.labels.numpy(), arrays["train-y"][split.indices])
    assert len(dataset.calibration_indices) == 3


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_from_its_batches(tmp_path, monkeypatch, name):
    arrays = write_cifar(tmp_path, monkeypatch, name)
    dataset = VisionDataset(name, tmp_path)
    test, train = dataset.load("test"), dataset.load("train")
    assert np.array_equal(test.images.numpy(), arrays["test"])
    assert np.array_equal(train.images.numpy(), arrays["train"][train.indices])
    assert test.labels.tolist() == list(range(10))
    assert test.images.is_contiguous()
    assert dataset.augment_crop
    assert dataset.augment_flip


def test_svhn_from_matlab_files(tmp_path, monkeypatch):
    arrays = write_svhn(tmp_path, monkeypatch)
    dataset = VisionDataset("svhn", tmp_path)
    test = dataset.load("test")
    assert np.array_equal(test.images.numpy(), arrays["test"].transpose(3, 2, 0, 1))
    assert test.labels.tolist() == [i % 10 for i in range(1, 21)]
    assert dataset.augment_crop
    assert not dataset.augment_flip


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_class_names_are_the_published_ones(name):
    names = VISION_SETS[name].class_names
    assert len(set(names)) == len(names) == (10 if name == "cifar10" else 100)
    assert list(names) == sorted(names)


@pytest.mark.parametrize("name", VISION_SETS)
def test_absent_and_no_network_is_one_line(tmp_path, name):
    folder = tmp_path / "data"
    with pytest.raises(BadInput) as caught:
        VisionDataset(name, folder).load("test")
    assert f"{name} is not in {folder}" in caught.value.message
    assert "no network in tests" in caught.value.message
    assert "\n" not in caught.value.message
    assert "--data-dir" in caught.value.hint
    assert list(folder.rglob("*")) == []


@pytest.mark.parametrize(
    "error", [TimeoutError("too slow"), RuntimeError("File not found or corrupted."), http.client.IncompleteRead(b"")]
)
def test_a_download_that_breaks_leaves_nothing(tmp_path, monkeypatch, error):
    def broken(url, root, filename=None, md5=None):
        (Path(root) / filename).write_bytes(b"half")
        raise error

    monkeypatch.setattr("torchvision.datasets.svhn.download_url", broken)
    with pytest.raises(BadInput, match="cannot be downloaded"):
        VisionDataset("svhn", tmp_path).load("test")
    assert list(tmp_path.iterdir()) == []


def test_a_download_is_kept_and_not_repeated(tmp_path, monkeypatch, capsys):
    downloads = []

    def download(url, download_root, filename, md5):
        print("torchvision talks")
        downloads.append(filename)
        (Path(download_root) / filename).write_bytes(b"archive")
        if len(downloads) == 1:
            write_mnist(Path(download_root).parent.parent)

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", download)
    first = VisionDataset("mnist", tmp_path).load("test")
    assert len(downloads) == 4
    assert torch.equal(VisionDataset("mnist", tmp_path).load("test").images, first.images)
    assert len(downloads) == 4
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [
        *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "train-images-idx3-ubyte", "train-labels-idx1-ubyte")
    ]
    # stdout is for the answer alone.
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("damage", [b"", b"\x00\x00\x08\x03", b"not an idx file at all"])
def test_damaged_files_are_one_line(tmp_path, damage):
    write_mnist(tmp_path)
    (tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte").write_bytes(damage)
    with pytest.raises(BadInput, match=f"files of mnist in {tmp_path} cannot be read") as caught:
        VisionDataset("mnist", tmp_path).load("test")
    assert "delete MNIST/raw/" in caught.value.hint


def test_files_of_another_shape_are_one_line(tmp_path):
    write_mnist(tmp_path)
    write_idx(tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte", np.zeros((8, 20, 20)))
    with pytest.raises(BadInput, match=r"hold 8 labels for images of shape \(8, 1, 20, 20\)"):
        VisionDataset("mnist", tmp_path).load("test")


def test_a_data_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="cannot be downloaded"):
        VisionDataset("cifar10", tmp_path / "file").load("test")
    assert (tmp_path / "file").read_text() == "x"


def test_image_size(tmp_path):
    write_mnist(tmp_path)
    assert VisionDataset("mnist", tmp_path, image_size=14).load("test").images.shape == (8, 1, 14, 14)
