"""A network behind a denoiser: what is certified is their composition (Salman et al. 2020, arXiv 2003.01908).

Invariant: the denoiser is a fixed function of one noisy image. It gives an image of the same shape, the same again each
time, each from its own input alone: noise of its own would be no part of the certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn

from rsuq_cli.errors import BadInput
from rsuq_cli.models.custom import CustomModel, kept_modules, load_factory
from rsuq_cli.models.denoiser import DENOISERS, Denoiser
from rsuq_cli.models.denoising import build_denoiser
from rsuq_cli.models.loading import LoadedModel, answer_of, content_sha256
from rsuq_cli.models.partly_trained import PartlyTrained
from rsuq_cli.models.parts import weights_sha256
from rsuq_cli.models.weights import load_into, read_weights
from rsuq_cli.models.zoo import Shape

# Of the largest pixel: far below what matters, far above what the order of additions changes.
_ROUNDING = 1e-4


class Denoised(PartlyTrained):
    """Maps noisy images `[N, C, H, W]` to what the network says of them without the noise that the denoiser finds.

    Only the denoiser is ever trained: the network stays as it is, in eval mode.
    """

    def __init__(self, denoiser: nn.Module, network: nn.Module) -> None:
        super().__init__(network)
        self.denoiser = denoiser

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Returns the network's answers; gradients pass through both, and images stay as they are."""
        return cast("torch.Tensor", self.network(self.denoiser(images.clone())))  # some write into their input

    @property
    def kept(self) -> nn.Module:
        """The denoiser."""
        return self.denoiser


@dataclass(frozen=True)
class LoadedDenoiser:
    """A denoiser that can be put in front of a network: its module, how it is found again, what its file says.

    `content_sha256` is that of what a factory made, weights that it loads included; "" where a file holds the weights.
    """

    module: nn.Module
    denoiser: Denoiser
    metadata: Mapping[str, Any]
    content_sha256: str = ""


def open_denoiser(wanted: Denoiser, shape: Shape) -> LoadedDenoiser:
    """Returns a denoiser for images of `shape` = (C, H, W), in eval mode on the CPU.

    Raises BadInput where it is not there, is another than `wanted.sha256` says, draws its weights, or is no fixed
    function from images to images of their shape.
    """
    opened = _of_file(wanted, shape) if wanted.spec in DENOISERS else _of_factory(wanted, shape)
    if wanted.sha256 != opened.denoiser.sha256:
        raise BadInput(
            f"the denoiser {wanted.spec} is not what it was: sha256 {opened.denoiser.sha256[:12]}, "
            f"recorded {wanted.sha256[:12]}",
            "bring the old one back, or certify anew",
        )
    opened.module.to("cpu").eval().requires_grad_(False)
    check_denoiser(opened.module, wanted.spec, shape)
    return opened


def behind(model: LoadedModel, denoiser: LoadedDenoiser | None) -> LoadedModel:
    """Returns the model behind a denoiser; the model itself where there is none."""
    return model if denoiser is None else replace(model, module=Denoised(denoiser.module, model.module).eval())


def check_denoiser(module: nn.Module, spec: str, shape: Shape) -> None:
    """Raises BadInput unless the module maps `[2, C, H, W]` to finite images of that shape, the same again, and each
    from its own input alone.
    """
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    dark, bright = torch.zeros_like(image), torch.ones_like(image)
    found = answer_of(module, spec, torch.stack([image, dark]))
    if found.shape != (2, *shape):
        sizes = ", ".join(map(str, found.shape))
        raise BadInput(
            f"the denoiser {spec} makes of [2, {', '.join(map(str, shape))}] a tensor of [{sizes}]",
            "return images of the shape that is given",
        )
    if not found.is_floating_point() or not found.isfinite().all():
        raise BadInput(f"the denoiser {spec} returns what are no finite numbers", "check its weights")
    near = _ROUNDING * max(1.0, float(found.abs().max()))
    if not torch.allclose(answer_of(module, spec, torch.stack([image, dark])), found, rtol=0, atol=near):
        raise BadInput(
            f"the denoiser {spec} answers differently each time",
            "noise of its own is no part of a certificate: take it out, or make it a function of the image",
        )
    beside = answer_of(module, spec, torch.stack([image, bright]))[0]
    if not torch.allclose(beside, found[0], rtol=0, atol=near):
        raise BadInput(
            f"the denoiser {spec}: what it makes of an image depends on the others in its batch",
            "batch norm needs its running statistics in eval mode",
        )


def _of_file(wanted: Denoiser, shape: Shape) -> LoadedDenoiser:
    assert wanted.file is not None
    if not wanted.file.is_file():
        raise BadInput(f"the weights of the denoiser are not there: {wanted.file}", "put them back, or name others")
    module = build_denoiser(wanted.spec, shape[0])
    state = read_weights(wanted.file)
    trained = state.metadata.get("shape")
    if isinstance(trained, list) and trained[:1] != [shape[0]]:
        raise BadInput(
            f"{wanted.file.name} was trained on images of {trained[0]} channels, and these have {shape[0]}",
            "give data of its channels",
        )
    load_into(module, state, wanted.file)
    return LoadedDenoiser(module, wanted._replace(sha256=weights_sha256(wanted.file)), state.metadata)


def _of_factory(wanted: Denoiser, shape: Shape) -> LoadedDenoiser:
    def made(seed: int) -> CustomModel:
        return load_factory(wanted.spec, shape=shape, num_classes=0, seed=seed, file=wanted.factory_file)

    first = made(0)
    content = content_sha256(first.module)
    with kept_modules():
        again = content_sha256(made(1).module)
    if again != content:
        raise BadInput(
            f"the denoiser {wanted.spec} is untrained: its factory makes other weights under every seed",
            "have it load its weights, or train one: rsuq train --denoiser dncnn --for CHECKPOINT",
        )
    known = wanted._replace(sha256=first.source_sha256, factory_file=first.source_file)
    return LoadedDenoiser(first.module, known, {}, content)
