"""What is slow to import is imported by those who need it: `--help` and the database's readers do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Place

import rsuq_cli

SLOW = ("torch", "torchvision", "sqlmodel", "sqlalchemy", "alembic", "scipy", "pandas", "sklearn", "matplotlib")

# Runs the program as its entry point does, then says how it ended and which of the packages it has imported.
PROGRAM = """
import json, sys
names, sys.argv = json.loads(sys.argv[1]), ["rsuq", *sys.argv[2:]]
from rsuq_cli.app import main
try:
    main()
except SystemExit as ended:
    code = ended.code or 0
print("\\n" + json.dumps({"code": code, "imported": [name for name in names if name in sys.modules]}))
"""
MODULES = """
import importlib, json, sys
names = json.loads(sys.argv[1])
for module in sys.argv[2:]:
    importlib.import_module(module)
print(json.dumps([name for name in names if name in sys.modules]))
"""


def imported_by(*arguments: str, names: tuple[str, ...] = SLOW, exit_code: int = 0) -> list[str]:
    """Returns which of the packages a command imports in a process of its own, having seen it end as expected."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(names), *arguments], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    ended = json.loads(done.stdout.splitlines()[-1])
    assert ended["code"] == exit_code, done.stderr
    return list(ended["imported"])


def imported_with(*modules: str, names: tuple[str, ...]) -> list[str]:
    """Returns which of the packages are imported by importing modules in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES, json.dumps(names), *modules], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def modules_of(room: str) -> list[str]:
    """Returns every module of a room, those of the rooms inside it too."""
    package = Path(rsuq_cli.__file__).parent
    files = (path.relative_to(package).with_suffix("") for path in sorted((package / room).rglob("*.py")))
    return [".".join(("rsuq_cli", *path.parts)).removesuffix(".__init__") for path in files]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("command", [(), ("certify",), ("train",), ("report",), ("db",)])
def test_help_imports_nothing_slow(command: tuple[str, ...]) -> None:
    assert imported_by(*command, "--help") == []


@pytest.mark.usefixtures("place")
def test_the_version_imports_nothing_slow() -> None:
    assert imported_by("--version") == []


@pytest.mark.usefixtures("place")
def test_a_certificate_of_counts_needs_scipy_and_no_torch_or_database() -> None:
    assert imported_by("radius", "--certain", "0:900", "--uncertain", "1:100") == ["scipy"]


def test_a_report_needs_the_database_and_no_torch(place: Place) -> None:
    database = ("--db", str(place.database))
    assert "torch" not in imported_by("db", "upgrade", *database)
    # There is nothing to report yet, which it has asked the database for.
    imported = imported_by("report", *database, exit_code=2)
    assert "sqlalchemy" in imported
    assert not {"torch", "torchvision", "sklearn", "alembic"} & set(imported)


def test_importing_the_package_imports_nothing_slow() -> None:
    assert imported_with("rsuq_cli", names=(*SLOW, "numpy", "rich", "typer")) == []


@pytest.mark.parametrize(
    ("room", "never"),
    [
        ("certificates", ("torch", "sqlalchemy", "rich", "typer")),
        ("ood", ("torch", "sqlalchemy", "rich", "typer")),
        ("results", ("torch", "rich", "typer", "alembic")),
        ("reports", ("torch", "torchvision", "typer", "alembic", "matplotlib")),
        pytest.param("sampling", ("torchvision", "sqlalchemy", "rich", "typer"), marks=pytest.mark.slow),
        pytest.param("run", ("rich", "typer", "torchvision", "sklearn", "scipy.stats"), marks=pytest.mark.slow),
        ("readings", ("rich", "typer", "torchvision", "sklearn")),
        pytest.param("jobs", ("rich", "typer", "torchvision", "sklearn"), marks=pytest.mark.slow),
        pytest.param("api", ("rich", "typer", "torchvision", "sklearn"), marks=pytest.mark.slow),
        ("commands", ("torch", "scipy", "sqlalchemy")),
    ],
)
def test_a_whole_room_can_be_imported_without(room: str, never: tuple[str, ...]) -> None:
    modules = modules_of(room)
    assert len(modules) > 1
    assert imported_with(*modules, names=never) == []


def test_what_is_watched_for_would_be_seen() -> None:
    assert imported_with("rsuq_cli.results.tables", names=("torch", "sqlalchemy")) == ["sqlalchemy"]
