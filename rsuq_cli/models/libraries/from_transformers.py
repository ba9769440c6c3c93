"""Image classifiers of transformers: `hf:REPOSITORY`, or `hf:FOLDER` that `save_pretrained` wrote.

Invariant: what a model is shown is what its own image processor says, and no code of a repository is run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rsuq_cli.errors import BadInput
from rsuq_cli.models.libraries.prescription import (
    Prescription,
    interpolation_of,
    missing,
    synonyms,
    unloadable,
)
from rsuq_cli.models.statistics import Statistics

SPEC = "hf:"
# Below this side ConvNeXt's processor cuts images after it resized them.
_CONVNEXT = 384


class Logits(nn.Module):
    """The logits of a classifier of transformers for what its processor would give it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.module(pixel_values=images).logits
        return logits


def prescribed(name: str, side: int | None) -> Prescription:
    """Returns what the files of a model prescribe; raises BadInput where they cannot be had or say something else."""
    spec = SPEC + name
    configuration, processor = _configuration(name), _processor(name)
    if processor.get("do_rescale", True) and abs(255 * processor.get("rescale_factor", 1 / 255) - 1) > 1e-3:
        raise BadInput(f"{spec} does not take pixels in [0, 1]", "wrap it in a factory of your own: file.py:factory")
    resize, crop = _sizes(spec, processor)
    if side is not None:
        scale = side / crop[0]
        resize = round(resize * scale) if isinstance(resize, int) else (side, side)
        crop = (side, side)
    normalised = processor.get("do_normalize", True)
    mean = processor.get("image_mean") if normalised else (0.0,) * 3
    std = processor.get("image_std") if normalised else (1.0,) * 3
    if mean is None or std is None:
        raise BadInput(f"{spec} does not say its mean and deviation", "complete its preprocessor_config.json")
    labels = configuration.id2label
    names = tuple(synonyms(str(labels[at])) for at in range(len(labels)))
    drawn = all(label.startswith("LABEL_") for (label, *_) in names)
    channels = int(getattr(configuration, "num_channels", 3))
    return Prescription(
        (channels, *crop), resize, interpolation_of(spec, int(processor.get("resample", 2))),
        Statistics(tuple(map(float, mean)), tuple(map(float, std))), len(labels), () if drawn else names,
    )  # fmt: skip


def made(name: str, side: int | None, outputs: int, *, pretrained: bool) -> nn.Module:
    """Returns a network of so many outputs; its weights are the repository's, or drawn from torch's generator."""
    from transformers import AutoModelForImageClassification

    configuration = _configuration(name)
    if side is not None and hasattr(configuration, "image_size"):
        configuration.image_size = side
    try:
        if pretrained:
            network = AutoModelForImageClassification.from_pretrained(name, config=configuration)
        else:
            configuration.num_labels = outputs
            network = AutoModelForImageClassification.from_config(configuration)
    except Exception as error:  # whatever its downloads and constructors raise
        raise unloadable(SPEC + name, error) from error
    return Logits(network)


def _configuration(name: str) -> Any:
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise missing("transformers", "hf") from error
    try:
        return AutoConfig.from_pretrained(name)
    except Exception as error:
        raise unloadable(SPEC + name, error) from error


def _processor(name: str) -> dict[str, Any]:
    """Returns the settings of a model's image processor, as its file has them."""
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        settings: dict[str, Any] = ImageProcessingMixin.get_image_processor_dict(name)[0]
    except Exception as error:
        raise unloadable(SPEC + name, error) from error
    return settings


def _sizes(spec: str, processor: dict[str, Any]) -> tuple[int | tuple[int, int], tuple[int, int]]:
    """Returns what images are resized to, and what is cut out of them."""
    size, crop = _sides(processor.get("size")), _sides(processor.get("crop_size"))
    cuts = bool(processor.get("do_center_crop", False)) and isinstance(crop, tuple)
    if isinstance(size, int) and "crop_pct" in processor:
        to = int(size / processor["crop_pct"]) if size < _CONVNEXT else (size, size)
        return to, (size, size)
    if isinstance(size, tuple):
        return size, crop if cuts and isinstance(crop, tuple) else size
    if isinstance(size, int) and cuts and isinstance(crop, tuple):
        return size, crop
    raise BadInput(f"{spec} does not say which size it sees", "complete its preprocessor_config.json")


def _sides(size: Any) -> int | tuple[int, int] | None:
    if isinstance(size, int):
        return (size, size)
    if isinstance(size, dict) and "height" in size:
        return (int(size["height"]), int(size["width"]))
    if isinstance(size, dict) and "shortest_edge" in size:
        return int(size["shortest_edge"])
    return None
