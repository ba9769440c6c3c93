"""`rsuq audit`: it finds nothing where certificates are true, and wins where they are not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commandline import Result, query, refused, rsuq, snapshot
from samples import Sample, write_half_space, write_npz
from scipy import stats
from scipy.special import logit

if TYPE_CHECKING:
    from conftest import Place

SIGMA = 0.25
DISTANCES = (-0.3, 0.2, 0.4)


def audit(*flags: object) -> list[dict[str, Any]]:
    result = rsuq("audit", 1, "--format", "json", *flags)
    assert result.exit_code == 0, result.stderr
    records: list[dict[str, Any]] = result.json
    return records


def by_guarantee(records: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return {record["guarantee"]: record[name] for record in records}


def change(database: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement, values)


def certify_half_space(place: Place, n: int = 2000, *flags: object) -> None:
    sample = write_half_space(place.work, DISTANCES)
    result = rsuq(
        "certify", *sample.flags, "--uncertainty", "confidence", "--threshold", sample.THRESHOLD, "--sigma", SIGMA,
        "--n", n, *flags,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr


def claim_the_true_distances(place: Place) -> None:
    """Puts the exact radii of the half-space in the place of the certified ones."""
    sample = write_half_space(place.work, DISTANCES)
    for index, (cc, standard, ncl) in enumerate(zip(*sample.distances().values(), strict=True)):
        change(
            place.database,
            "UPDATE certified_sample SET radius_cc = ?, radius_standard = ?, radius_ncl = ? WHERE input_index = ?",
            cc if cc > 0 else 0.0, standard, ncl, index,
        )  # fmt: skip


def test_true_certificates_are_not_broken(place: Place) -> None:
    certify_half_space(place)
    records = audit()
    assert [record["guarantee"] for record in records] == ["standard", "cc", "ncl"]
    assert by_guarantee(records, "attacked") == {"standard": 3, "cc": 3, "ncl": 3}
    assert by_guarantee(records, "broken") == {"standard": 0, "cc": 0, "ncl": 0}
    for record in records:
        # The attack goes the whole way, and finds what the theory allows there: neither less, nor much more.
        assert record["nearest_mass"] > record["nearest_bound"] - 0.05
        assert record["nearest_mass"] < record["nearest_bound"] + 0.15
    assert query(place.database, "SELECT SUM(broken), MAX(distance - radius) <= 0 FROM audit_ball") == [(0, 1)]


@pytest.mark.parametrize("attack", ["pgd", "random"])
def test_a_half_space_is_broken_at_1_1_times_its_radius_and_not_at_its_radius(place: Place, attack: str) -> None:
    certify_half_space(place, 1000)
    claim_the_true_distances(place)
    within = audit("--n", 40_000, "--attack", attack, "--radius-scale", 0.99)
    assert by_guarantee(within, "broken") == {"standard": 0, "cc": 0, "ncl": 0}
    beyond = audit("--n", 40_000, "--attack", attack, "--radius-scale", 1.1)
    assert by_guarantee(beyond, "attacked") == {"standard": 3, "cc": 3, "ncl": 3}
    assert by_guarantee(beyond, "broken") == by_guarantee(beyond, "attacked")
    assert all(record["broken_inputs"] == [0, 1, 2] for record in beyond)


# So little noise that rejection wins the vote, too, shows a search without gradients little of the classes.
@pytest.mark.parametrize(
    ("rule", "sigma", "attack"),
    [
        ("majority", 0.25, "pgd"),
        ("plurality", 0.05, "pgd"),
        pytest.param("majority", 0.25, "random", marks=pytest.mark.slow),
    ],
)
def test_that_a_decision_stays_uncertain_is_attacked_too(place: Place, rule: str, sigma: float, attack: str) -> None:
    sample = write_half_space(place.work, (0.02, -0.05))
    assert rsuq(
        "certify", *sample.flags, "--uncertainty", "confidence", "--threshold", sample.THRESHOLD, "--sigma", sigma,
        "--n", 2000, "--rule", rule,
    ).exit_code == 0  # fmt: skip
    flags = "--n", 20_000, "--attack", attack
    sound = audit(*flags)
    assert by_guarantee(sound, "attacked")["uncertain"] == 2
    assert by_guarantee(sound, "broken")["uncertain"] == 0
    (nearest,) = (one for one in sound if one["guarantee"] == "uncertain")
    assert nearest["nearest_mass"] > nearest["nearest_bound"] - 0.05
    # Where the decision turns certain: at the plane of the threshold under majority, a little later under plurality.
    distance = sample.margin / sample.NORM - np.array([0.02, 0.05])
    for index, true in enumerate(distance):
        change(place.database, "UPDATE certified_sample SET radius_uncertain = ? WHERE input_index = ?", true, index)
    beyond = audit(*flags, "--radius-scale", 1.4)
    assert by_guarantee(beyond, "broken")["uncertain"] >= (2 if attack == "pgd" else 1)
    if rule == "majority":
        assert by_guarantee(audit(*flags, "--radius-scale", 0.97), "broken")["uncertain"] == 0


def test_every_ball_is_judged_at_its_share_of_alpha(place: Place) -> None:
    # So little beyond the true distance that most balls are broken at alpha, and hardly one at alpha over all of them.
    certify_half_space(place, 1000)
    claim_the_true_distances(place)
    alpha, n = 0.2, 4000
    records = audit("--n", n, "--alpha", alpha, "--attack", "pgd", "--steps", 5, "--radius-scale", 1.06)
    balls = query(place.database, "SELECT excess, broken FROM audit_ball")
    assert len(balls) == sum(by_guarantee(records, "attacked").values()) == 9
    wins = [round((0.5 + excess) * n) for excess, _ in balls]
    assert wins == pytest.approx([(0.5 + excess) * n for excess, _ in balls])
    single, shared = (
        [stats.binomtest(won, n, 0.5, "greater").pvalue <= level for won in wins]
        for level in (alpha, alpha / len(balls))
    )
    assert [bool(broken) for _, broken in balls] == shared
    assert sum(shared) < sum(single), "no ball tells the two apart"


TRAP_MODEL = """
import torch
from torch import nn


class Trap(nn.Module):
    def forward(self, x):
        side = (x.flatten(1)[:, 0] - 0.5) * {steepness}
        return torch.stack([-side, side], dim=1)
"""


def write_trap(place: Place) -> tuple[Sample, float]:
    """Writes the class by sign, certain beyond a distance of 1 (confidence at most 0.4); inputs −0.1 and 0.1."""
    steepness = float(logit(0.6)) / 2
    (place.work / "trap.py").write_text(TRAP_MODEL.format(steepness=steepness))
    images = np.array([0.4, 0.6], dtype=np.float32).reshape(2, 1, 1, 1)
    data = write_npz(place.work / "trap.npz", x_test=images, y_test=[0, 1])
    return Sample(f"{place.work / 'trap.py'}:Trap", data), 0.4


def test_the_shares_among_certain_samples_are_a_trap_and_the_audit_breaks_it(place: Place) -> None:
    # Joint masses 0.184 and 0.136, shares 0.576 and 0.424: the shares would claim 0.19, the decision flips at 0.1.
    sample, threshold = write_trap(place)
    result = rsuq(
        "certify", *sample.flags, "--sigma", 1, "--uncertainty", "confidence", "--threshold", threshold, "--rule",
        "filtered", "--n", 20_000,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    sound = [radius for (radius,) in query(place.database, "SELECT radius_cc FROM certified_sample")]
    assert all(0 < radius < 0.1 for radius in sound)
    true_certificates = audit("--n", 20_000)
    assert by_guarantee(true_certificates, "broken") == {"standard": 0, "cc": 0, "ncl": 0}
    share = 0.184060 / (0.184060 + 0.135666)
    claimed = float(stats.norm.ppf(share))
    assert claimed == pytest.approx(0.190855, abs=1e-5)
    change(place.database, "UPDATE certified_sample SET radius_cc = ?, radius_ncl = ?", claimed, claimed)
    records = audit("--n", 20_000, "--seed", 1)
    assert by_guarantee(records, "broken") == {"standard": 0, "cc": 2, "ncl": 2}
    # What is wrong is the radius: the masses are what the theory allows.
    assert all(record["nearest_mass"] > record["nearest_bound"] - 0.02 for record in records)


@pytest.mark.parametrize("rule", ["plurality", "filtered", "standard"])
def test_every_rule_and_every_scoring(place: Place, blobs: Sample, rule: str) -> None:
    assert rsuq("certify", *blobs.flags, "--n", 500, "--rule", rule, "--uncertainty", "margin").exit_code == 0
    assert rsuq("certify", *blobs.flags, "--n", 500, "--competitors", "class-wise").exit_code == 0
    records = audit("--inputs", 2, "--steps", 4)
    always = [record["scoring_id"] for record in records if record["guarantee"] != "uncertain"]
    assert always == [1, 1, 1, 2, 2, 2]
    assert sum(record["broken"] for record in records) == 0
    assert sum(record["attacked"] for record in records) >= 6
    (only,) = {record["scoring_id"] for record in audit("--inputs", 2, "--steps", 4, "--scoring", 2)}
    assert only == 2


def test_8_bit_inputs_under_grid_noise_are_attacked_on_the_grid(place: Place) -> None:
    images = np.full((2, 1, 2, 2), 51, dtype=np.uint8)
    images[1] = 110
    data = write_npz(place.work / "grid.npz", x_test=images, y_test=[1, 0])
    model = write_half_space(place.work, [0.1]).model
    result = rsuq(
        "certify", "--model", model, "--dataset", data, "--uncertainty", "confidence", "--threshold", 0.4, "--noise",
        "grid", "--n", 2000,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    records = audit()
    assert sum(record["attacked"] for record in records) > 0
    assert sum(record["broken"] for record in records) == 0
    for distance, radius in query(place.database, "SELECT distance, radius FROM audit_ball"):
        squared = (distance * 255) ** 2
        assert squared == pytest.approx(round(squared), abs=1e-6)
        assert distance <= radius


def test_the_same_audit_again_samples_nothing_and_an_interrupted_one_goes_on(
    place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rsuq("certify", *blobs.flags, "--n", 500).exit_code == 0
    flags = "--inputs", 6, "--steps", 2, "--attack", "pgd"
    whole = audit(*flags)
    balls = "SELECT * FROM audit_ball ORDER BY input_index, guarantee"
    columns = "input_index, guarantee, distance, n, mass, excess, broken"
    rows = query(place.database, balls.replace("*", columns))
    change(place.database, "DELETE FROM audit_ball WHERE input_index > 2")
    assert audit(*flags) == whole
    assert query(place.database, balls.replace("*", columns)) == rows
    monkeypatch.setattr("rsuq_cli.auditing.attack.Attacker.worst", None)
    assert audit(*flags) == whole


def test_an_unfinished_run_is_audited_as_far_as_it_goes(place: Place, blobs: Sample) -> None:
    assert rsuq("certify", *blobs.flags, "--n", 500).exit_code == 0
    for table in ("certified_sample", "evidence"):
        change(place.database, f"DELETE FROM {table} WHERE input_index > 3")
    change(place.database, "UPDATE run SET status = 'interrupted'")
    result = rsuq("audit", 1, "--format", "json", "--inputs", 50, "--steps", 2, "--attack", "pgd")
    assert "4 of 12 inputs can be audited" in result.stderr
    assert max(record["attacked"] for record in result.json) <= 4


def test_the_table_says_what_was_found(place: Place) -> None:
    certify_half_space(place, 1000)
    claim_the_true_distances(place)
    result = rsuq("audit", 1, "--radius-scale", 2, "--attack", "pgd", "--steps", 5, "--n", 5000)
    for text in ("attacked", "broken", "CC", "NCL", "balls at 2 times their radius", "BROKEN"):
        assert text in result.stdout


# What cannot be audited


def refusal(place: Place, *flags: object) -> str:
    before = snapshot(place.root)
    line = refused(quiet(rsuq("audit", *flags)))
    assert snapshot(place.root) == before
    return line


def quiet(result: Result) -> Result:
    """Drops what a command says before it is refused."""
    errors = [line for line in result.stderr.splitlines() if line.startswith(("error", "Traceback"))]
    return result._replace(stderr="\n".join(errors))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ((7,), "there is no run 7"),
        ((1, "--inputs", 0), "--inputs is 0"),
        ((1, "--steps", 0), "--steps is 0"),
        ((1, "--n", 0), "--n is 0"),
        ((1, "--attack", "pdg"), "did you mean pgd"),
        ((1, "--radius-scale", 0), "--radius-scale is 0"),
        ((1, "--radius-scale", "nan"), "--radius-scale is nan"),
        ((1, "--alpha", 1), "alpha is 1"),
        ((1, "--scoring", 9), "run 1 has no scoring 9"),
        ((1, "--weights", "nowhere.pt"), "nowhere.pt"),
    ],
)
def test_what_cannot_be_asked(place: Place, blobs: Sample, flags: tuple[object, ...], says: str) -> None:
    assert rsuq("certify", *blobs.flags, "--n", 100, "--limit", 2).exit_code == 0
    assert says in refusal(place, *flags)


def test_a_run_without_evidence(place: Place, blobs: Sample) -> None:
    assert rsuq("certify", *blobs.flags, "--n", 100, "--limit", 2).exit_code == 0
    change(place.database, "UPDATE run SET kind = 'import'")
    assert "has no evidence" in refusal(place, 1)


def test_a_model_that_has_changed(place: Place, blobs: Sample) -> None:
    assert rsuq("certify", *blobs.flags, "--n", 100, "--limit", 2).exit_code == 0
    source = place.work / "blobs.py"
    source.write_text(source.read_text().replace("6 *", "5 *"))
    assert "weights" in refusal(place, 1)
    assert "sha256" in refusal(place, 1)


def test_a_checkpoint_that_has_changed(place: Place, trained: Path) -> None:
    place.database.write_bytes(trained.read_bytes())
    assert rsuq("certify", "--model", "mlp", "--n", 100, "--limit", 2).exit_code == 0
    copy = place.work / "copy.safetensors"
    ((file,),) = query(place.database, "SELECT source FROM run")
    content = bytearray(Path(file).read_bytes())
    content[-1] ^= 1
    copy.write_bytes(bytes(content))
    assert "the weights of mlp are not those of run 1" in refusal(place, 1, "--weights", copy)


def test_data_that_have_changed(place: Place, blobs: Sample) -> None:
    assert rsuq("certify", *blobs.flags, "--n", 100, "--limit", 2).exit_code == 0
    with np.load(place.work / "blobs.npz") as stored:
        arrays = dict(stored)
    arrays["x_test"][0] += 0.01
    write_npz(place.work / "blobs.npz", **arrays)
    assert "have changed since run 1" in refusal(place, 1)


def test_a_ball_that_is_a_point_in_single_precision_is_attacked_at_its_centre(blobs: Sample) -> None:
    assert rsuq("certify", *blobs.flags, "--n", 100, "--limit", 2).exit_code == 0
    result = rsuq("audit", 1, "--radius-scale", 1e-300, "--steps", 1, "--n", 100, "--inputs", 1, "--format", "json")
    assert (result.exit_code, {row["broken"] for row in result.json}) == (0, {0})
