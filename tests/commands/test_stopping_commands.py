"""`rsuq certify --at-radius` and `--tolerance`: fewer samples, the same promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commandline import evidence, query, refused, rsuq
from samples import HalfSpace, Sample, write_half_space

if TYPE_CHECKING:
    from conftest import Place

N = 3000


def certify(sample: Sample, *flags: object, n: int = N) -> list[dict[str, Any]]:
    result = rsuq("certify", *sample.flags, "--format", "json", "--n", n, *flags)
    assert result.exit_code == 0, result.stderr
    records: list[dict[str, Any]] = result.json
    return records


def draws(place: Place, run_id: int = 1) -> dict[int, int]:
    return dict(query(place.database, "SELECT input_index, n FROM evidence WHERE run_id = ?", run_id))


def test_draws_are_stored_for_each_input_and_reported(place: Place, blobs: Sample) -> None:
    (record,) = certify(blobs, "--at-radius", 0.1)
    used = np.array(list(draws(place).values()))
    assert used.min() == 100
    assert len(set(used.tolist())) > 2
    assert record["n"] == N
    assert record["draws_mean"] == pytest.approx(used.mean())
    assert record["draws_median"] == np.median(used)
    assert record["draws_at_max"] == pytest.approx((used == N).mean())
    assert query(place.database, "SELECT DISTINCT sample.n = evidence.n FROM certified_sample AS sample "
                 "JOIN evidence USING (input_index)") == [(1,)]  # fmt: skip
    shown = rsuq("report").stdout
    assert "stopped inputs once they were decided" in shown
    assert f"{used.mean():,.0f} samples on average" in shown


def test_a_run_without_a_rule_takes_all_samples_and_says_nothing_of_it(blobs: Sample) -> None:
    (record,) = certify(blobs, n=300)
    assert (record["draws_mean"], record["draws_median"], record["draws_at_max"]) == (300, 300, 1)
    assert "stopped inputs" not in rsuq("report").stdout


@pytest.mark.parametrize("flags", [("--at-radius", 0.1), ("--tolerance", 0.3)])
def test_evidence_does_not_depend_on_the_batch_size(place: Place, blobs: Sample, flags: tuple[object, ...]) -> None:
    stored = []
    for batch_size in (64, 700):
        database = place.work / f"{batch_size}.db"
        certify(blobs, *flags, "--batch-size", batch_size, "--db", database, n=2000)
        stored.append(evidence(database))
    assert stored[0] == stored[1]


@pytest.mark.parametrize("guarantee", ["cc", "standard", "ncl"])
def test_the_decision_about_the_radius_is_that_of_all_samples(place: Place, blobs: Sample, guarantee: str) -> None:
    certify(blobs, "--at-radius", 0.1, "--guarantee", guarantee)
    certify(blobs)
    column = f"radius_{guarantee}"
    rows = query(place.database, f"SELECT scoring_id, input_index, {column} >= 0.1 FROM certified_sample ORDER BY 1, 2")
    stopped, whole = rows[:12], rows[12:]
    differ = sum(a[2] != b[2] for a, b in zip(stopped, whole, strict=True))
    assert differ <= 1
    assert {row[2] for row in stopped} == {0, 1}
    assert np.mean(list(draws(place, 1).values())) < 0.6 * N


def test_fewer_guarantees_need_fewer_samples(place: Place, blobs: Sample) -> None:
    certify(blobs, "--at-radius", 0.15)
    certify(blobs, "--at-radius", 0.15, "--guarantee", "standard")
    certify(blobs, "--at-radius", 0.15, "--guarantee", "standard", "--guarantee", "cc")
    every, one, two = (draws(place, run_id) for run_id in (1, 2, 3))
    assert all(one[index] <= two[index] <= every[index] for index in every)
    assert sum(one.values()) < sum(every.values())


def test_a_wider_tolerance_needs_fewer_samples(place: Place, blobs: Sample) -> None:
    for tolerance in (0.5, 0.2):
        certify(blobs, "--tolerance", tolerance)
    wide, narrow = (sum(draws(place, run_id).values()) for run_id in (1, 2))
    assert wide < narrow < 12 * N


def test_no_radius_of_a_stopped_input_exceeds_the_true_distance(place: Place) -> None:
    sample: HalfSpace = write_half_space(place.work, np.linspace(-0.35, 0.75, 23))
    flags = ("--uncertainty", "confidence", "--threshold", sample.THRESHOLD, "--sigma", 0.25)
    exact = sample.distances()
    for flag, value in (("--at-radius", 0.2), ("--tolerance", 0.2)):
        certify(sample, *flags, flag, value, "--fresh")
        run_id = query(place.database, "SELECT MAX(id) FROM run")[0][0]
        columns = ", ".join(exact)
        rows = query(
            place.database, f"SELECT {columns} FROM certified_sample JOIN scoring ON scoring.id = scoring_id "
            "WHERE run_id = ? ORDER BY input_index", run_id,
        )  # fmt: skip
        for found, true in zip(np.array(rows).T, exact.values(), strict=True):
            assert (found <= true).all()
    assert max(row[1] for row in rows) > 0.5 * exact["radius_standard"].max()


@pytest.mark.slow
def test_two_workers_find_what_one_does(place: Place, blobs: Sample) -> None:
    flags = ("--at-radius", 0.1, "--batch-size", 64)
    certify(blobs, *flags)
    certify(blobs, *flags, "--workers", 2, "--db", place.work / "two.db")
    assert evidence(place.work / "two.db") == evidence(place.database)


@pytest.mark.parametrize("hit", [40, pytest.param(80, marks=pytest.mark.slow)])
def test_an_interrupted_run_goes_on_with_the_same_evidence(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch, hit: int
) -> None:
    flags = ("--batch-size", 64, "--tolerance", 0.3)
    whole = certify(blobs, *flags, "--db", place.work / "whole.db", n=2000)
    monkeypatch.setenv("INTERRUPT_AT", str(79 + hit))
    assert rsuq("certify", *blobs.flags, "--n", 2000, *flags).exit_code == 130
    monkeypatch.delenv("INTERRUPT_AT")
    assert len(draws(place)) < 12
    again = certify(blobs, *flags, n=2000)
    assert evidence(place.database) == evidence(place.work / "whole.db")
    assert [record["acr_ncl"] for record in again] == [record["acr_ncl"] for record in whole]
    assert query(place.database, "SELECT id, status FROM run") == [(1, "complete")]


def test_another_rule_is_another_run(place: Place, blobs: Sample) -> None:
    ids = [
        certify(blobs, *flags)[0]["run_id"]
        for flags in (
            (), ("--at-radius", 0.1), ("--at-radius", 0.2), ("--tolerance", 0.2),
            ("--at-radius", 0.1, "--uncertainty", "margin"), ("--at-radius", 0.1),
        )
    ]  # fmt: skip
    assert ids == [1, 2, 3, 4, 5, 2]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--at-radius", "0"), "--at-radius is 0"),
        (("--at-radius", "nan"), "--at-radius is nan"),
        (("--tolerance", "-1"), "--tolerance is -1"),
        (("--at-radius", "0.1", "--tolerance", "0.1"), "both --at-radius and --tolerance are given"),
        (("--guarantee", "cc"), "--guarantee is given, and nothing to stop for"),
        (("--at-radius", "0.1", "--guarantee", "acc"), "unknown guarantee 'acc'"),
        (("--at-radius", "2"), "nothing reaches --at-radius 2: 3,000 samples certify 0.7"),
        (("--at-radius", "0.1", "--n", "10"), "10 samples at alpha 0.001 cannot certify anything"),
    ],
)
def test_bad_input_is_one_line(place: Place, blobs: Sample, flags: tuple[str, ...], message: str) -> None:
    assert message in refused(rsuq("certify", *blobs.flags, "--n", N, *flags))
    assert not place.database.exists()
