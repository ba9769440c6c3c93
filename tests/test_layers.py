"""The floor plan: who may import whom. The table is the plan; the code is held to it.

Rooms stand from the ground up: each may use only rooms that are listed before it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import rsuq_cli

PACKAGE = Path(rsuq_cli.__file__).parent


class Room(NamedTuple):
    """What a room (a folder, or a file of the package's own) may import, beside the standard library and itself.

    `ours` are modules of the package, a room standing for all of its files; `theirs` are other packages. `inside` may
    be imported inside functions only, so that whoever does not call them does not wait for them.
    """

    ours: str = ""
    theirs: str = ""
    inside: str = ""


FLOOR_PLAN = {
    # what everybody may know
    "errors": Room(),
    "version": Room(),
    "spelling": Room(),
    "fingerprint": Room(),
    "files": Room("errors"),
    "formats": Room("errors spelling", inside="pyarrow"),
    "settings": Room("errors", "platformdirs"),
    # the mathematics: no torch
    "certificates": Room("", "numpy scipy"),
    # what a classifier says of its own answer; no torch but in `forms` and `scores`
    "uncertainty": Room("certificates.evidence errors", "numpy torch"),
    "ood": Room("certificates errors uncertainty.measures", "numpy scipy"),
    # what runs on a device
    "datasets": Room("errors spelling", "numpy torch PIL platformdirs", inside="torchvision sklearn scipy"),
    "models": Room(
        "errors fingerprint spelling version", "numpy torch safetensors", inside="torchvision timm transformers"
    ),
    "sampling": Room(
        "certificates.evidence uncertainty datasets.dataset errors", "numpy torch mpmath", inside="platformdirs"
    ),
    "training": Room(
        "certificates.bounds datasets.dataset models.checkpoints models.denoiser models.statistics sampling.compiler "
        "sampling.device uncertainty errors fingerprint",
        "numpy scipy torch",
        inside="sklearn",
    ),
    "auditing": Room("certificates uncertainty datasets.dataset sampling.device errors", "numpy scipy torch"),
    # the database: no torch, no rich
    "results": Room(
        "certificates errors spelling fingerprint files", "numpy sqlalchemy sqlmodel platformdirs", inside="alembic"
    ),
    # a request on its way to an open sampler and a recorded run
    "run": Room(
        "errors spelling fingerprint certificates uncertainty datasets models training.statistics sampling results",
        "numpy scipy torch",
    ),
    # what stored evidence says
    "readings": Room("errors certificates uncertainty datasets results run", "numpy", inside="PIL"),
    # what a command does, without the command line: no typer, no rich
    "jobs": Room(
        "errors spelling fingerprint files certificates uncertainty ood datasets models training sampling auditing "
        "results run readings",
        "numpy scipy torch platformdirs pydantic",
        inside="PIL pandas",
    ),
    # what Python offers
    "api": Room(
        "errors certificates uncertainty datasets.contents datasets.dataset models sampling results run",
        "numpy torch pandas",
    ),
    # what people see
    "streams": Room("spelling"),
    "widths": Room("", "rich"),
    "console": Room("errors formats widths files spelling", "rich"),
    "reports": Room(
        "console errors formats files version certificates ood uncertainty results run readings jobs",
        "numpy rich jinja2 markupsafe",
        inside="matplotlib",
    ),
    # the command line: quick to start, so everything else is imported inside its functions
    "commands": Room(
        "console errors spelling models.denoiser training.objectives.names uncertainty.measures",
        "typer rich",
        inside="*",
    ),
    "app": Room("commands errors streams version", "typer", inside="console settings"),
    "__main__": Room("app"),
    "__init__": Room("version", "", inside="*"),
}


class Import(NamedTuple):
    """An import statement that runs: the module, and whether it stands inside a function."""

    module: str
    inside: bool
    where: str


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[Import]:
    """Returns what a file imports, without what is for the type checker alone."""
    found: list[Import] = []

    def visit(node: ast.AST, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, (ast.Import, ast.ImportFrom)):
                where = f"{path.relative_to(PACKAGE)}:{child.lineno}"
                found.extend(Import(module, inside, where) for module in _modules(child))
            visit(child, inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    visit(ast.parse(path.read_text(encoding="utf-8")), inside=False)
    return found


def _modules(statement: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names)
        return
    assert statement.level == 0, "imports are absolute"
    assert statement.module is not None
    for alias in statement.names:
        # `from package import room` is about the room, `from package.room import name` about the room's file.
        is_module = (PACKAGE.parent / f"{statement.module}.{alias.name}".replace(".", "/")).with_suffix(".py").exists()
        yield f"{statement.module}.{alias.name}" if is_module else statement.module


def allowed(module: str, plan: str) -> bool:
    """Returns whether a module is one of those in the plan, or lies inside one."""
    return plan == "*" or any(module == one or module.startswith(f"{one}.") for one in plan.split())


def breaches(path: Path) -> list[str]:
    """Returns the imports of a file that its room's plan does not have."""
    room = room_of(path)
    plan = FLOOR_PLAN[room]
    found = []
    for one in imports_of(path):
        top = one.module.partition(".")[0]
        if top in sys.stdlib_module_names or one.module in ("rsuq_cli", f"rsuq_cli.{room}"):
            continue
        module = one.module.removeprefix("rsuq_cli.") if top == "rsuq_cli" else top
        home = plan.ours + f" {room}" if top == "rsuq_cli" else plan.theirs
        if not (allowed(module, home) or (one.inside and allowed(module, plan.inside))):
            found.append(f"{one.where} imports {one.module}" + ("" if one.inside else " at its top"))
    return found


FILES = sorted(path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts)
ROOMS = sorted({room_of(path) for path in FILES})


def test_every_room_is_in_the_plan() -> None:
    assert set(ROOMS) <= set(FLOOR_PLAN)


def test_a_room_uses_only_rooms_below_it() -> None:
    below: set[str] = set()
    for room, plan in FLOOR_PLAN.items():
        used = {module.partition(".")[0] for module in plan.ours.split()}
        used |= set(plan.inside.split()) & set(FLOOR_PLAN)
        assert used <= below, f"{room} uses {used - below}, which stands above it"
        below.add(room)


@pytest.mark.parametrize("room", sorted(set(ROOMS) & set(FLOOR_PLAN)))
def test_a_room_keeps_to_the_plan(room: str) -> None:
    assert [breach for path in FILES if room_of(path) == room for breach in breaches(path)] == []


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_file_is_longer_than_a_few_screens() -> None:
    assert [f"{path.relative_to(PACKAGE)}: {lines_of(path)}" for path in FILES if lines_of(path) > 350] == []


def test_no_room_holds_more_than_its_share_of_the_house() -> None:
    whole = sum(map(lines_of, FILES))
    shares = {room: sum(lines_of(path) for path in FILES if room_of(path) == room) / whole for room in ROOMS}
    assert {room: round(share, 3) for room, share in shares.items() if share >= 0.15} == {}


def test_nobody_but_the_root_imports_commands() -> None:
    importers = {
        room_of(path) for path in FILES for one in imports_of(path) if allowed(one.module, "rsuq_cli.commands")
    }
    assert importers == {"app", "commands"}


def test_a_room_is_empty_at_the_door() -> None:
    """Importing one file of a room imports none of its neighbours: `__init__.py` knows the version at most."""
    for path in FILES:
        if path.name == "__init__.py":
            assert {one.module for one in imports_of(path) if not one.inside and "rsuq_cli" in one.module} <= {
                "rsuq_cli.version"
            }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import torch\n", ["results/new.py:1 imports torch at its top"]),
        ("def f():\n    import rich.table\n", ["results/new.py:2 imports rich.table"]),
        ("import alembic\n", ["results/new.py:1 imports alembic at its top"]),
        ("def f():\n    from alembic import command\n", []),
        ("from rsuq_cli import console\n", ["results/new.py:1 imports rsuq_cli.console at its top"]),
        ("from rsuq_cli import __version__\n", []),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n", []),
        ("class A:\n    from rsuq_cli.run.request import Sources\n",
         ["results/new.py:2 imports rsuq_cli.run.request at its top"]),
        ("import json\nfrom rsuq_cli.results.rows import RunRow\nfrom rsuq_cli.errors import BadInput\n", []),
    ],
)  # fmt: skip
def test_the_plan_is_enforced(text: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("console.py", "run/request.py", "results/rows.py", "errors.py"):
        (tmp_path / "rsuq_cli" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "rsuq_cli" / name).touch()
    path = tmp_path / "rsuq_cli" / "results" / "new.py"
    path.write_text(text)
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path / "rsuq_cli")
    assert breaches(path) == expected
