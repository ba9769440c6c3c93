"""`rsuq certify` on networks that need no training: truth, order, what is sampled again and what never is."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from commandline import Result, evidence, figures, query, refused, rsuq, snapshot
from samples import HalfSpace, Sample, write_half_space

from rsuq_cli.errors import BadInput

if TYPE_CHECKING:
    from conftest import Place

SIGMA = 0.25
RADII = "radius_cc", "radius_standard", "radius_ncl"


def certify(sample: Sample, *flags: object, n: int = 300) -> Result:
    result = rsuq("certify", *sample.flags, "--format", "json", "--n", n, *flags)
    assert result.exit_code == 0, result.stderr
    return result


def certified(place: Place, *columns: str) -> np.ndarray[Any, Any]:
    """Returns columns of the certified samples of the only scoring there is, in the order of the inputs."""
    rows = query(place.database, f"SELECT {', '.join(columns)} FROM certified_sample ORDER BY scoring_id, input_index")
    return np.asarray(rows)


def certify_half_space(place: Place, sample: HalfSpace, n: int, *flags: object) -> dict[str, np.ndarray[Any, Any]]:
    """Certifies the half-space and returns its radii by column name, having seen that every label was right."""
    certify(
        sample, "--uncertainty", "confidence", "--threshold", sample.THRESHOLD, "--sigma", SIGMA, *flags, n=n
    )  # fmt: skip
    return dict(zip(RADII, certified(place, *RADII).astype(float).T, strict=True))


def test_no_radius_exceeds_the_true_distance(place: Place) -> None:
    sample = write_half_space(place.work, np.linspace(-0.35, 0.75, 23))
    radii = certify_half_space(place, sample, 1000)
    for name, exact in sample.distances().items():
        assert (radii[name] <= exact).all(), name
        assert radii[name].max() > 0.9 * 0.5, name


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_many_samples_come_close_to_the_true_distance(place: Place, seed: int) -> None:
    sample = write_half_space(place.work, np.linspace(-0.35, 1.0, 28))
    radii = certify_half_space(place, sample, 100_000, "--seed", seed)
    for name, exact in sample.distances().items():
        inside = (exact >= 0.3 * SIGMA) & (exact <= 3.3 * SIGMA)
        assert inside.sum() >= 10
        assert (radii[name] <= exact).all(), name
        assert (radii[name][inside] >= 0.95 * exact[inside]).all(), (name, radii[name][inside] / exact[inside])


def test_the_three_radii_are_ordered_on_every_row(place: Place, blobs: Sample) -> None:
    certify(blobs, "--coverage", 0.9, "--coverage", 0.5, "--uncertainty", "entropy", "--uncertainty", "margin", n=1000)
    rows = certified(place, *RADII, "class_index = standard_class")
    same = rows[:, 3] == 1
    assert len(rows) == 4 * 12
    assert same.sum() > 40
    cc, standard, ncl = rows[same, :3].T
    assert (cc <= standard).all()
    assert (standard <= ncl).all()
    assert ((cc < standard) & (standard < ncl)).any()


def test_the_answer_alone_is_on_stdout(blobs: Sample) -> None:
    result = certify(blobs, "--radii", "0,0.1")
    (record,) = result.json
    assert {
        "run_id", "scoring_id", "model", "dataset", "sigma", "n0", "n", "alpha", "rule", "measure", "threshold",
        "inputs", "clean_accuracy", "coverage", "abstention", "acr_standard", "acr_cc", "acr_ncl", "gain", "cc_cost",
        "certified_standard", "certified_cc", "certified_ncl", "at_ceiling", "intervals",
    } <= set(record)  # fmt: skip
    assert [point["radius"] for point in record["certified_cc"]] == [0.0, 0.1]
    assert record["n"] == 300
    assert record["inputs"] == 12
    # Before sampling: inputs × samples, an estimate of the time, and the ceiling.
    assert "12 inputs × 400 samples, about" in result.stderr
    ceiling = SIGMA * torch.special.ndtri(torch.tensor(0.001 ** (1 / 300), dtype=torch.float64)).item()
    assert (
        f"no radius can exceed {math.floor(1000 * ceiling) / 1000:.3f}" in result.stderr
    )  # as every radius is rounded


@pytest.mark.parametrize("style", ["table", "csv", "markdown", "latex"])
def test_other_formats(blobs: Sample, style: str) -> None:
    expected = certify(blobs).json[0]
    result = rsuq("certify", *blobs.flags, "--n", 300, "--format", style)
    assert result.exit_code == 0
    assert "error" not in result.stderr
    if style == "csv":
        (row,) = csv.DictReader(io.StringIO(result.stdout))
        assert float(row["acr_ncl"]) == expected["acr_ncl"]
    else:
        assert f"{math.floor(expected['acr_ncl'] * 1000) / 1000:.3f}" in result.stdout
        assert "entropy" in result.stdout


def test_the_same_command_again_samples_nothing(place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    first = certify(blobs)
    before = query(place.database, "SELECT * FROM certified_sample"), evidence(place.database)
    monkeypatch.setattr("rsuq_cli.sampling.engine.Engine.sample", None)
    monkeypatch.setattr("rsuq_cli.sampling.engine.Engine.uncertainties", None)
    again = certify(blobs)
    assert again.stdout == first.stdout
    assert "all 12 inputs are sampled already" in again.stderr
    assert (query(place.database, "SELECT * FROM certified_sample"), evidence(place.database)) == before


@pytest.mark.parametrize(
    "flags",
    [
        ("--uncertainty", "margin"),
        ("--uncertainty", "energy", "--uncertainty", "gen"),
        ("--coverage", "0.7"),
        ("--threshold", "0.5"),
        ("--rule", "plurality"),
        ("--rule", "filtered"),
        ("--rule", "standard"),
        ("--competitors", "class-wise"),
        ("--competitors", "auto"),
        ("--alpha", "0.01"),
        ("--family-wise",),
    ],
)
def test_another_reading_of_the_same_run_samples_nothing(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    first = certify(blobs).json
    monkeypatch.setattr("rsuq_cli.sampling.engine.Engine.sample", None)
    other = certify(blobs, *flags).json
    assert {record["run_id"] for record in other} == {1}
    assert {record["scoring_id"] for record in other}.isdisjoint({first[0]["scoring_id"]})
    assert query(place.database, "SELECT COUNT(*) FROM run") == [(1,)]
    assert query(place.database, "SELECT COUNT(*) FROM scoring") == [(1 + len(other),)]
    assert query(place.database, "SELECT COUNT(*) FROM certified_sample") == [(12 * (1 + len(other)),)]


@pytest.mark.parametrize("rule", ["majority", "plurality", "filtered", "standard"])
def test_a_later_reading_equals_one_made_while_sampling(place: Place, blobs: Sample, rule: str) -> None:
    flags = ("--rule", rule, "--uncertainty", "margin", "--coverage", "0.8")
    certify(blobs)
    later, at_once = certify(blobs, *flags), certify(blobs, *flags, "--fresh")
    assert (later.json[0]["run_id"], at_once.json[0]["run_id"]) == (1, 2)
    assert figures(later) == figures(at_once)


def test_other_settings_are_another_run(blobs: Sample) -> None:
    runs = [
        certify(blobs, *flags).json[0]["run_id"]
        for flags in ((), ("--sigma", 0.3), ("--seed", 1), ("--n0", 50), ("--split", "train"), ("--skip", 2))
    ]
    assert runs == [1, 2, 3, 4, 5, 6]


def test_fresh_makes_a_new_run_with_the_same_evidence(place: Place, blobs: Sample) -> None:
    certify(blobs)
    assert certify(blobs, "--fresh").json[0]["run_id"] == 2
    assert evidence(place.database, 1) == evidence(place.database, 2)
    assert len(evidence(place.database, 2)) == 12
    # Without --fresh the newest goes on.
    assert certify(blobs).json[0]["run_id"] == 2


def test_evidence_does_not_depend_on_the_batch_size(place: Place, blobs: Sample) -> None:
    stored = []
    for batch_size in (64, 500, "auto"):
        database = place.work / f"{batch_size}.db"
        certify(blobs, "--batch-size", batch_size, "--db", database, n=1000)
        stored.append(evidence(database))
    assert stored[0] == stored[1] == stored[2]
    assert len({row[-1] for row in stored[0]}) == 12


def test_skip_and_limit_choose_the_subset(place: Place, blobs: Sample) -> None:
    (record,) = certify(blobs, "--skip", 3, "--limit", 2).json
    assert record["inputs"] == record["planned"] == 2
    assert [row[0] for row in evidence(place.database)] == [0, 3]
    # The noise of an input does not depend on what else is certified.
    certify(blobs)
    everything = {row[0]: row for row in evidence(place.database, 2)}
    assert [everything[row[0]] for row in evidence(place.database)] == evidence(place.database)


def test_several_measures_are_several_scorings_of_one_run(place: Place, blobs: Sample) -> None:
    names = ["entropy", "confidence", "margin", "energy", "max_logit", "gen"]
    flags = [part for name in names for part in ("--uncertainty", name)]
    records = certify(blobs, *flags, "--coverage", 0.9, "--coverage", 0.6).json
    assert [(r["measure"], r["threshold_coverage"]) for r in records] == [(m, c) for m in names for c in (0.9, 0.6)]
    assert {record["run_id"] for record in records} == {1}
    for name in names:
        wide, narrow = (record for record in records if record["measure"] == name)
        assert wide["threshold"] > narrow["threshold"]
        assert wide["sample_coverage"] > narrow["sample_coverage"]
        assert (wide["acr_cc"], narrow["acr_ncl"]) >= (narrow["acr_cc"], wide["acr_ncl"])


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--preset", "paper"), (100, 100_000, 0.001, 20)),
        (("--preset", "paper", "--n", "500"), (100, 500, 0.001, 20)),
        (("--preset", "paper", "--skip", "1", "--alpha", "0.01"), (100, 100_000, 0.01, 1)),
        ((), (100, 10_000, 0.001, 1)),
    ],
)
def test_the_preset_is_the_papers_unless_a_flag_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], expected: tuple[float, ...]
) -> None:
    requests: list[Any] = []

    def stop(request: Any, *others: object) -> None:
        requests.append(request)
        raise BadInput("far enough")

    monkeypatch.setattr("rsuq_cli.jobs.certify.certify_run", stop)
    refused(rsuq("certify", *flags))
    (request,) = requests
    assert (request.n0, request.n, request.alpha, request.skip) == expected


def test_a_configuration_file_sets_defaults_and_flags_override_it(place: Place, blobs: Sample) -> None:
    (place.work / "rsuq.toml").write_text("sigma = 0.3\n[certify]\nn = 200\nuncertainty = ['margin']\n")
    (record,) = rsuq("certify", *blobs.flags, "--format", "json").json
    assert (record["sigma"], record["n"], record["measure"]) == (0.3, 200, "margin")
    (record,) = rsuq("certify", *blobs.flags, "--format", "json", "--n", 250).json
    assert (record["sigma"], record["n"]) == (0.3, 250)


def test_full_memory_halves_the_batch_and_says_so(place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = certify(blobs, "--db", place.work / "roomy.db").json
    monkeypatch.setenv("MOST_ROWS", "64")
    result = certify(blobs, "--batch-size", 256)
    assert "going on with batches of 128" in result.stderr
    assert "going on with batches of 64" in result.stderr
    assert result.json[0]["acr_ncl"] == expected[0]["acr_ncl"]
    assert evidence(place.database) == evidence(place.work / "roomy.db")
    ((warnings,),) = query(place.database, "SELECT warnings FROM run")
    assert [line.split("batches of ")[1] for line in json.loads(warnings)] == ["128", "64"]


def test_a_memory_too_small_for_any_batch_is_an_incomplete_run(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOST_ROWS", "8")
    result = rsuq("certify", *blobs.flags, "--n", 300, "--threshold", 0.5, "--format", "json")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "error: cpu is out of memory even with a batch of 32" in result.stderr
    assert "Traceback" not in result.stderr


def forward_passes() -> int:
    """Returns how many forward passes the network of the last command made; its file may have been run twice."""
    *_, name = (name for name in sys.modules if name.startswith("rsuq_model_blobs"))
    return max(kind.passes for kind in torch.nn.Module.__subclasses__() if kind.__module__ == name)  # type: ignore[attr-defined]


# A few forward passes check the network, 79 calibrate, one is timed, and 75 certify, six and a bit an input.
@pytest.mark.parametrize(
    ("before_the_end", "least", "most"),
    [(140, 0, 0), pytest.param(90, 0, 0, marks=pytest.mark.slow), (40, 2, 7), (3, 9, 11)],
)
def test_an_interrupted_run_goes_on_with_the_same_evidence(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch, before_the_end: int, least: int, most: int
) -> None:
    flags = ("--batch-size", 64, "--uncertainty", "margin")
    whole = certify(blobs, *flags, "--db", place.work / "whole.db")
    monkeypatch.setenv("INTERRUPT_AT", str(forward_passes() - before_the_end))
    broken = rsuq("certify", *blobs.flags, "--n", 300, *flags)
    assert broken.exit_code == 130
    assert broken.stdout == ""
    assert broken.stderr.splitlines()[-1].startswith("error: interrupted; what is finished is safe")
    monkeypatch.delenv("INTERRUPT_AT")
    assert least <= len(evidence(place.database)) <= most
    again = certify(blobs, *flags)
    assert figures(again) == figures(whole)
    assert evidence(place.database) == evidence(place.work / "whole.db")
    assert query(place.database, "SELECT id, status FROM run") == [(1, "complete")]


def test_an_interrupted_run_says_so_until_it_is_complete(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERRUPT_AT", "120")
    assert rsuq("certify", *blobs.flags, "--n", 300, "--batch-size", 64).exit_code == 130
    assert query(place.database, "SELECT status FROM run") == [("interrupted",)]
    assert "interrupted" in rsuq("db", "runs").stdout
    assert "not complete: run 1" in rsuq("report").stdout
    monkeypatch.delenv("INTERRUPT_AT")
    result = certify(blobs, "--batch-size", 64)
    assert "were finished before" in result.stderr
    assert "not complete" not in rsuq("report").stdout


def test_without_training_data_a_coverage_cannot_be_calibrated(place: Place) -> None:
    sample = write_half_space(place.work, [-0.1, 0.2, 0.3])
    before = snapshot(place.root)
    line = refused(rsuq("certify", *sample.flags, "--n", 300))
    assert "no calibration data" in line
    assert "--threshold" in line
    assert snapshot(place.root) == before
