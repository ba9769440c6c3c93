"""Names are short, and tell everything apart."""

from __future__ import annotations

from made_up import made_up_run

from rsuq_cli.readings.evidence import Detail, readings
from rsuq_cli.reports.names import reading_names, scoring_name, short_name
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import figures

COARSE = Detail(2, 2, 2, 2)


def test_readings_are_named_by_what_tells_them_apart(results: Database) -> None:
    found = readings(results, figures(results), COARSE)
    assert reading_names(found) == ["cnn, entropy", "cnn, margin", "mlp, entropy", "resnet110, none"]
    assert reading_names(found[:2]) == ["entropy", "margin"]
    assert reading_names(found[:1]) == ["entropy"]
    assert reading_names([]) == []


def test_names_differ_even_for_runs_of_the_same_settings(db: Database) -> None:
    for seed in (0, 1):
        made_up_run(db, seed=seed, inputs=range(10), measures=("entropy",))
    made_up_run(db, inputs=range(10), rule="plurality")
    names = reading_names(readings(db, figures(db), COARSE))
    assert len(set(names)) == len(names)
    assert all("entropy" in name or "margin" in name for name in names)
    assert "run 1" in names[0]
    assert "plurality" in names[-1]


def test_a_scoring_is_named_with_its_threshold(results: Database) -> None:
    with_threshold, *_, without = readings(results, figures(results), COARSE)
    name = scoring_name("entropy", with_threshold, with_threshold.stored[0])
    assert name.startswith("entropy, θ = 0.75 (answers ")
    assert scoring_name("none", without, 0) == "none"


def test_paths_are_cut_to_their_last_part() -> None:
    assert short_name("folder:/home/a/textures") == "folder:textures"
    assert short_name("noise:gaussian") == "noise:gaussian"
    assert short_name("digits") == "digits"
