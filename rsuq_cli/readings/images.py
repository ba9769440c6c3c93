"""Small pictures of single inputs, read again from the data set where it can be found.

Invariant: nothing is downloaded and nothing fails for want of images: where the data set is away, or is no longer the
one that was certified, there are none, and a sentence that says why. PyTorch is imported only to read them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rsuq_cli.datasets.names import held_out_name
from rsuq_cli.errors import BadInput, RsuqError
from rsuq_cli.results.rows import RunRow
from rsuq_cli.run.data import data_of, open_data_of

if TYPE_CHECKING:
    from rsuq_cli.datasets.dataset import Dataset, Split

# Above this side an image is made smaller: it is looked at, not measured.
LARGEST_SIDE = 96
# Up to this side a lossless image is small.
LOSSLESS_SIDE = 48


class Images(NamedTuple):
    """Images as data URIs by input index, and a sentence on where they come from."""

    uris: Mapping[int, str]
    note: str


def input_images(run: RunRow, wanted: Mapping[int, int], data_dir: Path | None = None) -> Images:
    """Returns images of the inputs of a run, `wanted` by index with the label that each is stored with."""
    if not wanted:
        return Images({}, "")
    try:
        split = _load(run, sorted(wanted), data_dir)
    except (RsuqError, OSError, ValueError, ImportError) as error:
        return Images({}, f"No images: {' '.join(str(error).split())}.")
    if any(wanted[int(i)] != int(label) for i, label in zip(split.indices, split.labels, strict=True)):
        return Images({}, f"No images: {run.dataset} is no longer what was certified (labels differ).")
    pictures = zip(split.indices, split.images, strict=True)
    return Images({int(i): _uri(picture.numpy()) for i, picture in pictures}, f"Images: {run.dataset} as found now.")


def _load(run: RunRow, indices: list[int], data_dir: Path | None) -> Split:
    dataset = _open(run, data_dir)
    return dataset.load(run.split, np.asarray(indices, dtype=np.int64))  # type: ignore[arg-type]


def _open(run: RunRow, data_dir: Path | None) -> Dataset:
    from rsuq_cli.datasets.catalogue import TORCHVISION, default_data_dir

    name = data_of(run).dataset
    parts = held_out_name(name)
    base = parts.dataset if parts else name
    if base in TORCHVISION:
        from rsuq_cli.datasets.vision import VISION_SETS

        folder = data_dir or default_data_dir()
        missing = [part for part in VISION_SETS[base].files.split(" and ") if not (folder / part).exists()]
        if missing:
            raise BadInput(f"{base} is not in {folder}")
    return open_data_of(run, data_dir)


def _uri(pixels: npt.NDArray[Any]) -> str:
    """Returns an image `[C, H, W]`, bytes or floats in [0, 1], as a data URI."""
    from PIL import Image

    values = pixels if pixels.dtype == np.uint8 else (np.clip(pixels, 0, 1) * 255).round().astype(np.uint8)
    picture = Image.fromarray(np.moveaxis(values[:3], 0, -1) if len(values) >= 3 else values[0])
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    lossless = max(picture.size) <= LOSSLESS_SIDE
    stream = io.BytesIO()
    picture.save(stream, "PNG" if lossless else "JPEG", **({"optimize": True} if lossless else {"quality": 80}))
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
