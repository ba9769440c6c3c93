"""An imported log claims no more than it says, and is imported once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rsuq_cli.errors import BadInput
from rsuq_cli.jobs.importing import ImportRequest, import_logs
from rsuq_cli.results.database import open_for_reading
from rsuq_cli.results.figures import figures
from rsuq_cli.results.runs import list_runs

LOG = """idx\tlabel\tpredict\tradius\tcorrect\ttime
0\t3\t3\t0.529\t1\t2.0
20\t8\t-1\t0.0\t0\t2.0
40\t1\t4\t0.31\t0\t2.0
60\t5\t5\t0.953\t1\t2.0
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "cohen.tsv"
    path.write_text(LOG)
    return path


def request(*files: Path, **changes: Any) -> ImportRequest:
    usual: dict[str, Any] = {"dataset": "mine", "model": "resnet110", "sigma": 0.25}
    return ImportRequest(files, **(usual | changes))


def test_the_figures_are_those_of_the_log(tmp_path: Path, log: Path) -> None:
    (one,) = import_logs(request(log), tmp_path / "a.db")
    with open_for_reading(tmp_path / "a.db") as db:
        (found,) = figures(db, radii=[0.0, 0.529, 0.6])
        (run,) = list_runs(db)
    assert (one.run_id, one.inputs, one.skip, one.added, one.warnings) == (1, 4, 20, True, ())
    assert found.acr_standard == pytest.approx((0.529 + 0.953) / 4)
    assert [point.value for point in found.certified_standard] == [0.5, 0.5, 0.25]
    assert (found.clean_accuracy, found.abstention, found.at_ceiling) == (0.5, 0.25, 0.25)
    assert (found.kind, found.measure, found.threshold, found.rule) == ("import", "none", None, "standard")
    assert (run.source, run.finished, run.inputs, run.seconds, run.status) == ("cohen.tsv", 4, 4, 8.0, "complete")


def test_the_same_log_again_is_the_same_run(tmp_path: Path, log: Path) -> None:
    import_logs(request(log), tmp_path / "a.db")
    moved = log.rename(tmp_path / "elsewhere.tsv")
    (again,) = import_logs(request(moved, source="a paper"), tmp_path / "a.db")
    assert (again.run_id, again.added) == (1, False)
    (other,) = import_logs(request(moved, alpha=0.01), tmp_path / "a.db")
    assert (other.run_id, other.added) == (2, True)


def test_warnings_stay_with_the_run(tmp_path: Path, log: Path) -> None:
    log.write_text(LOG.replace("0.953", "0.978").replace("5\t5", "5\t11"))
    (one,) = import_logs(request(log, dataset="cifar10"), tmp_path / "a.db")
    with open_for_reading(tmp_path / "a.db") as db:
        (run,) = list_runs(db)
    assert run.warnings == list(one.warnings)
    assert [warning.split(":")[0] for warning in one.warnings] == ["line 5", "line 5", "line 5"]
    assert "fits alpha = 0.01" in " ".join(one.warnings)


def test_one_bad_log_among_several_imports_none(tmp_path: Path, log: Path) -> None:
    bad = tmp_path / "bad.tsv"
    bad.write_text(LOG + "80\t1\n100\t1\t1\t0.1\t1\t1\n")
    with pytest.raises(BadInput, match=r"bad.tsv, line 6"):
        import_logs(request(log, bad), tmp_path / "a.db")
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": 0.0}, "sigma is 0"),
        ({"alpha": 1.0}, "alpha is 1"),
        ({"n": 0}, "--n is 0"),
        ({"n0": -1}, "--n0 is -1"),
        ({"dataset": " "}, "--dataset is empty"),
    ],
)
def test_settings_that_no_log_has_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        request(Path("log.tsv"), **changes)


def test_the_sizes_stated_here_are_those_of_the_data_sets() -> None:
    from rsuq_cli.datasets.digits import Digits
    from rsuq_cli.datasets.vision import VISION_SETS
    from rsuq_cli.jobs.importing import KNOWN_SETS

    digits = Digits()
    assert KNOWN_SETS["digits"] == (len(digits.indices("test")), digits.num_classes)
    for name, known in VISION_SETS.items():
        assert KNOWN_SETS[name].classes == len(known.class_names)
