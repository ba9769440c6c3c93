"""What those who carry on are told is true: places, tests, the floor plan, the words of the Makefile, the citation."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from test_layers import FLOOR_PLAN

import rsuq_cli

ROOT = Path(__file__).parents[1]
WORDS = ("setup", "test", "slow", "lint", "docs", "bench")
ADDED = ("a measure", "an objective", "a data set", "an OOD score", "a rule", "a report column")
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# A file that is yet to be written.
NEW = "NAME"
PLACE = re.compile(r"`([\w./-]+/[\w./-]+)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


class Named(NamedTuple):
    """A file that the guide sends people to, and a word that they are told to look for in it."""

    path: str
    word: str


def sections() -> dict[str, str]:
    """Returns what is said about each kind of addition."""
    _, _, where = GUIDE.partition("## Where to add")
    titles = re.split(r"^### (.*)$", where, flags=re.MULTILINE)[1:]
    return dict(zip(titles[::2], titles[1::2], strict=True))


def words_of(section: str) -> list[Named]:
    """Returns the files of a section with each of the words in brackets behind them."""
    behind = re.findall(r"`([\w./-]+/[\w./-]+)`\s+\(([^)]*)\)", section)
    return [Named(path, word) for path, words in behind for word in re.findall(r"`([^`]+)`", words)]


def test_every_kind_of_addition_has_its_place() -> None:
    assert tuple(sections()) == ADDED


@pytest.mark.parametrize("title", ADDED)
def test_files_and_the_words_in_them_are_there(title: str) -> None:
    section = sections()[title]
    named = words_of(section)
    assert any(one.path.startswith("rsuq_cli/") for one in named)
    files = {path for path in PLACE.findall(section) if not path.startswith("tests/") and NEW not in path}
    assert files == {one.path for one in named}, "each file has a word to look for behind it"
    assert [one for one in named if one.word not in (ROOT / one.path).read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("title", ADDED)
def test_it_is_guarded_by_tests_that_are_there(title: str) -> None:
    _, _, guarded = sections()[title].partition("Guarded by")
    tests = TEST.findall(guarded)
    assert tests
    for path, name in tests:
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), (path, name)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_places_that_are_named_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for path in PLACE.findall(text):
        path = path if NEW not in path else str(Path(path).parent)
        assert any((root / path).exists() for root in (ROOT, ROOT / "rsuq_cli")), path
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), target


def test_the_page_has_every_room_in_the_order_of_the_floor_plan() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| \S", page, re.MULTILINE) == list(FLOOR_PLAN)


def test_the_words_are_those_of_the_makefile() -> None:
    recipes = re.findall(r"^(\w+):\n\t", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert tuple(recipes) == WORDS
    assert tuple(re.findall(r"^\| `make (\w+)` \|", GUIDE, re.MULTILINE)) == WORDS


def test_hooks_are_of_the_environment_alone() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]
    assert re.findall(r"- id: (\S+)", hooks) == ["ruff", "ruff-format", "mypy"]
    assert re.findall(r"language: (\S+)", hooks) == ["system"] * 3


def test_the_citation_is_of_this_version_and_of_the_papers_that_the_readme_names() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (\S+)$", citation, re.MULTILINE) == [rsuq_cli.__version__]
    assert re.findall(r'value: "arXiv:(\S+)"', citation) == ["2410.20432", "1902.02918"]
    assert "license: MIT" in citation
    if importlib.util.find_spec("yaml"):
        import yaml

        fields = yaml.safe_load(citation)
        assert {"cff-version", "message", "title", "authors"} <= set(fields)
        assert str(fields["version"]) == rsuq_cli.__version__
