"""Settings: which file is in force, what it may say, and that flags and environment win over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commandline import refused, rsuq
from conftest import Place

from rsuq_cli.errors import BadInput
from rsuq_cli.settings import configuration_file, defaults_by_command

FLAGS = {"certify": {"sigma", "n", "batch_size", "device"}, "train": {"sigma", "epochs", "device"}, "db": set[str]()}
VOTES = ("--certain", "0:900", "--uncertain", "1:100", "--format", "json")


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def configured(place: Place, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a function that puts a configuration file in force."""

    def configure(text: str) -> Path:
        path = written(place.root / "some.toml", text)
        monkeypatch.setenv("RSUQ_CONFIG", str(path))
        return path

    return configure


def test_without_a_file_there_are_no_defaults(place: Place) -> None:
    assert configuration_file() is None
    assert defaults_by_command(FLAGS) == {}


def test_the_file_is_the_named_one_then_the_local_one_then_the_users(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = written(place.root / "home" / "config" / "rsuq" / "config.toml", "")
    monkeypatch.setattr("rsuq_cli.settings.platformdirs.user_config_dir", lambda name: str(users.parent))
    assert configuration_file() == users
    local = written(place.work / "rsuq.toml", "")
    found = configuration_file()
    assert found is not None
    assert found.resolve() == local.resolve()
    named = written(place.root / "named.toml", "")
    monkeypatch.setenv("RSUQ_CONFIG", str(named))
    assert configuration_file() == named


def test_a_named_file_that_is_not_there_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSUQ_CONFIG", str(place.root / "absent.toml"))
    with pytest.raises(BadInput, match=r"RSUQ_CONFIG names .*absent\.toml, which is no file"):
        configuration_file()


def test_a_home_is_spelled_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(place.root / "home" / "rsuq-settings.toml", "")
    monkeypatch.setenv("RSUQ_CONFIG", "~/rsuq-settings.toml")
    assert configuration_file() == path


def test_a_key_at_the_top_goes_to_every_command_that_has_the_flag(configured: Any) -> None:
    configured('sigma = 0.5\nn = 50\ndevice = "cpu"')
    assert defaults_by_command(FLAGS) == {
        "certify": {"sigma": 0.5, "n": 50, "device": "cpu"},
        "train": {"sigma": 0.5, "device": "cpu"},
        "db": {},
    }


def test_the_table_of_a_command_wins_over_the_top(configured: Any) -> None:
    configured("sigma = 0.5\n[certify]\nsigma = 1.0\nbatch-size = 64")
    defaults = defaults_by_command(FLAGS)
    assert defaults["certify"] == {"sigma": 1.0, "batch_size": 64}
    assert defaults["train"] == {"sigma": 0.5}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("sgima = 0.5", "no command has a flag 'sgima'", "did you mean sigma?"),
        ("[certify]\nepochs = 3", "rsuq certify has no flag 'epochs'", ""),
        ("[certify]\nbatchsize = 3", "rsuq certify has no flag 'batchsize'", "did you mean batch_size?"),
        ("[certfy]\nn = 3", "there is no command 'certfy'", "did you mean certify?"),
        ("sigma = ", "cannot read", "mend it"),
        ("[certify]\nn = 1\nn = 2", "cannot read", "mend it"),
    ],
)
def test_what_is_no_setting_is_refused(configured: Any, text: str, message: str, hint: str) -> None:
    path = configured(text)
    with pytest.raises(BadInput) as caught:
        defaults_by_command(FLAGS)
    assert message in caught.value.message
    assert str(path) in caught.value.message
    assert hint in caught.value.hint


def test_a_file_that_is_no_text_is_refused(configured: Any) -> None:
    configured("").write_bytes(b"\xff\xfe\x00 = 1")
    with pytest.raises(BadInput, match="cannot read"):
        defaults_by_command(FLAGS)


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(configured: Any) -> None:
    assert rsuq("radius", *VOTES).json["sigma"] == 0.25
    configured("sigma = 0.5\n[radius]\nsigma = 2.0\nalpha = 0.01")
    from_file = rsuq("radius", *VOTES).json
    assert (from_file["sigma"], from_file["alpha"]) == (2.0, 0.01)
    assert rsuq("radius", "--sigma", 1, *VOTES).json["sigma"] == 1.0


def test_the_environment_wins_over_the_file(configured: Any, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    configured('db = "from-the-file.db"')
    monkeypatch.setenv("RSUQ_DB", "from-the-environment.db")
    assert "from-the-environment.db" in refused(rsuq("report"), 4)
    assert "from-a-flag.db" in refused(rsuq("report", "--db", "from-a-flag.db"), 4)
    monkeypatch.delenv("RSUQ_DB")
    assert "from-the-file.db" in refused(rsuq("report"), 4)


def test_a_broken_file_is_one_line_and_exit_2(configured: Any) -> None:
    configured("sgima = 0.5")
    assert "no command has a flag 'sgima'; did you mean sigma" in refused(rsuq("radius", *VOTES))


def test_a_value_of_the_wrong_kind_is_refused_like_a_flag(configured: Any) -> None:
    configured('[radius]\nsigma = "much"')
    result = rsuq("radius", *VOTES)
    assert result.exit_code == 2
    assert "Invalid value for '--sigma'" in result.stderr
    assert "Traceback" not in result.stderr


def test_one_value_does_for_a_flag_that_may_be_repeated(configured: Any) -> None:
    configured('certain = "0:9000,1:100"\n[radius]\nuncertain = "1:900"')
    one = rsuq("radius", "--format", "json").json
    configured('certain = ["0:9000", "1:100"]\nuncertain = ["1:900"]')
    assert rsuq("radius", "--format", "json").json == one
