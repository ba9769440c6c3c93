"""Models of timm, by name: `timm:resnet18`, `timm:resnet18.a1_in1k`.

Invariant: what a model is shown is what timm's own evaluation shows it.
"""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.models.libraries.prescription import Prescription, missing, synonyms, unloadable
from rsuq_cli.models.statistics import Statistics

SPEC = "timm:"
_MODES = {"bilinear": "bilinear", "bicubic": "bicubic", "nearest": "nearest-exact", "random": "bicubic"}


def prescribed(name: str, side: int | None) -> Prescription:
    """Returns what timm prescribes for a model, at another side where one is given; raises BadInput for a stranger."""
    spec = SPEC + name
    configuration = _configuration(name)
    if configuration is None:
        raise BadInput(f"timm prescribes nothing for {name}", "wrap it in a factory of your own: file.py:factory")
    channels, height, width = configuration.input_size
    if side is not None:
        height = width = side
    share = configuration.crop_pct or 1.0
    mode = _MODES.get(configuration.interpolation)
    if mode is None or configuration.crop_mode not in ("center", "squash"):
        raise BadInput(f"{spec} resizes images in a way that torch has not", "give data of the size that it sees")
    to: int | tuple[int, int] = (math.floor(height / share), math.floor(width / share))
    if configuration.crop_mode == "center" and height == width:
        to = math.floor(height / share)
    statistics = Statistics(tuple(map(float, configuration.mean)), tuple(map(float, configuration.std)))
    outputs = int(configuration.num_classes)
    return Prescription((channels, height, width), to, mode, statistics, outputs, _classes(configuration))


def made(name: str, side: int | None, outputs: int, *, pretrained: bool) -> nn.Module:
    """Returns a network of so many outputs; its weights are timm's own, or drawn from torch's generator."""
    import timm

    spec, options = SPEC + name, {}
    configuration = _configuration(name)
    if side is not None and configuration is not None and configuration.fixed_input_size:
        options["img_size"] = side
    try:
        network: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=outputs, **options)
    except Exception as error:  # whatever its downloads and constructors raise
        if pretrained:
            raise unloadable(spec, error) from error
        reason = " ".join(str(error).split())[:160]
        raise BadInput(
            f"{spec} cannot be made: {reason}", "name another size as NAME@SIZE, or another model"
        ) from error
    return network


def _configuration(name: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise missing("timm", "timm") from error
    if not timm.is_model(name.partition(".")[0]):
        raise BadInput(f"timm has no model {name!r}", nearest(name.partition(".")[0], timm.list_models()))
    try:
        return timm.get_pretrained_cfg(name, allow_unregistered=False)
    except Exception as error:
        tags = [one.partition(".")[2] for one in timm.list_pretrained(f"{name.partition('.')[0]}.*")]
        raise BadInput(f"timm has no weights {name!r}", nearest(name.partition(".")[2], tags)) from error


def _classes(configuration: Any) -> tuple[tuple[str, ...], ...]:
    """Returns the names of the outputs, as far as timm tells: a label, and the number that WordNet has for it."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    labels = getattr(configuration, "label_names", None)
    if labels:
        return tuple((str(label),) for label in labels)
    subset = infer_imagenet_subset({"num_classes": configuration.num_classes})
    if subset is None:
        return ()
    info = ImageNetInfo(subset)
    found = []
    for at in range(info.num_classes()):
        found.append((*synonyms(info.index_to_description(at)), info.index_to_label_name(at)))
    return tuple(found)
