"""What a caller hands over from Python, checked: numbers, images and labels.

Invariant: whatever is wrong with it is one BadInput that names the argument; nothing that is accepted is changed, and
nothing that is returned requires gradients.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from rsuq_cli.datasets.contents import content_index
from rsuq_cli.errors import BadInput


def a_number(name: str, value: Any) -> float:
    """Returns a number of Python, numpy or torch as a float; raises BadInput for anything else."""
    single = _single(value)
    if single is None:
        raise BadInput(f"{name} is {_shown(value)}", "give one number")
    return float(single)


def a_whole_number(name: str, value: Any) -> int:
    """Returns a whole number as an int, 1e3 too; raises BadInput for anything else."""
    single = _single(value)
    if single is None or (isinstance(single, float) and not single.is_integer()):
        raise BadInput(f"{name} is {_shown(value)}", "give a whole number")
    if abs(single) >= 2**63:
        raise BadInput(f"{name} is {_shown(value)}", f"{2**63 - 1} is the largest whole number there is")
    return int(single)


def a_word(name: str, value: Any) -> str:
    """Returns a string; raises BadInput for anything else."""
    if not isinstance(value, str):
        raise BadInput(f"{name} is {_shown(value)}", "give one name, as a string")
    return value


def images_given(name: str, images: Any) -> torch.Tensor:
    """Returns images `[N, C, H, W]` (uint8, or float32 in [0, 1]) without their gradients' history.

    Raises BadInput for anything else.
    """
    if not isinstance(images, torch.Tensor):
        raise BadInput(f"{name} are a {type(images).__name__}, not a tensor", f"give torch.as_tensor({name})")
    if not images.is_nested and (images.ndim != 4 or not images.numel()):
        raise BadInput(f"{name} have shape {list(images.shape)}", "give [N, C, H, W] with at least one image")
    if images.is_nested or images.is_meta or images.layout is not torch.strided:
        kind = "nested" if images.is_nested else "without values (meta)" if images.is_meta else str(images.layout)
        raise BadInput(f"{name} are a tensor that is {kind}", "give a plain dense one")
    pixels: torch.Tensor = images.detach()
    if pixels.dtype == torch.uint8:
        if int(pixels.max()) == 1:
            raise BadInput(f"{name} are uint8 and none exceeds 1 of 255: they are black", f"give {name}.float()")
        return pixels
    if pixels.dtype != torch.float32:
        kind = str(images.dtype).removeprefix("torch.")
        how = f"give {name}.float()" if images.is_floating_point() else "scale them to [0, 1]"
        raise BadInput(f"{name} are {kind}; they must be uint8, or float32 in [0, 1], before any normalisation", how)
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):
        raise BadInput(
            f"{name} lie between {low:.4g} and {high:.4g}; they must be uint8, or float32 in [0, 1], before any "
            "normalisation",
            "normalise inside the model",
        )
    return pixels


def numbers_of(images: torch.Tensor, indices: Any) -> npt.NDArray[np.int64]:
    """Returns the numbers that the noise of images `[N, C, H, W]` depends on, `[N]`: their positions, those that are
    given, or with "content" what their pixels alone decide.

    Raises BadInput unless they are one whole number from 0 up for each image, none given twice.
    """
    if indices is None:
        return np.arange(len(images), dtype=np.int64)
    if isinstance(indices, str):
        if indices != "content":
            raise BadInput(f"indices are {indices!r}", 'give numbers, or "content"')
        return np.array([content_index(image) for image in images.cpu()], dtype=np.int64)
    try:
        numbers = np.asarray(indices.detach().cpu() if isinstance(indices, torch.Tensor) else indices)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"indices are {_shown(indices)}", "give one whole number for each image") from error
    if numbers.shape != (len(images),) or numbers.dtype.kind not in "iu":
        raise BadInput(f"indices are {_shown(indices)}", f"give {len(images)} whole numbers, one for each image")
    if len(numbers) and (int(numbers.min()) < 0 or int(numbers.max()) >= 2**31):
        raise BadInput(f"indices lie between {numbers.min()} and {numbers.max()}", "give numbers from 0 to 2^31 - 1")
    if len(np.unique(numbers)) < len(numbers):
        raise BadInput("an index is given twice", "two images of one number would share their noise")
    return numbers.astype(np.int64)


def labels_given(labels: Any, inputs: int, classes: int) -> npt.NDArray[np.int64]:
    """Returns labels `[N]`; raises BadInput unless they are one whole number in 0..K-1 for each image."""
    try:
        truth = np.asarray(labels.detach().cpu() if isinstance(labels, torch.Tensor) else labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadInput(f"labels are {_shown(labels)}", "give one class id for each image") from error
    if truth.shape != (inputs,):
        raise BadInput(f"{inputs} images have labels of shape {list(truth.shape)}", "give one label for each image")
    if truth.dtype.kind not in "iuf":
        raise BadInput(f"labels are of the kind {truth.dtype}", "give class ids, whole numbers from 0")
    odd = np.flatnonzero(~((truth >= 0) & (truth < classes) & (truth == np.floor(truth))))
    if len(odd):
        raise BadInput(
            f"label {truth[odd[0]]} of image {odd[0]} is no class of the model: it has classes 0 to {classes - 1}",
            "give class ids, whole numbers from 0",
        )
    return truth.astype(np.int64)


def _single(value: Any) -> int | float | None:
    """Returns the value of one number, None for what is none (a bool is none, either)."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        if math.prod(value.shape) != 1:
            return None
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    return value if isinstance(value, int) else float(value)


def _shown(value: Any) -> str:
    if isinstance(value, (torch.Tensor, np.ndarray)) and math.prod(value.shape) > 1:
        return f"a {type(value).__name__} of shape {list(value.shape)}"
    return " ".join(repr(value).split())[:60]
