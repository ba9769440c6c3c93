"""The page shows the database's figures, at every position of its slider, and needs nothing but itself."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import drive
from made_up import made_up_run
from made_up_trials import SMOOTHED, epochs, made_up_audit, made_up_checkpoint, made_up_detection
from sqlalchemy import text

from rsuq_cli.readings.dossier import dossiers
from rsuq_cli.readings.evidence import Reading, reading_keys, readings
from rsuq_cli.readings.images import Images
from rsuq_cli.readings.masses import masses_of
from rsuq_cli.reports.comparison import comparison_table
from rsuq_cli.reports.page.data import detail_for
from rsuq_cli.reports.page.file import PageContent, page_html
from rsuq_cli.reports.page.template import script_json
from rsuq_cli.results.database import Database, open_for_writing
from rsuq_cli.results.exhibits import GALLERIES, Scores, exhibits, ood_scores
from rsuq_cli.results.figures import Figures, figures

RADII = (0.0, 0.1, 0.25, 0.4)
SHOWN = ("coverage", "clean_accuracy", "accuracy", "accuracy_answered", "acr_standard", "acr_cc", "acr_ncl", "gain",
         "cc_cost", "undecided", "at_ceiling")  # fmt: skip
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


class Made(dict[str, Any]):
    """A page with what it was made from."""

    html: str
    figures: list[Figures]
    readings: list[Reading]


def make_page(db: Database, scores: tuple[Scores, ...] = (), images: Mapping[int, Images] | None = None) -> Made:
    found = figures(db, radii=RADII)
    made = Made()
    made.figures = found
    made.readings = readings(db, found, detail_for(len(reading_keys(found))))
    galleries = {one.scoring_id: {kind: exhibits(db, one.scoring_id, kind, 5) for kind in GALLERIES} for one in found}
    none = {one.run_id: Images({}, "No images.") for one in found}
    made.html = page_html(
        PageContent(
            made.readings,
            found,
            comparison_table(found),
            scores,
            galleries,
            {**none, **(images or {})},
            dossiers(db, found),
            masses_of(db, found),
        )
    )
    return made


def embedded(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


@pytest.fixture(scope="module")
def page(results: Database) -> Made:
    scores = Scores(1, "digits", "max_vote", np.array([0.0, 0.1, 0.2, 0.9]), {"noise:gaussian": np.array([0.3, 0.95])})
    return make_page(results, (scores,), {1: Images({0: PIXEL, 7: PIXEL}, "Images: digits as found now.")})


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Run 1 of a recorded network, audited and tried with inputs from elsewhere, under names that are markup."""
    with open_for_writing(tmp_path_factory.mktemp("trials") / "a.db") as db:
        checkpoint = made_up_checkpoint(db, epochs(5), name=HOSTILE, note=HOSTILE, file=HOSTILE)
        made_up_run(db, class_names=[HOSTILE, "b"], checkpoint_id=checkpoint, coverages=(0.7,), measures=("entropy",))
        made_up_audit(db, 1, {"cc": [-0.2], "ncl": [-0.1]})
        made_up_detection(db, sets=(f"folder:{HOSTILE}", "noise:smooth"), name=HOSTILE, warnings=[HOSTILE],
                          checkpoint_id=checkpoint)  # fmt: skip
        with db.transaction() as connection:
            values = {"hostile": HOSTILE}
            connection.execute(text("UPDATE run SET name = :hostile, note = :hostile, source = :hostile"), values)
            connection.execute(text("INSERT INTO run_tag VALUES (1, :hostile)"), values)
            connection.execute(text("INSERT INTO checkpoint_tag VALUES (1, :hostile)"), values)
        yield db


READ_OUT = """
const told = () => Object.fromEntries([...document.querySelectorAll("#tiles dd")].map(
  (tile) => [tile.dataset.figure, JSON.parse(tile.dataset.value)]));
const curves = () => [...document.querySelectorAll("#numbers tbody tr")].map(
  (row) => [...row.querySelectorAll("[data-count]")].map((cell) => Number(cell.dataset.count)));
"""


def test_slider_moves_every_figure_to_that_of_the_database(page: Made, tmp_path: Path) -> None:
    answer = drive(
        tmp_path, page.html,
        READ_OUT + """
        const seen = [], reading = document.getElementById("reading"), slider = document.getElementById("threshold");
        for (const option of reading.options) {
          reading.value = option.value;
          reading.dispatchEvent(new Event("change"));
          const steps = [];
          for (let at = 0; at <= Number(slider.max); at++) {
            slider.value = String(at);
            slider.dispatchEvent(new Event("input"));
            steps.push({ figures: told(), curves: curves(), value: slider.getAttribute("aria-valuetext") });
          }
          seen.push({ name: option.textContent, steps });
        }
        return seen;
        """,
    )  # fmt: skip
    assert [one["name"] for one in answer] == ["cnn, entropy", "cnn, margin", "mlp, entropy", "resnet110, none"]
    stored = 0
    for told, reading in zip(answer, page.readings, strict=True):
        assert len(told["steps"]) == len(reading.positions)
        for position, step in enumerate(told["steps"]):
            totals, at = reading.at(position)
            names = ("standard", "cc", "ncl") if reading.rejects else ("standard",)
            rows = [totals.radii.tolist().index(radius) for radius in RADII]
            assert step["curves"] == [[int(totals.reached[name][at][row]) for name in names] for row in rows]
            assert step["figures"]["aurc"] == pytest.approx(totals.aurc[at], rel=1e-8)
            expected = reading.positions[position].figures
            for name in ("coverage", "acr_ncl", "gain", "cc_cost") if reading.rejects else ("coverage",):
                value = float(totals.values[name][at])
                assert step["figures"][name] == (None if np.isnan(value) else pytest.approx(value, abs=1e-12)), name
            if expected is None:
                assert "stored" not in step["value"]
                continue
            stored += 1
            of_rejection = () if reading.rejects else ("acr_cc", "acr_ncl", "gain", "cc_cost")
            for name in SHOWN:
                figure = None if name in of_rejection else getattr(expected, name)
                assert step["figures"][name] == (None if figure is None else pytest.approx(figure, rel=1e-9)), name
            curve = expected.certified_cc if reading.rejects else expected.certified_standard
            shares = [row[1 if reading.rejects else 0] / expected.inputs for row in step["curves"]]
            assert shares == pytest.approx([point.value for point in curve])
    assert stored == len(page.figures)


def test_probe_reads_out_the_curve_with_the_interval_of_the_database(page: Made, tmp_path: Path) -> None:
    told = drive(
        tmp_path, page.html,
        """
        const chart = document.querySelector("#charts svg");
        chart.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
        const first = document.getElementById("probe").textContent;
        for (const key of ["ArrowRight", "ArrowLeft", "ArrowLeft"]) {
          chart.dispatchEvent(new KeyboardEvent("keydown", { key }));
        }
        const again = document.getElementById("probe").textContent;
        const box = chart.getBoundingClientRect();
        chart.dispatchEvent(new PointerEvent("pointermove", { clientX: box.right - 5, clientY: box.top + 50 }));
        const last = document.getElementById("probe").textContent;
        chart.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
        return { first, again, last, hidden: document.getElementById("probe").hidden };
        """,
    )  # fmt: skip
    expected = page.figures[0]
    lines = told["first"].split("\n")
    assert lines[0] == "radius 0.000"
    curves = (("standard", expected.certified_standard), ("CC", expected.certified_cc), ("NCL", expected.certified_ncl))
    for line, (name, curve) in zip(lines[1:], curves, strict=True):
        value, low, high = (100 * part for part in (curve[0].value, curve[0].low, curve[0].high))
        assert line == f"{name} {value:.1f} % [{low:.1f}, {high:.1f}]"
    assert told["again"] == told["first"]
    assert told["last"] != told["first"]
    assert told["hidden"] is True


def test_table_rows_gallery_scores_and_theme_answer(page: Made, tmp_path: Path) -> None:
    told = drive(
        tmp_path, page.html,
        READ_OUT + """
        const all = (selector) => [...document.querySelectorAll(selector)];
        const rows = all("#scorings button").map((button) => {
          button.click();
          return {
            scoring: button.dataset.scoring, figures: told(),
            current: all("[aria-current]").map((row) => row.dataset.scoring),
            widest: all("#widest li").map((item) => item.textContent), images: all("#widest img, #wrong img").length,
            charts: all("#charts figure:not([hidden])").length,
          };
        });
        const background = () => getComputedStyle(document.body).backgroundColor;
        const before = background();
        document.getElementById("theme").click();
        return { rows, themes: [before, background()], foreign: document.getElementById("foreign").textContent };
        """,
    )  # fmt: skip
    assert [int(row["scoring"]) for row in told["rows"]] == [one.scoring_id for one in page.figures]
    for row, one in zip(told["rows"], page.figures, strict=True):
        assert row["current"] == [str(one.scoring_id)]
        assert row["figures"]["acr_standard"] == pytest.approx(one.acr_standard)
        assert row["figures"]["coverage"] == pytest.approx(one.coverage)
    assert told["rows"][0]["widest"][0].startswith("input ")
    assert told["rows"][-1]["widest"] == ["none"]
    assert told["rows"][-1]["charts"] == 3
    assert told["rows"][0]["charts"] == 6
    assert told["themes"][0] != told["themes"][1]
    assert "noise:gaussian, AUROC 0.875" in told["foreign"]


def test_masses_are_drawn_and_read_out_and_bounds_are_called_so(page: Made, results: Database, tmp_path: Path) -> None:
    told = drive(
        tmp_path, page.html,
        """
        const select = document.getElementById("mass"), chart = document.querySelector("#mass-charts svg[tabindex]");
        const read = (times) => {
          for (let i = 0; i < times; i++) chart.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
          return document.getElementById("probe").textContent;
        };
        return [...select.options].map((option) => {
          select.value = option.value;
          select.dispatchEvent(new Event("change"));
          return { said: read(91), caption: chart.parentNode.querySelector("figcaption").textContent,
                   beside: [...document.querySelectorAll("#mass-charts figcaption")].pop().textContent };
        });
        """,
    )  # fmt: skip
    found = masses_of(results, page.figures)
    assert len(told) == len(found) == 7
    for shown, one in zip(told, found, strict=True):
        assert shown["said"].startswith("mass 0.90\n")
        for name, distribution in (("p, votes", one.p_own), ("q, certain", one.q_own), ("1 −", one.q_not_wrong)):
            lines = [line for line in shown["said"].split("\n") if f": {name}" in line]
            expected = [] if distribution is None else [f"{100 * np.mean(distribution.ascending <= 0.9 + 1e-9):.1f} %"]
            assert [line.partition(" at most")[0] for line in lines] == expected
        assert shown["caption"].startswith("Lower bounds" if one.figures.kind == "import" else "Estimates")
        assert "Lower bounds of imported logs stand beside estimates" in shown["beside"]
    assert "so where a bound stands below an estimate, the network need not be worse" in page.html


def test_hostile_names_stay_text(db: Database, tmp_path: Path) -> None:
    made_up_run(
        db, model=HOSTILE, dataset=f"folder:/a{HOSTILE}", class_names=[HOSTILE, "b", "{{title}}"], coverages=(0.7,)
    )
    with db.transaction() as connection:
        connection.execute(text("UPDATE run SET warnings = :warnings"), {"warnings": json.dumps([HOSTILE])})
    made = make_page(db)
    title, classes = drive(
        tmp_path, made.html,
        """return [document.title, document.getElementById("widest").textContent];""",
    )  # fmt: skip
    assert title == "rsuq report"
    assert HOSTILE in classes
    assert "{{title}}" in classes
    assert made.html.count("<script") == 2


def test_names_notes_tags_and_files_stay_text(trials: Database, tmp_path: Path) -> None:
    made = make_page(trials)
    told = drive(
        tmp_path, made.html,
        """return [document.title, document.getElementById("answers").textContent,
                   document.getElementById("training").textContent, document.getElementById("foreign").textContent,
                   document.querySelectorAll("img[src=x]").length];""",
    )  # fmt: skip
    assert told[0] == "rsuq report"
    assert f"note: {HOSTILE}tags: {HOSTILE}" in told[1]
    assert told[2].count(HOSTILE) >= 4  # name, note, tags and file
    assert f"Warning: {HOSTILE}" in told[3]
    assert told[4] == 0
    assert made.html.count("<script") == 2


def test_training_and_guarantees_are_drawn_and_read_out_by_keys(trials: Database, tmp_path: Path) -> None:
    scores = tuple(ood_scores(trials, 2, "digits"))
    told = drive(
        tmp_path, make_page(trials, scores).html,
        """
        const read = (chart, times) => {
          for (let i = 0; i < times; i++) chart.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
          return document.getElementById("probe").textContent;
        };
        const charts = [...document.querySelectorAll(".training svg[tabindex]"),
                        document.querySelector("#promise-charts svg[tabindex]")];
        return {
          labels: charts.map((chart) => chart.getAttribute("aria-label").split(":")[0]),
          said: charts.map((chart) => read(chart, 2)), scores: document.getElementById("score").options.length,
          promises: document.getElementById("promise").textContent,
        };
        """,
    )  # fmt: skip
    assert told["labels"] == ["Accuracy while training", "Loss while training", "Guaranteed AUROC"]
    assert told["said"][0] == "epoch 2\nclean 75 %\nunder noise 62.5 %"
    assert told["said"][1] == "epoch 2\nloss 1"
    assert told["said"][2].endswith("noise:smooth, r = 0\n79.9 %, both sides moved 39.9 %")
    assert told["scores"] == 2
    assert told["promises"] == f"run 2, {SMOOTHED}"


def test_a_guarantee_is_drawn_no_higher_than_it_is_between_radii(trials: Database, tmp_path: Path) -> None:
    """From one radius to the next the line is level, at the height of the next."""
    path = drive(
        tmp_path, make_page(trials).html,
        'return document.querySelector("#promise-charts path.line").getAttribute("d");',
    )  # fmt: skip
    points = [tuple(map(float, part.split())) for part in re.split("[ML]", path)[1:]]
    assert len(points) == 5
    for (x, y), (next_x, next_y) in itertools.pairwise(points):
        assert x == next_x or y == next_y
    assert points[1][0] == points[0][0]


@pytest.mark.parametrize("width", [360, 800])
def test_nothing_is_wider_than_the_window(trials: Database, tmp_path: Path, width: int) -> None:
    told = drive(
        tmp_path, make_page(trials).html,
        """
        document.querySelectorAll("details").forEach((one) => { one.open = true; });
        const wide = [...document.querySelectorAll("body *")].filter((one) =>
          !one.closest(".scroll, svg") && one.getBoundingClientRect().right > innerWidth + 1);
        return { width: innerWidth, wide: wide.map((one) => one.tagName + "." + one.className),
                 body: document.documentElement.scrollWidth };
        """,
        width=width,
    )  # fmt: skip
    assert told["wide"] == []
    assert told["body"] <= told["width"]


def test_what_scrolls_and_what_is_chosen_can_be_reached_by_keys(trials: Database, tmp_path: Path) -> None:
    deaf = drive(
        tmp_path, make_page(trials).html,
        """
        const reached = (one) => one.tabIndex >= 0 && (one.getAttribute("aria-label") || one.labels?.length
                                                       || one.textContent.trim());
        return [...document.querySelectorAll(".scroll, select, input, button, a, figure > svg")]
          .filter((one) => !one.closest("[hidden]") && !reached(one)).map((one) => one.outerHTML.slice(0, 80));
        """,
    )  # fmt: skip
    assert deaf == []


def test_what_is_left_out_is_said(db: Database, tmp_path: Path) -> None:
    made_up_run(db, inputs=range(800), measures=("entropy",), coverages=(0.9,))
    made = make_page(db)
    made.html = made.html.replace('"most_exhibits":12', '"most_exhibits":5')
    told = drive(
        tmp_path, made.html,
        """return [document.querySelectorAll("#charts figcaption")[1].textContent,
                   document.getElementById("widest").textContent];""",
    )  # fmt: skip
    assert told[0].startswith("300 of 800 inputs, spread evenly.")
    assert told[1].endswith("Others may have been left out: 5 are shown.")


def test_script_json_can_begin_no_tag() -> None:
    data = {"a": "</script><!--", "b": "\u2028 &"}
    written = script_json(data)
    assert "<" not in written
    assert json.loads(written) == data
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(float("nan"))


class _References(HTMLParser):
    """Gathers whatever a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [str(value) for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]


def test_page_refers_to_nothing_outside(page: Made) -> None:
    references = _References()
    references.feed(page.html)
    assert all(one.startswith("#") for one in references.found), references.found
    assert not references.tags & {"link", "iframe", "object", "embed", "base", "audio", "video"}
    written = page.html.replace(PIXEL, "")
    assert not re.search(r"https?:|//[a-z]|url\(|@import|fetch\(|XMLHttpRequest|import\(", written)
    assert "default-src 'none'" in page.html


def test_embedded_counts_are_exact_and_radii_rounded_down(page: Made) -> None:
    for told, reading in zip(embedded(page.html)["readings"], page.readings, strict=True):
        totals = reading.parts[0]
        height, points = len(told["thresholds"]), told["points"]
        assert told["sums"]["answered"] == totals.sums["answered"].tolist()
        for name, differences in told["reached"].items():
            table = np.cumsum(np.reshape(differences, (-1, len(told["radii"]))), axis=0)
            np.testing.assert_array_equal(np.broadcast_to(table, totals.reached[name].shape), totals.reached[name])
        shown = len(points["index"])
        cc = np.broadcast_to(np.cumsum(np.reshape(points["cc"], (-1, shown)), axis=0), (height, shown)).T
        ncl = np.broadcast_to(np.cumsum(np.reshape(points["ncl"], (-1, shown)), axis=0), (height, shown)).T
        np.testing.assert_array_equal(ncl >= 0, totals.points.right)
        for whole, exact in (
            (cc, totals.points.radius_cc),
            (np.where(ncl < 0, -1 - ncl, ncl), totals.points.radius_ncl),
        ):
            assert (whole * points["unit"] <= exact).all()
            assert (exact - whole * points["unit"] < 2 * points["unit"]).all()


def test_settings_and_commands_to_make_it_again_are_there(page: Made) -> None:
    assert "rsuq certify --model cnn --dataset digits --sigma 0.25 --n0 20 --n 200" in page.html
    assert "--uncertainty entropy --rule majority --competitors merged --alpha 0.001 --coverage 0.7" in page.html
    assert "5" * 64 in page.html
    assert page.html.count("<details>") == 3
    assert "log.tsv" in page.html


def test_the_same_results_give_the_same_page(results: Database) -> None:
    assert make_page(results).html == make_page(results).html


def test_detail_falls_as_readings_grow() -> None:
    details = [detail_for(count) for count in (1, 10, 50, 100, 1000)]
    assert [one.thresholds for one in details] == sorted((one.thresholds for one in details), reverse=True)
    assert details[0].thresholds > 200
    assert all(one.thresholds >= 50 for one in details[:4])


def test_a_hundred_readings_of_many_inputs_stay_a_small_page(db: Database, tmp_path: Path) -> None:
    # What a page weighs hardly depends on the inputs: their counts are longer, and as many. So one reading of some
    # stands, a hundred times, for a hundred of more.
    made_up_run(db, inputs=range(1000), n=500, bins=101, measures=("entropy",), coverages=(0.9,))
    (one,) = found = figures(db, radii=RADII)
    many = readings(db, found, detail_for(100)) * 100
    shown = {kind: exhibits(db, one.scoring_id, kind, 5) for kind in GALLERIES}
    content = PageContent(
        many,
        found,
        comparison_table(found),
        (),
        {one.scoring_id: shown},
        {1: Images({}, "")},
        dossiers(db, found),
        masses_of(db, found),
    )
    page = page_html(content)
    assert 1_000_000 < len(page.encode()) < 8_000_000  # 2 MB are left for images
    script = "return document.getElementById('reading').options.length;"
    assert drive(tmp_path, page, script) == 100
