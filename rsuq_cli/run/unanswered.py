"""Answers that are none, or not of one input: said of a run, refused, or withdrawn.

Invariant: a network that says nothing about most of what it is shown, or something else in other company, is no
classifier to certify, and nothing stays stored of it. A smaller share without an answer is in the denominators of every
radius, and among what is known about the run.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from rsuq_cli.errors import BadInput
from rsuq_cli.results.database import Database
from rsuq_cli.results.deletion import withdraw_inputs
from rsuq_cli.results.runs import answer_count
from rsuq_cli.sampling.engine import Engine, Indices
from rsuq_cli.sampling.watch import Refuted

# Above this share of noisy inputs without an answer there is nothing to certify.
MOST_UNANSWERED = 0.9


def check_answers(engine: Engine, images: torch.Tensor, indices: Indices) -> None:
    """Raises BadInput where the model gives no answer to nearly all noisy copies of some of the images.

    Raises Refuted where it does not answer for one input at a time.
    """
    answered = engine.trial(images, indices)
    refuse_silence(len(answered) - int(answered.sum()), len(answered))


def refuse_silence(unanswered: int, samples: int) -> None:
    """Raises BadInput where nearly all of the samples had no answer."""
    if unanswered > MOST_UNANSWERED * samples:
        raise BadInput(
            f"the model's logits are not finite for {unanswered:,} of {samples:,} noisy inputs: there is nothing to "
            "certify",
            "noise takes pixels below 0 and above 1: look for a power, a root or a logarithm of them",
        )


def refuse_silent_calibration(values: npt.NDArray[np.float32]) -> None:
    """Raises BadInput where nearly all values of a measure on noisy calibration inputs are infinite: no answers."""
    refuse_silence(int(np.isinf(values).sum()), len(values))


def unanswered_warnings(db: Database, run_id: int) -> list[str]:
    """Returns what should be known about a finished run whose samples did not all have an answer; else nothing."""
    found = answer_count(db, run_id)
    return [silence(found.unanswered, found.samples, found.touched, found.inputs)] if found.unanswered else []


def withdraw(db: Database, run_id: int, refuted: Refuted) -> str:
    """Deletes what was sampled of a run whose network does not answer for one input at a time; returns what to record.

    None of its certificates holds, also those that were made before it was noticed.
    """
    withdraw_inputs(db, run_id)
    return f"{refuted.message}: what was sampled proves nothing, and was deleted"


def silence(unanswered: int, samples: int, touched: int, inputs: int) -> str:
    """Returns how many samples, of how many inputs, had no answer, and how they were counted."""
    share = max(unanswered / samples, 1e-6)
    return (
        f"{share:.2g} of the samples ({unanswered:,} of {samples:,}, on {touched:,} of {inputs:,} inputs) had logits "
        "that are not finite: they count as uncertain, and against every class where nothing is rejected"
    )
