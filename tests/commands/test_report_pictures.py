"""`rsuq report --plot` and `--html`: whole files or none, stdout untouched, refusals before any work."""

from __future__ import annotations

import html
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from commandline import refused, rsuq, snapshot
from made_up import imported_run, made_up_run
from made_up_trials import made_up_audit, made_up_detection
from sqlalchemy import text

from rsuq_cli.datasets.catalogue import open_dataset
from rsuq_cli.results.database import open_for_writing

if TYPE_CHECKING:
    from conftest import Place
    from samples import Sample


@pytest.fixture
def reported(place: Place) -> Place:
    split = open_dataset("digits").load("test")
    with open_for_writing(place.database) as db:
        network: dict[str, Any] = {"weights_sha256": "a" * 64, "fingerprint": [[1.0, 2.0]]}
        made_up_run(db, inputs=split.indices[:40].tolist(), labels=split.labels[:40].tolist(), **network)
        imported_run(db)
        made_up_detection(db, sets=("constant",), **network)
    return place


def test_files_are_written_beside_the_table(reported: Place) -> None:
    plain = rsuq("report", "--format", "json")
    result = rsuq("report", "--format", "json", "--plot", "a.svg", "--html", "a.html")
    assert result.exit_code == 0
    assert result.json == plain.json
    assert "wrote a.svg" in result.stderr
    assert "wrote a.html, 0." in result.stderr
    page = (reported.work / "a.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert "Images: digits as found now." in page
    assert "No images: cifar10 is not in" in page
    assert (reported.work / "a.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_masses_go_with_a_picture_and_a_page(reported: Place) -> None:
    plain = rsuq("report", "--masses", "--format", "json")
    result = rsuq("report", "--masses", "--format", "json", "--plot", "a.svg", "--html", "a.html")
    assert result.exit_code == 0, result.stderr
    assert result.json == plain.json
    assert {record["masses_are"] for record in result.json} == {"estimates", "lower bounds"}
    picture = (reported.work / "a.svg").read_text(encoding="utf-8")
    assert rsuq("report", "--plot", "b.svg", "--panels", "masses").exit_code == 0
    assert (reported.work / "b.svg").read_text(encoding="utf-8") == picture
    page = (reported.work / "a.html").read_text(encoding="utf-8")
    assert "Gains beside the average" in page
    assert "masses of an imported log are lower bounds" in rsuq("report", 2, "--masses").stdout
    assert "lower bounds" not in rsuq("report", 1, "--masses").stdout


def test_the_first_screen_has_the_figures_of_the_report(reported: Place) -> None:
    with open_for_writing(reported.database) as db:
        made_up_audit(db, 1, {"cc": [-0.25, -0.125]})
    result = rsuq("report", 1, "--format", "json", "--html", "a.html")
    page = (reported.work / "a.html").read_text(encoding="utf-8")
    record = result.json[0]
    shown = re.findall(r'data-figure="(\w+)" data-value="([^"]+)"', page)
    assert len(shown) == 5
    assert {name: float(value) for name, value in shown} == {name: record[name] for name, _ in shown}
    certified = re.findall(r'data-certified="(\w+)" data-value="([^"]+)"', page)
    expected = [record[f"certified_{name}"][at]["value"] for at in (1, 2) for name in ("standard", "cc", "ncl")]
    assert [float(value) for _, value in certified] == expected
    inputs = rsuq("report", 1, "--inputs", "--format", "json", "--only", "correct = 1").json
    radii = sorted((one["radius_cc"] for one in inputs if one["scoring_id"] == 1), reverse=True)
    reached = [
        float(value) for name, value in re.findall(r'data-reach="(\w+)" data-value="([^"]+)"', page) if name == "cc"
    ]
    assert reached[1] == radii[(len(radii) + 1) // 2 - 1]
    assert "none was broken" in page
    assert "constant (far, 3 inputs, run 3)" in page  # though run 1 alone was named


def test_inputs_from_elsewhere_are_no_inputs_of_the_page(reported: Place) -> None:
    """A run with inputs from elsewhere that was scored again: their label is -1, and no accuracy is over them."""
    plain = rsuq("report", "--html", "a.html")
    with open_for_writing(reported.database) as db, db.transaction() as connection:
        scoring = connection.execute(text("SELECT id FROM scoring WHERE run_id = 3")).scalar_one()
        columns = [row[1] for row in connection.execute(text("PRAGMA table_info(certified_sample)"))]
        own = [{"scoring_id": str(scoring), "label": "-1", "correct": "0"}.get(name, name) for name in columns]
        connection.execute(text(f"INSERT INTO certified_sample SELECT {', '.join(own)} FROM certified_sample "
                                "WHERE scoring_id = 1"))  # fmt: skip
    assert plain.exit_code == rsuq("report", "--html", "b.html").exit_code == 0
    assert (reported.work / "a.html").read_bytes() == (reported.work / "b.html").read_bytes()


def test_selections_and_panels_hold_for_pictures(reported: Place) -> None:
    assert rsuq("report", "--uncertainty", "margin", "--plot", "a.png", "--panels", "risk").exit_code == 0
    assert rsuq("report", 2, "--html", "a.html").exit_code == 0
    page = (reported.work / "a.html").read_text(encoding="utf-8")
    assert "run 2: resnet110 on cifar10" in page
    assert "run 1:" not in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--plot", "a.gif"], "a.gif names no picture format; let the name end in .png, .svg, .pdf"),
        (["--plot", "a.png", "--panels", "curve"], "unknown panel 'curve'"),
        (["--plot", "there.png"], "there.png exists; --force replaces it"),
        (["--html", "there.html"], "there.html exists; --force replaces it"),
        (["--html", "no/where.html"], "there is no folder no"),
        (["--html", "."], ". is a folder"),
        (["--plot", "a.png", "--inputs"], "are different reports"),
        (["--html", "a.html", "--per-class"], "are different reports"),
        (["--html", "a.html", "--model", "vit"], "no certified inputs match"),
        (["2", "--plot", "a.png", "--panels", "ood"], "there is nothing to draw for ood"),
    ],
)
def test_bad_input_is_one_line_and_leaves_every_file(reported: Place, arguments: list[str], said: str) -> None:
    for name in ("there.png", "there.html"):
        (reported.work / name).write_text("kept")
    before = snapshot(reported.root)
    line = next(one for one in rsuq("report", *arguments).stderr.splitlines() if one.startswith("error: "))
    assert said in line
    assert rsuq("report", *arguments).exit_code == 2
    assert snapshot(reported.root) == before


def test_force_replaces(reported: Place) -> None:
    for name in ("a.png", "a.html"):
        (reported.work / name).write_text("old")
    assert rsuq("report", "--plot", "a.png", "--panels", "risk", "--html", "a.html", "--force").exit_code == 0
    assert (reported.work / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (reported.work / "a.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not [path for path in reported.work.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    "flags", [[], ["--tolerance", 0.05, "--n", 400], ["--at-radius", 0.1, "--guarantee", "cc", "--n", 400]]
)
def test_commands_on_the_page_find_the_run_that_they_describe(place: Place, blobs: Sample, flags: list[object]) -> None:
    asked = ["--model", blobs.model, "--dataset", blobs.dataset, "--n", 300, "--sigma", 0.25, "--limit", 3]
    assert rsuq("certify", *asked, "--uncertainty", "margin", *flags).exit_code == 0
    assert rsuq("report", "--html", "a.html").exit_code == 0
    page = (place.work / "a.html").read_text(encoding="utf-8")
    found = re.search(r"<pre>(rsuq certify .*?)</pre>", page, re.DOTALL)
    assert found
    again = rsuq(*shlex.split(html.unescape(found[1]))[1:])
    assert again.exit_code == 0
    assert "run 1: all 3 inputs are sampled already" in again.stderr


def test_refused_is_said_once(reported: Place) -> None:
    assert "names no picture format" in refused(rsuq("report", "--plot", "a"))


def test_pictures_need_no_torch_but_for_images(reported: Place) -> None:
    code = "import sys; from rsuq_cli.app import main\ntry: main()\nexcept SystemExit: print('torch' in sys.modules)"
    drawn = ("report", "--plot", "a.png", "--panels", "risk")
    done = subprocess.run([sys.executable, "-c", code, *drawn], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False", done.stderr
