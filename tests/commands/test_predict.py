"""`rsuq predict` answers what certify certifies, for files of every kind, or refuses in one line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commandline import Result, query, refused, rsuq, snapshot
from PIL import Image
from samples import Sample, write_npz
from scipy.stats import beta, binom, norm

if TYPE_CHECKING:
    from conftest import Place

SAME = (
    "class_index", "decision", "radius_cc", "radius_ncl", "radius_standard", "certain_count", "uncertain_count",
    "vote_count",
)  # fmt: skip


def predict(*flags: object) -> list[dict[str, Any]]:
    result = rsuq("predict", *flags, "--format", "json")
    assert result.exit_code == 0, result.stderr
    answers: list[dict[str, Any]] = result.json
    return answers


def certified(place: Place) -> list[dict[str, Any]]:
    rows = query(place.database, f"SELECT input_index, {', '.join(SAME)} FROM certified_sample ORDER BY input_index")
    return [dict(zip(("index", "class", *SAME[1:]), row, strict=True)) for row in rows]


@pytest.fixture
def digits(place: Place, trained: Path) -> list[Path]:
    """Three digits as PNG and npy, and a run that has certified them and two more."""
    from rsuq_cli.datasets.catalogue import open_dataset

    shutil.copy(trained, place.database)
    assert rsuq("certify", "--model", "mlp", "--n", 400, "--limit", 5).exit_code == 0
    images = open_dataset("digits").load("test").images[:3, 0].numpy()
    for row, pixels in enumerate(images[:2]):
        Image.fromarray(pixels).save(place.work / f"{row}.png")
    np.save(place.work / "2.npy", images[2])
    return [place.work / name for name in ("0.png", "1.png", "2.npy")]


@pytest.mark.parametrize("settings", [("--run", 1), ("--model", "mlp", "--n", 400)])
def test_the_same_input_has_the_same_answer_as_in_certify(
    place: Place, digits: list[Path], settings: tuple[object, ...]
) -> None:
    before = snapshot(place.root)
    answers = predict(*digits, *settings)
    assert snapshot(place.root) == before
    for answer, row in zip(answers, certified(place), strict=False):
        assert answer | row == answer
        assert answer["in_dataset"] is True
        assert answer["answer"] == (answer["class_name"] if row["decision"] == "certain" else row["decision"])
        assert {"n0", "n", "alpha", "sigma", "threshold", "rule", "model", "file"} <= set(answer)
    assert [answer["file"] for answer in answers] == [str(path) for path in digits]


def test_an_image_of_no_data_set_has_noise_of_its_own_always_the_same(place: Place, digits: list[Path]) -> None:
    pixels = np.asarray(Image.open(digits[0])).copy()
    pixels[0, 0] ^= 1
    np.save(place.work / "new.npy", pixels)
    Image.fromarray(pixels).save(place.work / "new.png")
    first, second = predict(place.work / "new.npy", place.work / "new.png", "--run", 1)
    assert first | {"file": second["file"]} == second
    assert first["in_dataset"] is False
    (known,) = predict(place.work / "new.npy", "--run", 1, "--index", 10)
    assert (known["index"], known["in_dataset"]) == (10, True)
    assert known["vote_count"] != first["vote_count"] or known["uncertain_count"] != first["uncertain_count"]


@pytest.mark.parametrize("noise", ["gaussian", "grid"])
def test_every_kind_of_noise_and_rule(place: Place, digits: list[Path], noise: str) -> None:
    flags = "--model", "mlp", "--n", 300, "--noise", noise, "--rule", "plurality", "--uncertainty", "margin"
    assert rsuq("certify", *flags, "--limit", 3, "--coverage", 0.8, "--fresh").exit_code == 0
    scored = query(place.database, "SELECT MAX(run_id), MAX(id) FROM scoring")[0]
    rows = query(place.database, f"SELECT {', '.join(SAME)} FROM certified_sample WHERE scoring_id = ?", scored[1])
    for answers in (predict(*digits, *flags, "--coverage", 0.8), predict(*digits, "--run", scored[0])):
        assert [(a["class"], *(a[name] for name in SAME[1:])) for a in answers] == rows


@pytest.mark.parametrize("rule", [("--at-radius", 0.1), ("--tolerance", 0.2, "--uncertainty", "margin")])
def test_a_run_that_stopped_early_is_answered_after_as_many_samples(
    place: Place, digits: list[Path], rule: tuple[object, ...]
) -> None:
    flags = "--model", "mlp", "--n", 5000, "--limit", 3, "--noise", "gaussian", *rule
    assert rsuq("certify", *flags).exit_code == 0
    names = (*SAME, "n")
    rows = query(place.database, f"SELECT {', '.join(names)} FROM certified_sample WHERE scoring_id = 2")
    answers = predict(*digits, "--run", 2)
    assert [(a["class"], *(a[name] for name in names[1:])) for a in answers] == rows
    assert min(answer["n"] for answer in answers) < 5000


def test_another_reading_of_a_run(digits: list[Path]) -> None:
    assert rsuq("certify", "--model", "mlp", "--n", 400, "--limit", 5, "--uncertainty", "gen").exit_code == 0
    assert predict(digits[0], "--run", 1)[0]["measure"] == "entropy"
    assert predict(digits[0], "--run", 1, "--scoring", 2)[0]["measure"] == "gen"
    (given,) = predict(digits[0], "--model", "mlp", "--n", 400, "--threshold", 0.5)
    assert given["threshold"] == 0.5


def test_floats_and_a_network_of_ones_own(place: Place, blobs: Sample) -> None:
    assert rsuq("certify", *blobs.flags, "--n", 400).exit_code == 0
    with np.load(place.work / "blobs.npz") as arrays:
        np.save(place.work / "four.npy", arrays["x_test"][4])
    (answer,) = predict(place.work / "four.npy", "--run", 1)
    assert answer | certified(place)[4] == answer


def test_the_table(digits: list[Path]) -> None:
    result = rsuq("predict", *digits, "--run", 1)
    assert result.exit_code == 0
    for text in ("0.png", "answer", "CC", "NCL", "0.001", "entropy", "again"):
        assert text in result.stdout
    told = " ".join(result.stdout.split())
    assert "mass under noise stays above a half" in told
    assert "answer stays" not in told


def test_it_says_how_often_it_would_say_so_again(digits: list[Path]) -> None:
    for one in predict(*digits, "--run", 1):
        if one["decision"] != "certain":
            assert one["certain_again"] is None
            continue
        enough = next(k for k in range(one["n"] + 1) if k and beta.ppf(0.001, k, one["n"] - k + 1) > 0.5)
        mass = norm.cdf(one["radius_cc"] / one["sigma"])
        expected = binom.sf(one["n0"] // 2, one["n0"], mass) * binom.sf(enough - 1, one["n"], mass)
        assert one["certain_again"] == pytest.approx(expected, rel=1e-6)


def test_another_size_is_resized_only_when_asked(place: Place, digits: list[Path]) -> None:
    Image.open(digits[0]).resize((16, 16)).save(place.work / "large.png")
    line = refusal(place, place.work / "large.png", "--run", 1)
    assert "is 16×16 pixels, the model takes 8×8" in line
    assert "--resize" in line
    assert predict(place.work / "large.png", "--run", 1, "--resize")[0]["class"] in range(10)


def refusal(place: Place, *flags: object) -> str:
    before = snapshot(place.root)
    result = rsuq("predict", *flags)
    errors = [line for line in result.stderr.splitlines() if line.startswith(("error", "Traceback"))]
    line = refused(Result(result.exit_code, result.stdout, "\n".join(errors)))
    assert snapshot(place.root) == before
    return line


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("nowhere.png", "--run", 1), "there is no file nowhere.png"),
        (("0.png", "--run", 9), "there is no run 9"),
        (("0.png", "--run", 1, "--scoring", 7), "run 1 has no scoring 7"),
        (("0.png", "--model", "mlp", "--scoring", 1), "--scoring without --run"),
        (("0.png", "--run", 1, "--sigma", 0.5), "both --run and --sigma"),
        (("0.png", "--run", 1, "--family-wise"), "both --run and --family-wise"),
        (("0.png", "--run", 1, "--index", -1), "--index is -1"),
        (("0.png", "1.png", "--run", 1, "--index", 1), "one --index for 2 images"),
        (("0.png", "--model", "mlp", "--uncertainty", "entropie"), "did you mean entropy"),
        (("0.png", "--model", "mlp", "--sigma", 0.5), "rsuq train --model mlp --sigma 0.5"),
        (("0.png", "--model", "mlp", "--n", 1), "cannot certify anything"),
        (("float.npy", "--model", "mlp", "--noise", "grid"), "grid noise is for 8-bit inputs"),
        (("0.png", "--model", "mlp", "--noise", "pink"), "unknown noise"),
    ],
)
def test_what_cannot_be_asked(place: Place, digits: list[Path], flags: tuple[object, ...], says: str) -> None:
    np.save(place.work / "float.npy", np.zeros((8, 8)))
    assert says in refusal(place, *flags)


def test_grid_noise_on_a_data_set_of_floats(place: Place, blobs: Sample) -> None:
    for command in (("certify",), ("predict", write_float(place))):
        result = rsuq(*command, *blobs.flags, "--noise", "grid")
        assert result.exit_code == 2
        assert "grid noise is for 8-bit inputs" in result.stderr
    mixed = write_npz(
        place.work / "mixed.npz", x_train=np.zeros((9, 2, 2)), y_train=np.arange(9) % 3,
        x_test=np.zeros((3, 2, 2), dtype=np.uint8), y_test=[0, 1, 2],
    )  # fmt: skip
    result = rsuq("certify", "--model", blobs.model, "--dataset", mixed, "--noise", "grid")
    assert "grid noise is for 8-bit inputs" in result.stderr


def write_float(place: Place) -> Path:
    np.save(place.work / "float.npy", np.zeros((2, 2)))
    return place.work / "float.npy"
