"""The user's own factories: what is passed, and one line for everything that goes wrong."""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from rsuq_cli.errors import BadInput
from rsuq_cli.models.custom import Origin, is_custom, load_factory, origin_of, shapes_sha256

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, shape=(1, 2, 2), num_classes=2):
        super().__init__()
        self.told = (shape, num_classes)
        self.fc = nn.Linear(shape[0] * shape[1] * shape[2], num_classes)

    def forward(self, x):
        return self.fc(x.flatten(1))

def plain(): return Net()
def classes(num_classes): return Net(num_classes=num_classes)
def both(*, shape, num_classes, width=3): return Net(shape, num_classes)
def needs(depth, num_classes): return Net()
def fails(): raise ValueError("no\\n   luck")
def quits(): raise SystemExit("bye")
def number(): return 3
def by_place(depth, /): return Net()
def anything(*args, **kwargs): return Net()
constant = 5
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


def load(spec: str) -> Any:
    return load_factory(spec, shape=(3, 4, 5), num_classes=7).module


def refusal(spec: str) -> str:
    with pytest.raises(BadInput) as caught:
        load(spec)
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("plain", ((1, 2, 2), 2)),
        ("classes", ((1, 2, 2), 7)),
        ("both", ((3, 4, 5), 7)),
        ("Net", ((3, 4, 5), 7)),
        ("anything", ((1, 2, 2), 2)),
    ],
)
def test_a_factory_gets_what_its_signature_names(file: Path, factory: str, told: object) -> None:
    assert load(f"{file}:{factory}").module.told == told


def test_the_source_file_identifies_it(file: Path) -> None:
    custom = load_factory(f"{file}:plain", shape=(1, 2, 2), num_classes=2)
    assert custom.source_sha256 == hashlib.sha256(SOURCE.encode()).hexdigest()
    assert custom.source_file == file
    assert custom.spec == f"{file}:plain"


def test_a_changed_file_is_read_anew(file: Path) -> None:
    load(f"{file}:plain")
    file.write_text(SOURCE.replace("constant = 5", "def later(): return Net(num_classes=9)"))
    assert load(f"{file}:later").module.told == ((1, 2, 2), 9)


def test_a_module_in_the_working_directory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = file.parent / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "nets.py").write_text(SOURCE)
    monkeypatch.chdir(file.parent)
    path_before = list(sys.path)
    assert load("my_package.nets:both").module.told == ((3, 4, 5), 7)
    assert sys.path == path_before


def test_a_file_may_import_its_neighbour(file: Path) -> None:
    (file.parent / "neighbour_of_mine.py").write_text("from torch.nn import Identity\n")
    user = file.parent / "user.py"
    user.write_text("def make():\n    from neighbour_of_mine import Identity\n    return Identity()\n")
    assert isinstance(load(f"{user}:make").module, torch.nn.Identity)


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        ("clases", "'clases' is not there"),
        ("constant", "int, not a function"),
        ("needs", "needs depth"),
        ("by_place", "needs depth"),
        ("fails", "ValueError: no luck"),
        ("quits", "SystemExit"),
        ("number", "returned a int"),
    ],
)
def test_what_a_factory_does_wrong_is_one_line(file: Path, factory: str, words: str) -> None:
    assert words in refusal(f"{file}:{factory}")


def test_an_error_names_the_users_own_line(file: Path) -> None:
    line = SOURCE.splitlines().index('def fails(): raise ValueError("no\\n   luck")') + 1
    assert f"mine.py, line {line}" in refusal(f"{file}:fails")


def test_a_misspelt_factory_shows_the_nearest(file: Path) -> None:
    with pytest.raises(BadInput) as caught:
        load(f"{file}:clases")
    assert "classes" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [("def make(:", "SyntaxError"), ("import no_such_module_at_all", "no_such_module_at_all"), ("1 / 0", "line 1")],
)
def test_a_file_that_does_not_run(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(content)
    assert words in refusal(f"{path}:make")


def test_missing_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imports_what_is_missing.py").write_text("import no_such_module_at_all")
    monkeypatch.chdir(tmp_path)
    assert "there is no file" in refusal(f"{tmp_path}/absent.py:make")
    assert "there is no module no_such_package" in refusal("no_such_package.nets:make")
    assert "importing it raised ModuleNotFoundError" in refusal("imports_what_is_missing:make")
    assert "names no factory" in refusal("net.py")
    assert "names no factory" in refusal("net.py:")


@pytest.mark.parametrize(
    ("spec", "custom"), [("cnn", False), ("a.b:c", True), ("x/y.py:f", True), ("y.py", True), ("resnet110", False)]
)
def test_a_spec_is_told_from_a_name(spec: str, custom: bool) -> None:
    assert is_custom(spec) is custom


def test_what_a_factory_draws_is_a_function_of_the_seed(file: Path) -> None:
    def drawn(seed: int) -> torch.Tensor:
        custom = load_factory(f"{file}:plain", shape=(1, 2, 2), num_classes=2, seed=seed)
        return custom.module.state_dict()["fc.weight"]

    before = torch.get_rng_state()
    assert torch.equal(drawn(3), drawn(3))
    assert not torch.equal(drawn(3), drawn(4))
    assert torch.equal(torch.get_rng_state(), before)


def test_layers_that_learn_their_size_get_it(file: Path) -> None:
    file.write_text(
        "from torch import nn\ndef make(): return nn.Sequential(nn.Flatten(), nn.LazyLinear(4), nn.LazyBatchNorm1d())\n"
        "def lost(): return nn.Sequential(nn.LazyLinear(4), nn.Flatten(), nn.Linear(3, 3))\n"
    )
    custom = load_factory(f"{file}:make", shape=(1, 2, 2), num_classes=4)
    assert custom.module.state_dict()["1.weight"].shape == (4, 4)
    assert custom.module.training
    assert shapes_sha256(custom.module) != shapes_sha256(torch.nn.Linear(4, 4))
    assert "forward pass" in refusal(f"{file}:lost")


def test_every_spelling_has_one_origin(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    (file.parent / "link.py").symlink_to(file)
    specs = (f"{file}:plain", "mine.py:plain", "./mine.py:plain", "link.py:plain", "mine:plain")
    assert {origin_of(spec) for spec in specs} == {Origin(file.resolve(), "plain")}
    assert load_factory("mine.py:plain", shape=(1, 2, 2), num_classes=2).origin == origin_of("mine.py:plain")
    assert origin_of("mine.py:both") != origin_of("mine.py:plain")


@pytest.mark.parametrize("spec", ["nets/mine.py:both", "nets.mine:both", "nets:both"])
def test_a_recorded_file_is_found_from_another_folder(file: Path, monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    package = file.parent / "nets"
    package.mkdir()
    (package / "__init__.py").write_text(SOURCE)
    (package / "mine.py").write_text(SOURCE)
    monkeypatch.chdir("/")
    for name in ("nets", "nets.mine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    recorded = package / ("__init__.py" if spec == "nets:both" else "mine.py")
    custom = load_factory(spec, shape=(3, 4, 5), num_classes=7, file=recorded)
    assert custom.source_file == recorded
    for name in ("nets", "nets.mine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(BadInput):
        load_factory(spec, shape=(3, 4, 5), num_classes=7, file=package / "gone.py")


def test_a_file_of_the_same_size_and_second_is_not_taken_for_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    source, found = tmp_path / "net.py", []
    for bias in ("True ", "False"):
        source.write_text(
            f"from torch import nn\ndef make(): return nn.Sequential(nn.Flatten(), nn.Linear(4, 2, {bias}))\n"
        )
        os.utime(source, (1_700_000_000, 1_700_000_000))
        network = load_factory(f"{source}:make", shape=(1, 2, 2), num_classes=2).module
        found.append(len(list(network.parameters())))
    assert found == [2, 1]
    assert not list(tmp_path.glob("__pycache__/*"))
