"""Classifiers of torchvision, by name: `torchvision:resnet50`, `torchvision:resnet50.IMAGENET1K_V1`.

Invariant: what a model is shown is what the transforms of its weights show it.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.models.libraries.prescription import Prescription, imagenet_classes, unloadable
from rsuq_cli.models.statistics import Statistics

SPEC = "torchvision:"
# They turn what they are given once more, and have heads that only training uses, where they have published weights.
_AUXILIARY = ("googlenet", "inception_v3")


def prescribed(name: str, side: int | None) -> Prescription:
    """Returns what torchvision prescribes for the weights of a model; raises BadInput for a stranger."""
    weights = _weights(name)
    shown = weights.transforms()
    resize, crop = shown.resize_size[0], shown.crop_size[0]
    if side is not None:
        resize, crop = round(side * resize / crop), side
    statistics = Statistics(tuple(map(float, shown.mean)), tuple(map(float, shown.std)))
    categories = weights.meta["categories"]
    return Prescription(
        (3, crop, crop), resize, shown.interpolation.value, statistics, len(categories), imagenet_classes(categories)
    )


def made(name: str, side: int | None, outputs: int, *, pretrained: bool) -> nn.Module:
    """Returns a network of so many outputs; its weights are torchvision's own, or drawn from torch's generator."""
    from torchvision import models

    architecture, weights = name.partition(".")[0], _weights(name)
    options: dict[str, Any] = {"weights": weights if pretrained else None}
    if not pretrained:
        options["num_classes"] = outputs
        if architecture in _AUXILIARY:
            options |= {"transform_input": True, "init_weights": False, "aux_logits": True}
    if side is not None and architecture.startswith("vit_"):
        options["image_size"] = side
    try:
        network: nn.Module = models.get_model(architecture, **options)
    except Exception as error:  # whatever its downloads and constructors raise
        if pretrained:
            raise unloadable(SPEC + name, error) from error
        reason = " ".join(str(error).split())[:160]
        raise BadInput(f"{SPEC}{name} cannot be made: {reason}", "name another size as NAME@SIZE") from error
    return network


def _weights(name: str) -> Any:
    from torchvision import models

    architecture, _, which = name.partition(".")
    known = models.list_models(module=models)
    if architecture not in known:
        raise BadInput(f"torchvision has no classifier {architecture!r}", nearest(architecture, known))
    every = models.get_model_weights(architecture)
    if not which:
        return every.DEFAULT
    if which not in every.__members__:
        raise BadInput(f"torchvision has no weights {name!r}", nearest(which, every.__members__))
    return every[which]
