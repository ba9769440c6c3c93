"""What a run is recorded with: everything that its evidence depends on, and the row that holds it.

Invariant: runs with the same configuration have the same evidence, so a command finds the run that it goes on with by
the hash of its configuration. Alpha, thresholds and the batch size of a plain forward pass on the CPU are not among it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from rsuq_cli.certificates.evidence import MeasureEdges
from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.models.checkpoints import library_versions
from rsuq_cli.models.denoised import LoadedDenoiser
from rsuq_cli.models.denoiser import Denoiser
from rsuq_cli.models.loading import LoadedModel
from rsuq_cli.models.member import Member
from rsuq_cli.models.members import dropout_rates
from rsuq_cli.models.monte_carlo import MonteCarlo
from rsuq_cli.models.rejecter_file import RejecterFile
from rsuq_cli.results.rows import NewRun, RunRow
from rsuq_cli.run.configuration import (
    CALIBRATION_IMAGES,
    DENOISER,
    DENOISER_CONTENT,
    DROPOUT_RATES,
    FACTORY_FILE,
    FINGERPRINT,
    MEMBERS,
    MEMBERS_SOURCE,
    NOISE_GENERATOR,
    REJECTER_FILE,
    hashed_part,
)
from rsuq_cli.run.data import IMAGE_SIZE
from rsuq_cli.run.network import preprocessing
from rsuq_cli.run.network.recorded_normalisation import recorded
from rsuq_cli.run.request import CertifyRequest
from rsuq_cli.run.sources import Opened
from rsuq_cli.sampling.engine import Engine
from rsuq_cli.sampling.noise import BLOCK
from rsuq_cli.spelling import path_of, spelled
from rsuq_cli.uncertainty.predictor import PREDICTOR, Predictor, predictor_of
from rsuq_cli.uncertainty.thresholds import SAMPLES

# Which images calibrated.
CALIBRATION = "calibration_indices_sha256"


def configuration_of(
    kind: Literal["certify", "ood"], request: CertifyRequest, opened: Opened, engine: Engine, **own: Any
) -> dict[str, Any]:
    """Returns everything that the evidence of a run depends on; `own` is what only runs of this kind have."""
    return {
        "kind": kind,
        "model": opened.model.spec,
        "weights_sha256": opened.model.weights_sha256,
        "source_sha256": opened.model.source_sha256,
        FINGERPRINT: opened.fingerprint.to_json(),
        **recorded(opened.model.normalisation),
        **preprocessing.recorded(opened.model.preprocessing),
        "dataset": opened.dataset_name,
        IMAGE_SIZE: opened.image_size,
        "split": request.split,
        CALIBRATION: calibration_sha256(opened.dataset),
        CALIBRATION_IMAGES: opened.dataset.load("calibration").sha256(),
        "calibration_samples": SAMPLES,
        "sigma": request.sigma,
        "n0": request.n0,
        "n": request.n,
        "seed": request.seed,
        "noise": request.noise,
        **_noise(engine),
        "preparation": asdict(engine.preparation),
        **({"batch_size": engine.batch_size} if _depends_on_batches(engine) else {}),
        # Not which one: evidence of a run comes from one kind of device.
        "device": engine.device.type,
        "precision": engine.precision,
        # Of one evidence, but not of one reading: what is opened again has these names.
        **({"class_names": list(opened.dataset.class_names)} if opened.renamed else {}),
        **({"untrained": True} if opened.untrained else {}),
        **request.predictor.recorded(),
        **_members(opened),
        **_masked(opened),
        **({REJECTER_FILE: spelled(opened.rejecter.file.resolve())} if opened.rejecter else {}),
        **_denoiser(opened.denoiser),
        **({FACTORY_FILE: spelled(opened.model.source_file)} if opened.model.source_file else {}),
        **own,
    }


def _depends_on_batches(engine: Engine) -> bool:
    """Returns whether rounding may depend on how many rows a batch has: other kernels may be chosen for another size.

    A compiler may, and so may a GPU; the plain forward pass on the CPU does not.
    """
    return engine.preparation.compiled or engine.device.type != "cpu"


def _noise(engine: Engine) -> dict[str, Any]:
    """Returns what made the noise; numpy's streams come by the block, and need no name."""
    generator = engine.noise_generator
    return {"noise_block": BLOCK} if generator is None else {NOISE_GENERATOR: generator}


def _members(opened: Opened) -> dict[str, Any]:
    """Returns where the further networks were, so that they are found again."""
    members = [
        {
            "model": one.spec,
            "file": spelled(one.file.resolve()),
            **({FACTORY_FILE: spelled(one.factory_file)} if one.factory_file else {}),
        }
        for one in opened.recipe.members
    ]
    sources = members_source(opened.others)
    return ({MEMBERS: members} if members else {}) | ({MEMBERS_SOURCE: sources} if sources else {})


def members_source(others: Sequence[LoadedModel]) -> list[str]:
    """Returns the hashes of the files of further networks, none where no file is a user's own."""
    hashes = [one.source_sha256 for one in others]
    return hashes if any(hashes) else []


def _masked(opened: Opened) -> dict[str, Any]:
    """Returns the rates of the networks' own dropout layers, where they are asked under masks."""
    rates = dropout_rates(opened.model.module)
    return {DROPOUT_RATES: rates} if rates else {}


def _denoiser(opened: LoadedDenoiser | None) -> dict[str, Any]:
    """Returns which denoiser it was and where, so that it is found again, and what a factory made."""
    if opened is None:
        return {}
    known = opened.denoiser
    places = {"file": known.file and known.file.resolve(), FACTORY_FILE: known.factory_file}
    where = {"model": known.spec, **{name: spelled(place) for name, place in places.items() if place}}
    return {DENOISER: where} | ({DENOISER_CONTENT: opened.content_sha256} if opened.content_sha256 else {})


def denoiser_of(configuration: Mapping[str, Any]) -> Denoiser | None:
    """Returns the denoiser of a stored run, as it was then; None where it had none."""
    sha256 = predictor_of(configuration).denoiser
    if not sha256:
        return None
    place = configuration[DENOISER]
    file, factory = (path_of(place[name]) if name in place else None for name in ("file", FACTORY_FILE))
    return Denoiser(place["model"], sha256, file, factory)


def monte_carlo_of(run: RunRow) -> MonteCarlo | None:
    """Returns how a stored run asked under dropout, None where it did not."""
    return masks_of(predictor_of(run.configuration), run.seed)


def masks_of(predictor: Predictor, seed: int) -> MonteCarlo | None:
    """Returns how a predictor asks under dropout, with masks of a seed; None where it does not."""
    if predictor.mc_dropout is None:
        return None
    return MonteCarlo(predictor.mc_dropout, predictor.mc_passes, seed, plain=predictor.decide == "single")


def members_of(configuration: Mapping[str, Any]) -> tuple[Member, ...]:
    """Returns the further networks of a stored run, as they were then."""
    hashes = configuration.get(PREDICTOR, {}).get("members", ())
    places = configuration.get(MEMBERS, ())
    return tuple(
        Member(
            place["model"],
            path_of(place["file"]),
            sha256,
            path_of(place[FACTORY_FILE]) if FACTORY_FILE in place else None,
        )
        for place, sha256 in zip(places, hashes, strict=True)
    )


def rejecter_of(configuration: Mapping[str, Any]) -> RejecterFile | None:
    """Returns the file of the rejecter of a stored run, None where it had none."""
    sha256 = predictor_of(configuration).rejecter
    return None if sha256 is None else RejecterFile(path_of(configuration[REJECTER_FILE]), sha256)


def calibration_sha256(dataset: Dataset) -> str:
    """Returns the hash of which images calibrate."""
    return hashlib.sha256(dataset.calibration_indices.tobytes()).hexdigest()


def configuration_hash(configuration: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a configuration, whatever the order of its parts."""
    return hashlib.sha256(json.dumps(hashed_part(configuration), sort_keys=True).encode()).hexdigest()


def new_run(
    request: CertifyRequest, opened: Opened, engine: Engine, configuration: Mapping[str, Any],
    edges: Mapping[str, MeasureEdges], *, inputs: int, subset_sha256: str, checkpoint_id: int | None = None,
) -> NewRun:  # fmt: skip
    """Returns the row of a run with so many inputs; `subset_sha256` is the hash of the in-distribution ones.

    The checkpoint is the one that was opened, unless another is named.
    """
    weights = opened.recipe.weights
    if opened.checkpoint:
        checkpoint_id = opened.checkpoint.id
    return NewRun(
        kind=configuration["kind"],
        model=opened.model.spec,
        dataset=opened.dataset_name,
        split=request.split,
        skip=request.skip,
        subset_limit=request.limit,
        inputs=inputs,
        subset_sha256=subset_sha256,
        sigma=request.sigma,
        n0=request.n0,
        n=request.n,
        seed=request.seed,
        device=str(engine.device),
        precision=engine.precision,
        versions=library_versions(),
        configuration=configuration,
        configuration_hash=configuration_hash(configuration),
        edges=edges,
        checkpoint_id=checkpoint_id,
        source=str(weights.resolve()) if weights else opened.model.source,
        class_names=opened.dataset.class_names,
    )
