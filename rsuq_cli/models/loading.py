"""One way to a model that is ready to certify: named or the user's own, weights in, checked by a forward pass.

Invariant: an opened model is in eval mode, needs no gradients, and has shown that it maps `[2, C, H, W]` to finite
logits `[2, num_classes]`, the same again each time, and each row from its own input alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rsuq_cli.errors import BadInput, RsuqError
from rsuq_cli.models.custom import CustomModel, is_custom, load_factory
from rsuq_cli.models.library import LibraryModel, from_library
from rsuq_cli.models.network import logits_of, pass_failed
from rsuq_cli.models.normalise import Normalise
from rsuq_cli.models.parts import weights_sha256
from rsuq_cli.models.spec import is_library
from rsuq_cli.models.statistics import NONE, Statistics
from rsuq_cli.models.weights import Fit, StateDict, load_into, read_weights
from rsuq_cli.models.zoo import Shape, build

# Of the largest logit: far below what tells answers apart, far above what the order of additions changes.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class LoadedModel:
    """A model that can be certified, and what identifies the function it computes.

    `weights_sha256` is the hash of the weights file; for a factory's own weights, of its state dict and source file
    together (its source may hold constants). `source_sha256` is the hash of a factory's file, "" for the zoo. `source`
    says where the weights come from, `source_file` where a factory lies; `metadata` is what the weights file says about
    itself. `normalisation` is the one in force where a zoo model's weights hold none, else None. `notes` are lines that
    whoever named the weights should read. `preprocessing` is what the library of a model does to an image that noise
    was added to, and `class_synonyms` are all names of every output where it tells them.
    """

    module: nn.Module
    spec: str
    weights_sha256: str
    source_sha256: str
    source: str
    metadata: dict[str, Any]
    normalisation: Statistics | None = None
    notes: tuple[str, ...] = ()
    source_file: Path | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    class_synonyms: tuple[tuple[str, ...], ...] = ()


def open_model(
    spec: str,
    *,
    shape: Shape,
    num_classes: int,
    weights: Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    file: Path | None = None,
    seed: int = 0,
) -> LoadedModel:
    """Returns the model `spec` (a name of the zoo, of a library, or a factory) with its weights, on the CPU.

    A library's model without a file has the weights that its library publishes, and answers with their classes.
    `mean` and `std` per channel stand in where a zoo model's weights file holds no normalisation. `file` is where a
    factory's source was when the spec was recorded, `seed` that of what a factory draws. Raises BadInput for
    an unknown name, a factory that fails, a zoo model without weights, weights of another architecture, class count
    or input shape, and a network whose output is not `[2, num_classes]`.
    """
    if is_library(spec):
        return _open_library(spec, shape, num_classes, weights, mean, std)
    custom: CustomModel | None = None
    if is_custom(spec):
        custom = load_factory(spec, shape=shape, num_classes=num_classes, seed=seed, file=file)
        module = custom.module
    else:
        module = build(spec, shape=shape, num_classes=num_classes, mean=mean, std=std)
    source_sha256, source_file = (custom.source_sha256, custom.source_file) if custom else ("", None)
    metadata: dict[str, Any] = {}
    fit = Fit(normalised=True, notes=())
    if weights is not None:
        state = read_weights(weights)
        _check_metadata(state, weights, shape, num_classes)
        fit = load_into(module, state, weights)
        digest, source, metadata = weights_sha256(weights), str(weights), state.metadata
    elif custom is not None:
        digest, source = content_sha256(module, salt=source_sha256), str(custom.source_file or spec)
    else:
        raise BadInput(f"{spec} has no weights", f"train it with rsuq train --model {spec}, or give --weights")
    module.to("cpu").eval().requires_grad_(False)
    check_output(module, spec, shape, num_classes)
    outside = Statistics(tuple(mean), tuple(std)) if mean and std else NONE.for_channels(shape[0], shape[0])
    normalisation = None if custom or fit.normalised else outside
    return LoadedModel(module, spec, digest, source_sha256, source, metadata, normalisation, fit.notes, source_file)


def _open_library(
    spec: str, shape: Shape, num_classes: int, file: Path | None, mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> LoadedModel:  # fmt: skip
    """Returns a library's model: with its own weights, or those of a file, of the data's classes or of the library's.

    The normalisation is the library's, unless the file holds another or `mean` and `std` are given with it.
    """
    if file is None:
        model, fit, metadata = from_library(spec, shape=shape, pretrained=True), Fit(True, ()), {}
        digest, source = content_sha256(model.module), spec
    else:
        state = read_weights(file)
        _check_metadata(state, file, shape, num_classes)
        statistics = Statistics(tuple(mean), tuple(std)) if mean and std else None
        model, fit = _fitting(spec, shape, num_classes, state, file, statistics)
        digest, source, metadata = weights_sha256(file), str(file), dict(state.metadata)
    module, known = model.module.to("cpu").eval().requires_grad_(False), model.prescription
    synonyms: tuple[tuple[str, ...], ...] = ()
    if known.classes and model.outputs == known.outputs and (file is None or model.outputs != num_classes):
        synonyms = known.classes
        metadata["class_names"] = list(known.class_names)
    check_output(module, spec, shape, len(synonyms) or num_classes)
    layer = module.get_submodule("normalise")
    assert isinstance(layer, Normalise)
    return LoadedModel(
        module, spec, digest, "", source, metadata, None if fit.normalised else layer.statistics, fit.notes,
        preprocessing=model.recorded(), class_synonyms=synonyms,
    )  # fmt: skip


def _fitting(
    spec: str, shape: Shape, num_classes: int, state: StateDict, file: Path, statistics: Statistics | None
) -> tuple[LibraryModel, Fit]:
    """Returns the model that weights fit: with the data's number of classes, or with the library's own."""
    model = from_library(spec, shape=shape, outputs=num_classes, statistics=statistics)
    try:
        return model, load_into(model.module, state, file)
    except BadInput:
        if model.prescription.outputs == num_classes:
            raise
        own = from_library(spec, shape=shape, statistics=statistics)
        try:
            return own, load_into(own.module, state, file)
        except BadInput:
            pass
        raise


def content_sha256(module: nn.Module, *, salt: str = "") -> str:
    """Returns the hex sha256 over names, types, shapes and values of a state dict, and `salt`."""
    digest = hashlib.sha256(salt.encode())
    for name, value in sorted(module.state_dict().items()):
        for part in _content(name, value):
            digest.update(part)
    return digest.hexdigest()


def _content(name: str, value: Any) -> Iterator[bytes]:
    """Yields what identifies an entry of a state dict; quantised layers pack several tensors into one."""
    if isinstance(value, (tuple, list)):
        for place, part in enumerate(value):
            yield from _content(f"{name}[{place}]", part)
    elif not isinstance(value, torch.Tensor):
        yield f"{name} {value!r}\n".encode()
    elif value.is_quantized:
        # Its numbers with their scales; the whole numbers alone could stand for others.
        yield from _content(f"{name} {value.dtype}", value.dequantize())
    else:
        tensor = value.detach().cpu()
        # The layouts of sparse tensors have no memory of their own to read.
        tensor = (tensor if tensor.layout is torch.strided else tensor.to_dense()).contiguous()
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode()
        yield tensor.reshape(-1).view(torch.uint8).numpy().tobytes()


def check_output(
    module: nn.Module, spec: str, shape: Shape, num_classes: int, device: torch.device | str = "cpu"
) -> None:
    """Raises BadInput unless the module is a classifier of single inputs, as every certificate assumes.

    It has to map `[2, C, H, W]` to floating logits `[2, num_classes]`, finite for one input at least, and the logits of
    an input must be the same again, whatever the input beside it: noise samples are independent only if their answers
    are.
    """
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
    dark, bright = torch.zeros_like(image), torch.ones_like(image)
    logits = answer_of(module, spec, torch.stack([image, dark]))
    if logits.ndim != 2 or logits.shape[0] != 2:
        raise BadInput(
            f"{spec}: {_sizes(2, *shape)} gave an output of {_sizes(*logits.shape)}, not {_sizes(2, num_classes)}",
            "return [N, classes]",
        )
    if logits.shape[1] != num_classes:
        raise BadInput(
            f"{spec} answers with {logits.shape[1]} classes, and the data have {num_classes}",
            "give the model or the data set of the same classes",
        )
    if not logits.is_floating_point() or not logits.isfinite().all(dim=1).any():
        raise BadInput(f"{spec}: the logits are not finite floating-point numbers", "check its weights")
    near = _ROUNDING * max(1.0, float(logits.abs().nan_to_num(0.0, 0.0).max()))
    again = answer_of(module, spec, torch.stack([image, dark]))
    if not torch.allclose(again, logits, rtol=0, atol=near, equal_nan=True):
        raise BadInput(
            f"{spec} answers differently each time", "take dropout, or what else is random, out of eval mode"
        )
    beside = answer_of(module, spec, torch.stack([image, bright]))[0]
    if not torch.allclose(beside, logits[0], rtol=0, atol=near, equal_nan=True):
        raise BadInput(
            f"{spec}: the answer to an input depends on the others in its batch",
            "batch norm needs its running statistics in eval mode",
        )


def answer_of(module: nn.Module, spec: str, images: torch.Tensor) -> torch.Tensor:
    """Returns the output of a forward pass, copied; raises BadInput where it fails or gives no tensor."""
    try:
        with torch.inference_mode():
            logits = module(images)
    except RsuqError:
        raise
    except Exception as error:  # whatever the network raises
        raise pass_failed(module, spec, images, error) from error
    # Some write every answer into the same memory, where the next one would stand in the place of this one.
    return logits_of(logits, spec).detach().clone()


def _sizes(*sizes: int) -> str:
    return f"[{', '.join(map(str, sizes))}]"


def _check_metadata(state: StateDict, path: Path, shape: Shape, num_classes: int) -> None:
    """Raises BadInput where a checkpoint of ours says that it belongs to other data.

    The weights alone do not tell: a network with global pooling takes images of any size.
    """
    names = state.metadata.get("class_names")
    if isinstance(names, list) and len(names) != num_classes:
        raise BadInput(
            f"{path} was trained for {len(names)} classes, and the data have {num_classes}", "give data of its classes"
        )
    trained = state.metadata.get("shape")
    if isinstance(trained, list) and tuple(trained) != shape:
        theirs, ours = ("×".join(map(str, sides)) for sides in (trained, shape))
        raise BadInput(f"{path} was trained on inputs of {theirs}, and the data are {ours}", "give data of its shape")
