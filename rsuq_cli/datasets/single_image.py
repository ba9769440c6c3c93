"""One image from a file of its own: PNG, JPEG and what else Pillow decodes, or a NumPy array.

Invariant: an image becomes exactly the tensor that a data set would hold for it, 8-bit pixels as uint8 and float arrays
as float32; it is resized only where that was asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from rsuq_cli.datasets.arrays import resized
from rsuq_cli.datasets.dataset import Dataset, Listener, ignore, pixels
from rsuq_cli.datasets.pictures import ON_WHITE, read_picture
from rsuq_cli.errors import BadInput

Shape = tuple[int, int, int]
# Inputs that are compared at a time, and the bytes of a data set that are read to find an image in it.
_PAGE = 256
MOST_BYTES = 1_000_000_000


def read_image(path: Path, shape: Shape, *, resize: bool = False, tell: Listener = ignore) -> torch.Tensor:
    """Returns the image in `path` as `[C, H, W]` of `shape`, uint8, or float32 in [0, 1] for a float array.

    Pictures are converted to grey (C = 1) or RGB, and put on white where they are transparent, which `tell` hears.
    Arrays are `[H, W]`, `[C, H, W]` or `[H, W, C]`. Raises BadInput for a file that
    cannot be read, pixels of another kind, and another size unless `resize` is given.
    """
    if not path.is_file():
        raise BadInput(f"there is no file {path}", "name an image: PNG, JPEG or npy")
    image = (
        _read_array(path, shape) if path.suffix.lower() == ".npy" else _read_picture(path, shape, tell, resize=resize)
    )
    if image.shape[1:] != shape[1:]:
        if not resize:
            raise BadInput(
                f"{path} is {image.shape[2]}×{image.shape[1]} pixels, the model takes {shape[2]}×{shape[1]}",
                "give --resize to resize it",
            )
        image = resized(image[None], shape[1:])[0]
    return image


def position_in(dataset: Dataset, split: Any, image: torch.Tensor) -> int | None:
    """Returns the position in its source of the first input of `split` with these pixels; None where there is none.

    Sets of more than `MOST_BYTES` are not searched.
    """
    available = dataset.indices(split)
    if len(available) * image.numel() > MOST_BYTES:
        return None
    held = dataset.load(split)
    wanted = pixels(image)
    for first in range(0, len(held), _PAGE):
        same = (pixels(held.images[first : first + _PAGE]) == wanted).flatten(1).all(dim=1)
        if same.any():
            return int(held.indices[first + int(same.nonzero()[0])])
    return None


def _read_picture(path: Path, shape: Shape, tell: Listener, *, resize: bool) -> torch.Tensor:
    channels, height, width = shape
    picture, transparent = read_picture(path, channels)
    if transparent:
        tell(f"{path}: {ON_WHITE}")
    if resize and picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)  # as folders of images are
    values = np.asarray(picture).reshape(picture.height, picture.width, channels).transpose(2, 0, 1)
    return torch.from_numpy(np.array(values, order="C"))  # a copy: what was read may not be writable


def _read_array(path: Path, shape: Shape) -> torch.Tensor:
    try:
        # Nothing is unpickled: such a file could run code of its own.
        values: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{path} cannot be read as an array: {' '.join(str(error).split())}", "numpy.save it") from error
    if not isinstance(values, np.ndarray) or not (values.dtype == np.uint8 or values.dtype.kind == "f"):
        kind = values.dtype if isinstance(values, np.ndarray) else "an archive"
        raise BadInput(f"{path} holds {kind}", "images are uint8 (0 to 255) or floats in [0, 1]")
    if values.dtype != np.uint8:
        if not (np.isfinite(values).all() and (values >= 0).all() and (values <= 1).all()):
            raise BadInput(f"{path} holds values outside [0, 1]", "divide by 255, or store 8-bit pixels as uint8")
        values = values.astype(np.float32)
    channels = shape[0]
    if values.ndim == 2 and channels == 1:
        values = values[np.newaxis]
    elif values.ndim == 3 and values.shape[0] != channels and values.shape[2] == channels:
        values = values.transpose(2, 0, 1)
    if values.ndim != 3 or values.shape[0] != channels or 0 in values.shape:
        raise BadInput(
            f"{path} has shape {list(values.shape)}, the model takes {list(shape)}",
            "give [H, W], [C, H, W] or [H, W, C]",
        )
    return torch.from_numpy(np.array(values, order="C"))  # a copy: what was read may not be writable
