"""Tables of out-of-distribution runs, from figures made up by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rsuq_cli.console import Table
from rsuq_cli.errors import BadInput
from rsuq_cli.reports.ood.records import record_table
from rsuq_cli.reports.ood.summary import people_tables, summary_table
from rsuq_cli.reports.ood.tables import detailed_tables
from rsuq_cli.reports.ood.view import View, short, verdict
from rsuq_cli.results.ood_queries import Difference, Estimate, Key, OodRun, Settings

CLEAN, MASS = "clean:energy", "uncertain_mass:entropy@0.9"


def a_run(number: int = 1, *, family_size: int = 1, model: str = "cnn") -> OodRun:
    row = SimpleNamespace(
        id=number,
        status="complete",
        model=model,
        dataset="digits",
        sigma=0.25,
        n0=100,
        n=1000,
        seed=0,
        warnings=None,
        name=None,
        note=None,
        tags=(),
    )
    sets = ("held-out", "constant", "folder:/far/away/scenes")
    figures: dict[Key, Estimate] = {}
    for ood_set in (*sets, "average:near", "average:far"):
        for score in (CLEAN, MASS):
            for name, value in (("auroc", 0.875), ("aupr_in", 0.75), ("aupr_out", 0.7), ("detection_accuracy", 0.8)):
                figures[Key(name, ood_set, score, None)] = Estimate(value, value - 0.1, value + 0.1)
            figures[Key("fpr95", ood_set, score, None)] = Estimate(0.25, 0.2, 0.3)
            figures[Key("fpr95_id_positive", ood_set, score, None)] = Estimate(0.5, 0.4, 0.6)
    for name in ("aurc", "e_aurc", "augrc", "risk@0.9"):
        figures[Key(name, None, CLEAN, None)] = figures[Key(name, None, MASS, None)] = Estimate(0.0625, None, None)
    for radius, value in ((0.0, 0.79999), (0.25, 0.57)):
        for ood_set in sets:
            for suffix, less in (("", 0.0), ("_two_sided", 0.125)):
                figures[Key(f"guaranteed_auroc{suffix}", ood_set, MASS, radius)] = Estimate(value - less, None, None)
                figures[Key(f"guaranteed_fpr95{suffix}", ood_set, MASS, radius)] = Estimate(0.9, None, None)
            figures[Key("certified_uncertain", ood_set, MASS, radius)] = Estimate(0.4, 0.3, 0.5)
        figures[Key("certified_cc", None, MASS, radius)] = Estimate(0.6, 0.5, 0.7)
    figures[Key("gain_over_clean", "constant", "mean:entropy", None)] = Estimate(0.03, -0.01, 0.07)
    differences = tuple(
        Difference(ood_set, MASS, CLEAN, Estimate(0.01, low, 0.02))
        for ood_set, low in (("held-out", -0.01), ("constant", 0.005), ("average:near", -0.01), ("average:far", 0.005))
    )
    return OodRun(
        run=cast("Any", row), sets=sets, scores=(CLEAN, MASS), inputs=dict.fromkeys(("digits", *sets), 50),
        near=frozenset({"held-out"}), settings={MASS: Settings("entropy", 0.4, 0.9, 0.001, family_size)},
        figures=figures, differences=differences,
    )  # fmt: skip


def cells(table: Table) -> list[list[str]]:
    return [[column.cell(record) for column in table.columns] for record in table.records]


def test_there_is_one_record_for_each_set_and_score_with_everything_about_it() -> None:
    found = record_table(View([a_run()])).records
    assert [(r["ood_set"], r["score"]) for r in found[:2]] == [("held-out", CLEAN), ("held-out", MASS)]
    assert len(found) == 6
    mass = found[1]
    assert (mass["auroc"], mass["fpr95"], mass["convention"], mass["group"]) == (0.875, 0.25, "ood-positive", "near")
    assert mass["intervals"]["auroc"] == {"value": 0.875, "low": 0.775, "high": 0.975}
    assert mass["certified"][1] == {
        "radius": 0.25, "auroc": 0.57, "fpr95": 0.9, "auroc_two_sided": pytest.approx(0.445), "fpr95_two_sided": 0.9,
        "certified_uncertain": 0.4, "certified_cc": 0.6,
    }  # fmt: skip
    assert found[0]["certified"] == []
    assert (found[0]["alpha"], mass["alpha"], mass["guarantee"]) == (None, 0.001, "per input")
    assert mass["selective"]["accuracy@0.9"] == 1 - 0.0625
    assert mass["comparison"]["best_smoothed"] == MASS


def test_the_other_convention_takes_the_other_rate() -> None:
    assert record_table(View([a_run()], (), "id-positive")).records[0]["fpr95"] == 0.5


def test_people_see_sets_side_by_side_and_the_average_of_several() -> None:
    detection = detailed_tables(View([a_run()]))[0]
    titles = [column.title for column in detection.columns]
    assert "held-out (near)\nAUROC %" in titles
    assert "scenes (far)\nAUROC %" in titles
    assert "far average\nAUROC %" in titles
    assert not [title for title in titles if "near average" in title]
    assert cells(detection)[0][:3] == [CLEAN, "87.5 [77.5, 97.5]", "25.0"]


def test_a_guarantee_is_rounded_down_and_says_how_far_it_can_be_trusted() -> None:
    table = detailed_tables(View([a_run()]))[1]
    assert cells(table)[0] == ["held-out", MASS, "79.9 / 67.4", "57.0 / 44.4"]
    assert any("per input" in note for note in table.notes)
    together = detailed_tables(View([a_run(family_size=300)]))[1]
    assert any("simultaneously" in note and "300" in note for note in together.notes)


def test_runs_are_told_apart_where_they_differ() -> None:
    table = detailed_tables(View([a_run(), a_run(2, model="mlp")]))[0]
    assert [column.title for column in table.columns[:3]] == ["run", "model", "score"]
    assert [row[:2] for row in cells(table)] == [["1", "cnn"], ["1", "cnn"], ["2", "mlp"], ["2", "mlp"]]


def test_the_last_table_answers_whether_smoothing_helps() -> None:
    last = detailed_tables(View([a_run()]))[-1]
    rows = {row[0]: row[-1] for row in cells(last)}
    assert rows == {"held-out": "undecided", "constant": "helps", "far average": "helps"}
    assert verdict(Estimate(-0.1, -0.2, -0.05)) == "hurts"


def test_one_screen_has_a_row_for_each_set_with_what_was_chosen_and_what_was_not() -> None:
    table = summary_table(View([a_run()]))
    rows = {row[0].split("\n")[0]: row[1:] for row in cells(table)}
    assert list(rows) == ["held-out", "constant", "far average"]
    best_clean, best_smoothed, difference, own, uncertain, guaranteed = rows["constant"]
    assert (best_clean, best_smoothed) == ("87.5\nenergy", "87.5\nuncertain_mass:\nentropy@0.9")
    assert difference == "+1.0\n[+0.5, +2.0]"
    assert own == "+3.0\n[-1.0, +7.0]"
    assert (uncertain, guaranteed) == ("40.0", "57.0")
    assert rows["far average"][-2:] == ["-", "-"]
    assert [column.title for column in table.columns][-2:] == [
        "certified\nuncertain %\nr = 0.25", "guaranteed\nAUROC %\nr = 0.25",
    ]  # fmt: skip
    legend = " ".join(table.notes)
    for word in ("on these very inputs, of 1 clean and 1 smoothed", "not in the interval", "nothing chosen", "entropy"):
        assert word in legend


def test_runs_whose_radii_differ_say_so_in_each_row() -> None:
    other = a_run(2)
    moved = {key._replace(radius=0.5) if key.radius else key: one for key, one in other.figures.items()}
    table = summary_table(View([a_run(), replace(other, figures=moved)]))
    assert [row[-1] for row in cells(table) if row[1].startswith("constant")] == ["57.0\nr = 0.25", "57.0\nr = 0.5"]


def test_a_run_without_a_threshold_has_no_own_measure() -> None:
    bare = replace(a_run(), settings={})
    table = summary_table(View([bare]))
    assert [row[-3:] for row in cells(table)] == [["-", "-", "-"]] * 3
    assert not [note for note in table.notes if "guaranteed" in note]


def test_intervals_are_there_for_who_asks() -> None:
    row = cells(summary_table(View([a_run()]), intervals=True))[0]
    assert row[1] == "87.5 [77.5, 97.5]\nenergy"
    assert row[5] == "40.0 [30.0, 50.0]"


def test_people_get_one_table_unless_they_ask_for_more() -> None:
    view = View([a_run()])
    assert [len(people_tables(view)), len(people_tables(view, details=True))] == [1, 6]
    assert people_tables(view, by_score=True)[0].columns[0].title == "score"


def test_scores_are_chosen_and_unknown_ones_refused() -> None:
    assert {r["score"] for r in record_table(View([a_run()], ["uncertain_mass"])).records} == {MASS}
    with pytest.raises(BadInput, match="unknown score"):
        record_table(View([a_run()], ["mean:entropy"]))


def test_names_of_paths_are_shortened() -> None:
    assert short("npz:/a/b.npz") == "b.npz"
    assert short("noise:smooth") == "noise:smooth"
