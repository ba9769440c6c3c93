"""Sets of inputs from elsewhere: made here without any file, or read from where a user says.

Invariant: a set that is made here is the same on every machine and for ever: input i depends on the name, the shape and
i alone, not on how many are asked for. Every set comes in the shape of the in-distribution data, or is refused.

The noise sets are those of Hendrycks and Gimpel 2017 and Hein et al. 2019 (smooth noise).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from rsuq_cli.datasets.arrays import resized
from rsuq_cli.datasets.catalogue import EMBEDDED, OWN, TORCHVISION, open_dataset
from rsuq_cli.datasets.dataset import Dataset, Indices, Listener, ignore
from rsuq_cli.datasets.held_out import HeldOutDataset
from rsuq_cli.datasets.subset import spread
from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.spelling import path_of

HELD_OUT, PHOTO_PATCHES = "held-out", "photo-patches"
# ITU-R BT.601, as Pillow turns RGB into grey.
_LUMA = (0.299, 0.587, 0.114)
# Of a set that is made here; more would hardly fit into memory.
MOST_MADE = 1_000_000
_WIDEST_CROP = 4  # times the side of an input: wider crops of a photograph shrink to the same few colours

Shape = tuple[int, int, int]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class OodSet:
    """Inputs from elsewhere: images `[N, C, H, W]`, uint8 or float32 in [0, 1], and their numbers in the set, `[N]`.

    `near` says that the set is by nature close to the in-distribution data.
    """

    name: str
    images: torch.Tensor
    indices: Indices
    near: bool = False

    def __len__(self) -> int:
        return len(self.indices)


def open_ood_set(
    name: str, reference: Dataset, *, count: int | None, made: int, image_size: int | None, data_dir: Path | None,
    tell: Listener = ignore,
) -> OodSet:  # fmt: skip
    """Returns the set called `name` in the shape of `reference`, the in-distribution data.

    `name` is one of `MADE`, "held-out", a data set, `folder:PATH` (with `test/`, with class folders, or flat) or
    `npz:PATH` (labels optional). At most `count` inputs, spread evenly over the set; a set that is made here has `made`
    unless `count` is given. With `image_size` images of another size or number of channels are converted. `tell` hears
    what should be known of how the images are read.

    Raises BadInput for an unknown name, a set that cannot be read, is empty, or has another shape.
    """
    if name in MADE:
        if (count or made) > MOST_MADE:
            raise BadInput(f"{count:,} inputs of {name} are too many", f"give --limit {MOST_MADE} or less")
        images = torch.from_numpy(MADE[name](reference.shape, count or made))
        return OodSet(name, images, np.arange(len(images), dtype=np.int64))
    if name == HELD_OUT:
        return _held_out(reference, count)
    found = _open(name, image_size, data_dir)
    found.tell(tell)
    _check_shape(found, reference, image_size)
    chosen = spread(found.indices("test"), count)
    if not len(chosen):
        raise BadInput(f"{name} has no inputs", "give a set with images")
    images = _in_channels(found.load("test", chosen).images, reference.shape[0])
    return OodSet(found.name, images, chosen, near={found.name, reference.name} == {"cifar10", "cifar100"})


def _held_out(reference: Dataset, count: int | None) -> OodSet:
    if not isinstance(reference, HeldOutDataset):
        raise BadInput(
            f"no classes of {reference.name} are held out",
            "train with --hold-out-classes, or name the data as NAME-without-CLASSES",
        )
    chosen = spread(reference.held_out_indices("test"), count)
    return OodSet(HELD_OUT, reference.load_held_out("test", chosen).images, chosen, near=True)


def _open(name: str, image_size: int | None, data_dir: Path | None) -> Dataset:
    kind, colon, path = name.partition(":")
    if colon and path and kind in ("folder", "npz"):
        absolute = path_of(path).expanduser().resolve()
        if kind == "npz":
            from rsuq_cli.datasets.npz import NpzDataset

            return NpzDataset(absolute, image_size=image_size, unlabelled=True)
        if not (absolute / "test").is_dir():
            from rsuq_cli.datasets.folder import FolderDataset

            return FolderDataset(absolute, image_size=image_size, unlabelled=True)
    known = (*MADE, HELD_OUT, *EMBEDDED, *TORCHVISION)
    if name not in known and kind not in ("folder", "npz"):
        raise BadInput(f"unknown out-of-distribution set {name!r}", nearest(name, (*known, *OWN)))
    return open_dataset(name, data_dir=data_dir, image_size=image_size)


def _check_shape(found: Dataset, reference: Dataset, image_size: int | None) -> None:
    converted = image_size is not None
    if found.shape[1:] == reference.shape[1:] and (converted or found.shape[0] == reference.shape[0]):
        return
    theirs, ours = ("×".join(map(str, dataset.shape)) for dataset in (found, reference))
    _, height, width = reference.shape
    square = height == width
    raise BadInput(
        f"{found.name} has images of {theirs}, and {reference.name} of {ours}",
        f"--image-size {height} converts them" if square else f"convert them to {ours} first",
    )


def _in_channels(images: torch.Tensor, channels: int) -> torch.Tensor:
    """Returns images with 1 or 3 channels: grey ones repeated (without using memory), coloured ones as their luma."""
    if images.shape[1] == channels:
        return images
    if images.shape[1] == 1:
        return images.expand(-1, channels, -1, -1)
    luma = torch.einsum("nchw,c->nhw", images.float(), torch.tensor(_LUMA)).unsqueeze(1)
    return luma.round().to(torch.uint8) if images.dtype == torch.uint8 else luma.clamp(0, 1)


def _random(name: str) -> np.random.RandomState:
    # RandomState's stream is frozen by numpy; that of default_rng may change from one release to the next.
    return np.random.RandomState(zlib.crc32(name.encode()))


def _as_bytes(values: npt.NDArray[np.float64]) -> Bytes:
    return np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)


def gaussian_noise(shape: Shape, count: int) -> Bytes:
    """Returns pixels from N(1/2, 1), clipped (Liang et al. 2018), `[count, C, H, W]`."""
    return _as_bytes(0.5 + _random("noise:gaussian").standard_normal((count, *shape)))


def uniform_noise(shape: Shape, count: int) -> Bytes:
    """Returns pixels that are uniform on [0, 1], `[count, C, H, W]`."""
    return _as_bytes(_random("noise:uniform").random_sample((count, *shape)))


def smooth_noise(shape: Shape, count: int) -> Bytes:
    """Returns blurred uniform noise at full contrast (Hein et al. 2019), `[count, C, H, W]`: low frequencies only."""
    from scipy.ndimage import gaussian_filter

    noise = _random("noise:smooth").random_sample((count, *shape))
    _, height, width = shape
    # Wrapped, so that the border is as smooth as the rest.
    blurred = gaussian_filter(noise, sigma=(0, 0, height / 8, width / 8), mode="wrap")
    low, high = blurred.min(axis=(1, 2, 3), keepdims=True), blurred.max(axis=(1, 2, 3), keepdims=True)
    return _as_bytes((blurred - low) / np.maximum(high - low, 1e-12))


def constant(shape: Shape, count: int) -> Bytes:
    """Returns images of one random colour each, `[count, C, H, W]`."""
    colours = _random("constant").random_sample((count, shape[0], 1, 1))
    return _as_bytes(np.broadcast_to(colours, (count, *shape)))


def photo_patches(shape: Shape, count: int) -> Bytes:
    """Returns random crops of scikit-learn's two sample photographs, one to four times the side and shrunk to it.

    `[count, C, H, W]`. Raises BadInput for data that are neither grey nor RGB, and for images larger than the photos.
    """
    from sklearn.datasets import load_sample_images

    channels, height, width = shape
    photos = [torch.from_numpy(image.transpose(2, 0, 1).copy()) for image in load_sample_images().images]
    rows, columns = photos[0].shape[1:]
    widest = min(_WIDEST_CROP, rows // height, columns // width)
    if channels not in (1, 3) or widest < 1:
        raise BadInput(
            f"{PHOTO_PATCHES} has no images of {channels}×{height}×{width}",
            f"the photographs are 3×{rows}×{columns}: choose another set",
        )
    random = _random(PHOTO_PATCHES)
    out = torch.empty((count, channels, height, width), dtype=torch.uint8)
    for at in range(count):
        photo, times = photos[random.randint(len(photos))], 1 + random.randint(widest)
        top = random.randint(rows - times * height + 1)
        left = random.randint(columns - times * width + 1)
        crop = photo[None, :, top : top + times * height, left : left + times * width]
        out[at] = _in_channels(resized(crop, (height, width)), channels)[0]
    return out.numpy()


MADE: dict[str, Callable[[Shape, int], Bytes]] = {
    "noise:gaussian": gaussian_noise,
    "noise:uniform": uniform_noise,
    "noise:smooth": smooth_noise,
    "constant": constant,
    PHOTO_PATCHES: photo_patches,
}
