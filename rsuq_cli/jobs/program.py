"""A checkpoint's network as a program that torch loads by itself, without rsuq and without the network's own code.

Invariant: a program that is written gives the logits of the network that was certified with the checkpoint, in batches
of any size; where that cannot be shown, none is written, and one line says why.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from rsuq_cli.errors import RsuqError
from rsuq_cli.jobs.models import Described
from rsuq_cli.models.fingerprint import fingerprint_of, probes
from rsuq_cli.models.loading import LoadedModel, open_model
from rsuq_cli.results.rows import CheckpointRow, RunRow
from rsuq_cli.run.configuration import MEMBERS, recorded_fingerprint
from rsuq_cli.run.network.own import NETWORK
from rsuq_cli.spelling import path_of

PROGRAM, CONFIGURATION = "network.pt2", "configuration.json"
# Of the largest logit: what another order of additions changes.
_ROUNDING = 1e-4


class Exported(NamedTuple):
    """What leaves the house beside weights and card: a program (None where there can be none, and why), and settings.

    `preprocessing` is what the program does to an image that noise was added to.
    """

    program: bytes | None
    reason: str
    configuration: dict[str, Any]
    preprocessing: dict[str, Any]

    @property
    def configuration_text(self) -> str:
        """The settings as JSON."""
        return json.dumps(self.configuration, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def exported(checkpoint: CheckpointRow, found: Described, runs: Sequence[RunRow], weights: str) -> Exported:
    """Returns the program and the settings of a checkpoint; `weights` is what its file is called where it goes."""
    model: LoadedModel | None = None
    program, reason = None, ""
    shape, classes = _shape(checkpoint, found), _classes(checkpoint, found)
    try:
        if shape is None or not classes:
            reason = "the checkpoint does not say of which shape and classes it is"
        else:
            model = _opened(checkpoint, shape, len(classes))
            reason = _doubt(model, shape, checkpoint, runs)
            if not reason:
                program = program_of(model.module, shape)
    except RsuqError as error:
        reason = error.message
    except Exception as error:  # whatever torch.export raises for a network that it cannot follow
        reason = f"torch.export cannot follow the network ({type(error).__name__})"
    preprocessing = dict(model.preprocessing) if model else {}
    settings: dict[str, Any] = {
        "model": checkpoint.model,
        "dataset": checkpoint.dataset.rpartition("/")[2],
        "sigma": checkpoint.sigma,
        "objective": checkpoint.objective,
        "shape": shape,
        "class_names": classes,
        "weights": weights,
        "weights_sha256": checkpoint.sha256,
        "program": PROGRAM if program else None,
        "pixels": "float32 in [0, 1]",
        "training": found.metadata.config if found.metadata else {},
        "versions": found.metadata.versions if found.metadata else {},
    }
    if found.normalisation:
        settings["normalisation"] = found.normalisation._asdict()
    if preprocessing:
        settings["preprocessing"] = preprocessing
    return Exported(program, reason, settings, preprocessing)


def program_of(module: nn.Module, shape: tuple[int, int, int]) -> bytes:
    """Returns a module in eval mode as `torch.export.save` writes it, for batches of any size.

    Raises ValueError where what was written, read again, answers otherwise than the module; torch raises its own errors
    for a network that it cannot follow.
    """
    images = probes(shape)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        batch = torch.export.Dim("batch", min=1)
        traced = torch.export.export(module.eval(), (images[:2],), dynamic_shapes=({0: batch},))
        written = io.BytesIO()
        torch.export.save(traced, written)
        again = torch.export.load(io.BytesIO(written.getvalue())).module()
        expected = module(images)
        near = _ROUNDING * max(1.0, float(expected.abs().max()))
        alike = [torch.allclose(again(images), expected, rtol=0, atol=near)]
        alike.append(torch.allclose(again(images[:1]), expected[:1], rtol=0, atol=near))
    if not all(alike):
        raise ValueError("the program answers otherwise than the network")
    return written.getvalue()


def _opened(checkpoint: CheckpointRow, shape: tuple[int, int, int], classes: int) -> LoadedModel:
    place = checkpoint.configuration.get(NETWORK) or {}
    factory: Path | None = path_of(place["file"]) if "file" in place else None
    return open_model(
        checkpoint.model, shape=shape, num_classes=classes, weights=path_of(checkpoint.file), file=factory
    )  # fmt: skip


def _doubt(model: LoadedModel, shape: tuple[int, int, int], checkpoint: CheckpointRow, runs: Sequence[RunRow]) -> str:
    """Returns why this may not be the network that was certified, "" where it is."""
    own = fingerprint_of(model.module, shape)
    # An ensemble's answers are those of all its networks.
    known = [recorded_fingerprint(one.configuration) for one in runs if not one.configuration.get(MEMBERS)]
    if any(one is not None and not one.agrees(own) for one in (*known, recorded_fingerprint(checkpoint.configuration))):
        return "the network computes something else than when it was trained or certified"
    if model.normalisation is not None and not model.preprocessing and all(one is None for one in known):
        return "the weights hold no normalisation, and no run says which it was"
    return ""


def _shape(checkpoint: CheckpointRow, found: Described) -> tuple[int, int, int] | None:
    sides = found.metadata.shape if found.metadata else checkpoint.configuration.get("shape")
    if not sides:
        return None
    channels, height, width = (int(side) for side in sides)
    return channels, height, width


def _classes(checkpoint: CheckpointRow, found: Described) -> list[str]:
    if found.metadata:
        return list(found.metadata.class_names)
    return [str(name) for name in checkpoint.configuration.get("class_names", [])]
