"""A stored configuration, read: which of its parts make a run the one that it is, and where a network was.

Invariant: what only helps to find things again is no part of what makes a run, so that a moved file, or a run from
before something was recorded, is the same run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rsuq_cli.fingerprint import Fingerprint
from rsuq_cli.run.data import IMAGE_SIZE
from rsuq_cli.run.network.recorded_normalisation import NORMALISATION, tells_apart

# What the network computes.
FINGERPRINT = "fingerprint"
# What the images that calibrate look like; their numbers alone do not tell that a file was replaced.
CALIBRATION_IMAGES = "calibration_images_sha256"
# Which models the further networks of an ensemble are, and where their weights were; their hashes are the predictor's.
MEMBERS = "members"
# Which denoiser it is, and where it was; its hash is the predictor's.
DENOISER = "denoiser"
# The hash of what a factory made as the denoiser: weights that it loads are no part of its source.
DENOISER_CONTENT = "denoiser_content_sha256"
# The rates of every network's own dropout layers, which its answers without masks do not show.
DROPOUT_RATES = "dropout_rates"
# The hashes of the files of further networks that are a user's own, "" for those of the zoo.
MEMBERS_SOURCE = "members_source_sha256"
# Where the file of a fitted rejecter was; its hash is the predictor's.
REJECTER_FILE = "rejecter_file"
# What made the noise, absent for numpy's streams.
NOISE_GENERATOR = "noise_generator"
# Where the source of a user's own network was.
FACTORY_FILE = "factory_file"


def hashed_part(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the evidence depends on."""
    # The size of the images is in the data set's name, and what a file holds counts, not where it lies; the usual
    # normalisation was not always recorded.
    ignored = {IMAGE_SIZE, FACTORY_FILE, MEMBERS, REJECTER_FILE, DENOISER}
    ignored |= set() if tells_apart(configuration) else {NORMALISATION}
    return without(configuration, *ignored)


def without(configuration: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Returns a configuration without some of its parts."""
    return {name: value for name, value in configuration.items() if name not in names}


def recorded_fingerprint(configuration: Mapping[str, Any]) -> Fingerprint | None:
    """Returns the answers to the probes that a configuration holds; None where it is from before they were recorded."""
    stored = configuration.get(FINGERPRINT)
    return None if stored is None else Fingerprint.of_json(stored)
