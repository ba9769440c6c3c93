"""Where results are kept: a flag, the environment, or the user's data directory."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from rsuq_cli.errors import DatabaseError
from rsuq_cli.results.location import database_url, locate


def test_the_flag_wins_over_the_environment_and_that_over_the_data_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(platformdirs, "user_data_dir", lambda name: str(tmp_path / name))
    assert locate().path == tmp_path / "rsuq" / "rsuq.db"
    monkeypatch.setenv("RSUQ_DB", str(tmp_path / "environment.db"))
    assert locate(None).path == tmp_path / "environment.db"
    assert locate(tmp_path / "flag.db").path == tmp_path / "flag.db"


def test_a_relative_path_is_made_absolute_and_a_tilde_is_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert locate("a.db").path == tmp_path / "a.db"
    assert locate("~/a.db").path == tmp_path / "home" / "a.db"
    assert list(tmp_path.iterdir()) == []  # naming a place makes nothing


def test_a_url_of_sqlite_is_a_path(tmp_path: Path) -> None:
    assert locate(f"sqlite:///{tmp_path}/a.db").path == tmp_path / "a.db"
    assert database_url(tmp_path / "a.db") == f"sqlite:///{tmp_path}/a.db"


def test_a_server_has_no_path_and_its_password_is_never_shown() -> None:
    server = locate("postgresql://me:secret@host/results")
    assert server.path is None
    assert server.url.password == "secret"
    assert "secret" not in str(server)
    assert "secret" not in database_url("postgresql://me:secret@host/results")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("mysql://host/results", "cannot keep results in 'mysql'"),
        ("://nothing", "not a database URL"),
        ("sqlite://", "memory"),
        (":memory:", "memory"),
        ("sqlite:///a.db?mode=ro", "takes no options"),
    ],
)
def test_what_cannot_hold_results_is_refused(named: str, said: str) -> None:
    with pytest.raises(DatabaseError, match=said) as caught:
        locate(named)
    assert caught.value.hint
