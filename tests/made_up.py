"""Runs with made-up evidence, stored as a real run stores its own: no network, no sampling, any size in a moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsuq_cli.certificates.evidence import Histogram, MeasureEdges, encode
from rsuq_cli.certificates.method import Method
from rsuq_cli.readings.pages import LabelledEvidence
from rsuq_cli.readings.scoring import Scored, sample_rows
from rsuq_cli.results.database import Database
from rsuq_cli.results.rows import EvidenceRow, NewRun, NewScoring, SampleRow
from rsuq_cli.results.writer import add_scoring, finish_run, start_run, store_inputs, store_samples

# How quickly a measure falls with the distance to the boundary, and how noisy it is: some tell more than others.
LOOK = {"entropy": (1.0, 0.5), "margin": (1.6, 0.1), "confidence": (0.7, 0.3)}


def made_up_run(
    db: Database, *, model: str = "cnn", dataset: str = "digits", inputs: Sequence[int] = range(60),
    labels: Sequence[int] | None = None, class_names: Sequence[str] = tuple("0123456789"), n0: int = 20, n: int = 200,
    measures: Sequence[str] = ("entropy", "margin"), coverages: Sequence[float] = (0.9, 0.7), rule: str = "majority",
    bins: int = 21, sigma: float = 0.25, seed: int = 0, checkpoint_id: int | None = None, **configuration: object,
) -> int:  # fmt: skip
    """Stores a complete run over `inputs`, with a scoring for each measure and coverage, and returns its id."""
    rng = np.random.default_rng(seed)
    grid = np.linspace(0, 1, bins).astype(np.float32).astype(np.float64)
    edges = {measure: MeasureEdges(grid, grid) for measure in measures}
    new = NewRun(
        "certify", model, dataset, "test", 1, None, len(inputs), "5" * 64, sigma, n0, n, seed, "cpu", "fp32",
        {"torch": "2"}, {"model": model, "seed": seed, **configuration},
        f"{model}-{dataset}-{seed}-{rule}-{sigma}-{configuration}", edges, class_names=class_names,
        checkpoint_id=checkpoint_id,
    )  # fmt: skip
    run_id = start_run(db, new).id
    scored = [_scoring(db, run_id, measure, edges[measure], coverage, sigma, rule)
              for measure in measures for coverage in coverages]  # fmt: skip
    truth = rng.integers(0, len(class_names), len(inputs)) if labels is None else np.asarray(labels)
    for start in range(0, len(inputs), 500):
        part = zip(inputs[start : start + 500], truth[start : start + 500].tolist(), strict=True)
        evidence = [
            LabelledEvidence(int(index), label, _histograms(rng, label, len(class_names), measures, grid, n0, n))
            for index, label in part
        ]
        rows = [EvidenceRow(one.input_index, one.label, n0, n, encode(one.histograms), 0.0) for one in evidence]
        store_inputs(db, run_id, rows, sample_rows(evidence, scored, edges))
    finish_run(db, run_id, "complete", 1.0)
    return run_id


def imported_run(db: Database, inputs: int = 40) -> int:
    """Stores a run as an imported log leaves it: certificates without evidence, threshold or rejection."""
    new = NewRun(
        "import", "resnet110", "cifar10", "test", 20, None, inputs, "6" * 64, 0.25, 100, 100_000, 0, "unknown", "fp32",
        {}, {"source": "log.tsv"}, "imported", {}, source="log.tsv",
    )  # fmt: skip
    run_id = start_run(db, new).id
    scoring_id = add_scoring(db, NewScoring(run_id, "none", None, None, "standard", "merged", 0.001))
    radii = np.linspace(0, 0.95, inputs)
    rows = [
        SampleRow(scoring_id, i * 20, i % 10, (i + (i % 4 == 0)) % 10, (i + (i % 4 == 0)) % 10,
                  "certain" if i else "undecided", bool(i), False, 100_000, 0, 0, 0, radius, radius, radius, 0.0,
                  "standard", "merged")
        for i, radius in enumerate(radii.tolist())
    ]  # fmt: skip
    store_samples(db, rows)
    finish_run(db, run_id, "complete", 0.0)
    return run_id


def _scoring(
    db: Database, run_id: int, measure: str, edges: MeasureEdges, coverage: float, sigma: float, rule: str
) -> Scored:
    threshold = edges.threshold_for(coverage)
    method = Method(sigma, 0.001, rule)  # type: ignore[arg-type]
    new = NewScoring(run_id, measure, threshold, coverage, rule, "merged", 0.001)  # type: ignore[arg-type]
    return Scored(add_scoring(db, new), measure, threshold, method)


def _histograms(
    rng: np.random.Generator, label: int, classes: int, measures: Sequence[str], grid: np.ndarray, n0: int, n: int
) -> dict[str, Histogram]:
    centre = rng.normal(1.6, 1.1)
    other = (label + 1 + rng.integers(0, classes - 1)) % classes
    streams = [centre + 0.9 * rng.standard_normal(count) for count in (n0, n)]
    votes = [np.where(z > 0, label, np.where(rng.random(len(z)) < 0.8, other, (other + 1) % classes)) for z in streams]
    found = {}
    for measure in measures:
        selection, estimation = (
            _histogram(_uncertainty(rng, z, *LOOK[measure]), vote, grid, classes)
            for z, vote in zip(streams, votes, strict=True)
        )
        found[measure] = Histogram(selection, estimation)
    return found


def _uncertainty(rng: np.random.Generator, z: np.ndarray, steepness: float, noise: float) -> np.ndarray:
    return np.exp(-steepness * np.abs(z + noise * rng.standard_normal(len(z)))).astype(np.float32)


def _histogram(values: np.ndarray, votes: np.ndarray, grid: np.ndarray, classes: int) -> np.ndarray:
    bins = len(grid) + 1
    cells = votes * bins + np.searchsorted(grid, values, side="left")
    return np.bincount(cells, minlength=classes * bins).reshape(classes, bins)
