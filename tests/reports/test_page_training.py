"""Where a network comes from: as the checkpoint recorded it, or that nobody did."""

from __future__ import annotations

from typing import Any

import pytest
from made_up import made_up_run
from made_up_trials import WEIGHTS, epochs, made_up_checkpoint

from rsuq_cli.readings.dossier import Dossier, dossiers
from rsuq_cli.reports.page.training import MOST_CLASSES, MOST_POINTS, MOST_ROWS, training_data, training_html
from rsuq_cli.results.database import Database
from rsuq_cli.results.figures import figures


def gathered(db: Database) -> list[Dossier]:
    return dossiers(db, figures(db))


def test_a_recorded_training_is_told_and_drawn(db: Database) -> None:
    checkpoint = made_up_checkpoint(db, epochs(4), name="mine", note="a <note>")
    for seed in (0, 1):
        made_up_run(db, inputs=range(2), measures=("entropy",), checkpoint_id=checkpoint, seed=seed)
    page = training_html(gathered(db))
    for said in (
        "cnn, of runs 1, 2", "/weights/cnn.safetensors", WEIGHTS[:12], "1, mine", "a &lt;note&gt;", "gaussian",
        '<th scope="row" class="left">epochs</th><td class="left">6</td>', "98.75 % clean, 92.50 % under noise",
        "<td>1</td><td>75.00</td><td>62.50</td>", 'data-checkpoint="1"',
    ):  # fmt: skip
        assert said in page, said
    assert page.count("<h3>") == 1
    assert training_data(gathered(db)) == {
        "1": [{name: one[name] for name in ("epoch", "loss", "accuracy_clean", "accuracy_noisy")} for one in epochs(4)]
    }


def test_an_objective_is_told_with_its_parameters_and_what_was_begun_with(db: Database) -> None:
    grandparent = {"file": "first.pt", "sha256": "a1" * 32}
    parent = {"checkpoint": 7, "objective": "gaussian", "sigma": 0.5, "file": "x", "began_with": grandparent}
    own = {"parameters": {"noises": 2, "weight": 20.0}, "ema": 0.99, "began_with": parent}
    made_up_run(db, inputs=range(2), checkpoint_id=made_up_checkpoint(db, objective="consistency", configuration=own))
    page = training_html(gathered(db))
    for said in ("noises 2, weight 20", "decay 0.99", "checkpoint 7 (gaussian, σ 0.5), which began with first.pt"):
        assert said in page, said


def test_what_a_plain_training_has_not_is_not_told(db: Database) -> None:
    made_up_run(db, inputs=range(2), checkpoint_id=made_up_checkpoint(db))
    page = training_html(gathered(db))
    assert not [said for said in ("its parameters", "averaged weights", "began with") if said in page]


def test_curves_that_were_not_recorded_are_called_so(db: Database) -> None:
    made_up_run(db, inputs=range(2), checkpoint_id=made_up_checkpoint(db))
    assert "Its training curves are not recorded." in training_html(gathered(db))
    assert training_data(gathered(db)) == {}


def test_weights_from_elsewhere_are_known_by_file_and_hash(db: Database) -> None:
    made_up_run(db, inputs=range(2), weights_sha256="c1" * 32, source_sha256="d2" * 32)
    made_up_run(db, inputs=range(2), seed=1, weights_sha256="e3" * 32)
    page = training_html(gathered(db))
    assert page.count("How it was trained is not recorded: it comes from elsewhere.") == 2
    for said in ("c1c1c1c1c1c1", "d2d2d2d2d2d2", "e3e3e3e3e3e3"):
        assert said in page


@pytest.mark.parametrize(
    "history",
    [
        [{"loss": 1.0}], ["epoch"], [{"epoch": "1"}], [{"epoch": True}],
    ],
)  # fmt: skip
def test_a_history_that_is_none_is_not_drawn(db: Database, history: list[Any]) -> None:
    made_up_run(db, inputs=range(2), checkpoint_id=made_up_checkpoint(db, history))
    assert training_data(gathered(db)) == {}
    assert "not recorded" in training_html(gathered(db))


def test_what_one_epoch_lacks_is_left_out(db: Database) -> None:
    history: list[dict[str, Any]] = [
        {"epoch": 1, "loss": None, "accuracy_clean": 0.5}, {"epoch": 2, "loss": 0.25, "accuracy_clean": 0.75},
    ]  # fmt: skip
    made_up_run(db, inputs=range(2), checkpoint_id=made_up_checkpoint(db, history))
    assert training_data(gathered(db)) == {
        "1": [{"epoch": 1, "accuracy_clean": 0.5}, {"epoch": 2, "loss": 0.25, "accuracy_clean": 0.75}]
    }
    assert "<td>-</td><td>50.00</td><td>-</td>" in training_html(gathered(db))


def test_a_long_training_and_many_classes_stay_short(db: Database) -> None:
    names = [f"class-{at}" for at in range(1000)]
    made_up_run(db, inputs=range(2), checkpoint_id=made_up_checkpoint(db, epochs(3000)), class_names=names, n=20,
                measures=("entropy",))  # fmt: skip
    page, drawn = training_html(gathered(db)), training_data(gathered(db))["1"]
    assert page.count("<tr>") < MOST_ROWS + 25
    assert f"{MOST_ROWS} of 3,000 epochs" in page
    assert (len(drawn), drawn[0]["epoch"], drawn[-1]["epoch"]) == (MOST_POINTS, 1, 3000)
    assert f"39 class-39, and {1000 - MOST_CLASSES} more" in page
    assert "class-40" not in page
