"""The file of a fitted rejecter: what it computes, what it was fitted for, and the images that it saw.

Invariant: a rejecter is known by the bytes of its file, and works only for the networks, asked in the way, that it was
fitted for; what it was fitted on calibrates no threshold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from rsuq_cli.datasets.contents import SeenImages
from rsuq_cli.datasets.dataset import Dataset, Split
from rsuq_cli.datasets.fitted import FittedDataset
from rsuq_cli.errors import BadInput
from rsuq_cli.models.rejecter_file import RejecterFile
from rsuq_cli.run.unseen import FEWEST, Unseen
from rsuq_cli.uncertainty.predictor import PREDICTOR, Predictor, predictor_of
from rsuq_cli.uncertainty.rejecter import KINDS, Rejecter

FORMAT = "rsuq rejecter 1"


@dataclass(frozen=True)
class FittedRejecter:
    """A rejecter as its file holds it.

    `predictor` is what a configuration records of what is asked, `weights_sha256` the first network's; `seen` are the
    packed hashes of the images that it was fitted on. `price` and `toll` are those of a rejected right sample and of
    any sample, `coverage` the share of samples that it was fitted to answer; `gain` and `cost` are what the fit expects
    of it, of images that it did not see. Of the kind "temperature", the coefficients are those of the passes.
    """

    dataset: str
    sigma: float
    classes: int
    weights_sha256: str
    predictor: dict[str, Any]
    coefficients: tuple[float, ...]
    bias: float
    seen: str
    price: float
    toll: float
    coverage: float
    gain: float
    cost: float
    kind: str = "linear"

    def to_bytes(self) -> bytes:
        """Returns the file: JSON with sorted keys, so that equal rejecters have equal files."""
        return (json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, allow_nan=False) + "\n").encode()

    def check_asked(self, predictor: Predictor) -> None:
        """Raises BadInput where the networks are asked in another way, or others beside the first, than it knows."""
        own = predictor_of(self.predictor)
        if predictor.unfitted != own:
            raise BadInput(
                f"the rejecter was fitted for {own}, and asked for is {predictor.unfitted}",
                "give --views, --members, --mc-dropout, --passes and --decide as for rsuq fit-rejecter",
            )

    def check_network(self, weights_sha256: str, which: str, classes: int) -> None:
        """Raises BadInput where it was fitted for other weights or classes."""
        if (weights_sha256, classes) != (self.weights_sha256, self.classes):
            raise BadInput(
                f"the rejecter was fitted for other weights than those of {which}",
                "`rsuq fit-rejecter` with the same options fits one for these",
            )

    def saw(self, inputs: Split) -> str:
        """Returns a line where it was fitted on some of the inputs, "" where it was not."""
        seen = SeenImages.unpacked(self.seen)
        count = 0 if seen is None else int(seen.among(inputs.images).sum())
        return (
            f"{count:,} of the {len(inputs):,} inputs are among those that the rejecter was fitted on" if count else ""
        )

    def other_sigma(self, sigma: float) -> str:
        """Returns a caution where the noise is not the one that it was fitted under, "" where it is."""
        if sigma == self.sigma:
            return ""
        return f"the rejecter was fitted at sigma {self.sigma:g}, and this is {sigma:g}: it may reject what need not be"


@dataclass(frozen=True)
class LoadedRejecter:
    """A rejecter as it is used: what its file holds, what it computes, and where the file is."""

    fitted: FittedRejecter
    computes: Rejecter
    file: Path


def read_rejecter(place: RejecterFile) -> LoadedRejecter:
    """Returns the rejecter of a file; raises BadInput where it is gone, another one, or none."""
    try:
        content = place.file.read_bytes()
    except OSError as error:
        raise BadInput(f"the rejecter {place.file} cannot be read: {error.strerror}", "put it back") from error
    if hashlib.sha256(content).hexdigest() != place.sha256:
        raise BadInput(f"the rejecter {place.file} is not the file that it was", "bring the old file back")
    fitted = _parsed(content, str(place.file))
    computes = Rejecter.of(fitted.coefficients, fitted.bias, place.sha256, fitted.kind)
    return LoadedRejecter(fitted, computes, place.file)


def _parsed(content: bytes, where: str) -> FittedRejecter:
    try:
        stored: Mapping[str, Any] = json.loads(content)
        if stored["format"] != FORMAT:
            raise ValueError(stored["format"])
        known = {one.name: stored[one.name] for one in fields(FittedRejecter) if one.name != "kind"}
        known["kind"] = stored.get("kind", "linear")
        if known["kind"] not in KINDS:
            raise ValueError(known["kind"])
        known["coefficients"] = tuple(float(one) for one in known["coefficients"])
        fitted = FittedRejecter(**known)
        numbers = np.array([*fitted.coefficients, fitted.bias], dtype=np.float64)
        if not np.isfinite(numbers).all() or SeenImages.unpacked(fitted.seen) is None:
            raise ValueError("numbers that are none")
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{where} is no rejecter of this release of rsuq", "`rsuq fit-rejecter` writes one") from error
    return fitted


def asked_for(predictor: Predictor) -> dict[str, Any]:
    """Returns what a file holds of the predictor that a rejecter is fitted for."""
    recorded = predictor.unfitted.recorded()
    return {PREDICTOR: recorded[PREDICTOR]} if recorded else {}


def without_fitted(dataset: Dataset, fitted: FittedRejecter) -> Unseen:
    """Returns the data set without the calibration images that the rejecter was fitted on, and a line about them.

    Where too few others are there, nothing calibrates.
    """
    held_out = dataset.calibration_indices
    seen = SeenImages.unpacked(fitted.seen)
    assert seen is not None  # a file that is read has them
    spoiled = seen.among(dataset.load("calibration").images) if len(held_out) else np.zeros(0, dtype=np.bool_)
    if not spoiled.any():
        return Unseen(dataset)
    left = held_out[~spoiled]
    count = f"the rejecter was fitted on {int(spoiled.sum()):,} of the {len(held_out):,} calibration images"
    if len(left) < FEWEST:
        return Unseen(
            FittedDataset(dataset, calibration=left[:0]), f"{count}: too few others are left to calibrate with"
        )
    return Unseen(
        FittedDataset(dataset, calibration=left), f"{count}: thresholds are calibrated on the other {len(left):,}"
    )
