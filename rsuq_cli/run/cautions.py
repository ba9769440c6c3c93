"""What should be known of a network before hours are spent on it: each a line, "" where there is nothing to say.

Invariant: nothing here changes what is computed; it is said on stderr and kept with the run.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.datasets.fitted import original
from rsuq_cli.run.request import Sources
from rsuq_cli.sampling.engine import Answers

Array = npt.NDArray[Any]
PROBABILITIES = (
    "the outputs look like probabilities, and logits are expected: every uncertainty measure is of the softmax of a "
    "softmax; return logits (drop the softmax)"
)
_NEAR_CHANCE = "the accuracy under noise"
# Under these names training scripts keep the noise that they trained with, in pixel units.
_SIGMA_NAMES = ("sigma", "noise_sd", "noise_std", "noise_sigma", "noise_level")
# Released checkpoints of Cohen et al. 2019, and of what descends from them, lie in folders such as `noise_0.25`.
_SIGMA_FOLDER = re.compile(r"(?:^|[/\\_-])(?:noise|sigma)[_=-]?(\d+\.\d+)(?=[/\\_-])")
# Two noise levels are the same within this share: files keep them in few digits, or as 64/255.
_SAME_SIGMA = 0.02
_LARGEST = 4.0
# Labelled inputs below which nothing is said of the accuracy, and how far above chance it has to be.
FEWEST = 20
_DEVIATIONS = 3.0


def other_sigma(metadata: Mapping[str, Any], source: str, sigma: float) -> str:
    """Returns a line where weights from `source` say that they were trained at another noise level than `sigma`."""
    trained = _trained_sigma(metadata, source)
    if trained is None or abs(trained - sigma) <= _SAME_SIGMA * sigma:
        return ""
    said = "without noise" if trained == 0 else f"at sigma {trained:g}"
    hint = "" if trained == 0 else f"; --sigma {trained:g} is its own"
    return f"the weights say that they were trained {said}, and are certified at sigma {sigma:g}{hint}"


def other_data(name: str, metadata: Mapping[str, Any], which: str) -> str:
    """Returns a line where the weights say that they are of other data; a folder that moved is the same."""
    trained = metadata.get("dataset")
    if not isinstance(trained, str) or trained.rpartition("/")[2] == name.rpartition("/")[2]:
        return ""
    return f"{which} was trained on {trained}, and these are {name}"


def _trained_sigma(metadata: Mapping[str, Any], source: str) -> float | None:
    for name in _SIGMA_NAMES:
        value = metadata.get(name)
        if isinstance(value, str):
            value = float(value) if re.fullmatch(r"\d+(\.\d*)?", value) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 256:
            # A level above the range of pixels is one of 0 to 255.
            return value / 255 if value > _LARGEST else float(value)
    found = _SIGMA_FOLDER.findall(source)
    return float(found[-1]) if found else None


def calibration_warnings(answers: Answers, labels: Array, sources: Sources, sigma: float) -> tuple[str, ...]:
    """Returns what noisy copies of labelled inputs `[N]`, as many of each, have shown of a network."""
    warnings = [PROBABILITIES] if answers.are_probabilities else []
    # One copy of each input: copies of one are no independent trials.
    copies = answers.classes.reshape(len(labels), -1)
    if is_near_chance(labels, copies[:, 0]):
        right = float((copies == labels[:, None]).mean())
        warnings.append(
            f"{_NEAR_CHANCE} of sigma {sigma:g} is near chance ({right:.1%} of the noisy calibration inputs "
            f"are right): there is little to certify; {_ways_out(sources, sigma)}"
        )
    return tuple(warnings)


def votes_elsewhere(classes: Array, dataset: Dataset) -> tuple[str, ...]:
    """Returns which share of answers `[N]` name a class that only the network knows; nothing where it has none."""
    known = len(original(dataset).class_names)
    if known == dataset.num_classes:
        return ()
    own = [dataset.class_names.index(name) for name in original(dataset).class_names]
    share = float(np.mean(~np.isin(classes[classes >= 0], own))) if (classes >= 0).any() else 1.0
    return (
        f"{share:.1%} of the votes of noisy calibration inputs are for classes that the data have not, "
        f"{dataset.num_classes - known:,} of {dataset.num_classes:,}: they are wrong votes",
    )


def of_network(warnings: Sequence[str]) -> tuple[str, ...]:
    """Returns those of a run's warnings that are about its network, and hold wherever its evidence is used again."""
    return tuple(one for one in warnings if one == PROBABILITIES or one.startswith((_NEAR_CHANCE, "normalisation: ")))


def is_of_chance(warning: str) -> bool:
    """Returns whether a warning says that the accuracy under noise is near chance."""
    return warning.startswith(_NEAR_CHANCE)


def _ways_out(sources: Sources, sigma: float) -> str:
    """Returns what can be done about a network that noise makes useless, as commands."""
    dataset = ["--dataset", sources.dataset] if sources.dataset != "digits" else []
    size = ["--image-size", str(sources.image_size)] if sources.image_size else []
    train = shlex.join(["rsuq", "train", "--model", sources.model, *dataset, *size, "--sigma", f"{sigma:g}"])
    ways = [f"train the network under it: {train}"]
    if not sources.denoiser:
        named = sources.checkpoint or sources.weights or sources.model
        front = [*dataset, *size, "--sigma", f"{sigma:g}"]
        denoise = shlex.join(["rsuq", "train", "--denoiser", "unet", "--for", str(named), *front])
        ways.append(f"put a denoiser in front of it: {denoise}, then --denoiser ID")
    if sources.pretrained:
        ways.append(f"fine-tune the published weights: {train} --pretrained")
    elif sources.weights or sources.checkpoint:
        ways.append(
            f"fine-tune these weights: {train} --init {shlex.quote(str(sources.weights or sources.checkpoint))}"
        )
    return "; ".join([*ways, "or name weights that were trained under noise: --weights FILE, --checkpoint ID"])


def is_near_chance(labels: Array, classes: Array) -> bool:
    """Returns whether answers `[N]` are right no more often than answers that know nothing of the labels `[N]`.

    They are compared with the same answers in random order (three standard deviations of the number that is right), and
    with the commonest label as the only answer. A class below 0 is no answer. Too few labels, or of one class alone,
    tell nothing.
    """
    count = len(labels)
    size = int(max(labels.max(initial=0), classes.max(initial=0))) + 1
    theirs, ours = np.bincount(labels, minlength=size), np.bincount(classes[classes >= 0], minlength=size)
    if count < FEWEST or theirs.max() == count:
        return False
    right = int((labels == classes).sum())
    # Mean and variance of the matches over all orders of the answers (Hoeffding 1951).
    both = (theirs * ours).astype(float)
    total = both.sum()
    variance = (total - (both * (theirs + ours)).sum() / count + (total / count) ** 2) / (count - 1)
    return bool(right <= theirs.max() or right - total / count <= _DEVIATIONS * math.sqrt(max(variance, 0.0)))
