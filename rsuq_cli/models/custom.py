"""The user's own network: `package.module:factory` or `path/file.py:factory`.

Invariant: whatever goes wrong inside the user's code reaches the user as one line that names the spec and the place.
What a factory draws at random is a function of a seed, the same in every process.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from rsuq_cli.errors import BadInput, nearest
from rsuq_cli.models.network import as_network
from rsuq_cli.models.spec import is_custom as is_custom
from rsuq_cli.spelling import path_of

# What the modules made of files are registered as, before the file's own name.
_OF_FILE = "rsuq_model_"
FORM = "write it as package.module:factory or path/file.py:factory"


class Origin(NamedTuple):
    """Where a factory lies, however it was spelled: its file, resolved (None without one), and its name in there."""

    file: Path | None
    factory: str


@dataclass(frozen=True)
class CustomModel:
    """What a factory returned, as a network: the spec, and its source file with the file's sha256 ("" without one)."""

    module: nn.Module
    spec: str
    source_file: Path | None
    source_sha256: str

    @property
    def origin(self) -> Origin:
        """Where the factory lies."""
        return Origin(self.source_file, self.spec.rpartition(":")[2])


def load_factory(
    spec: str, *, shape: tuple[int, int, int], num_classes: int, seed: int = 0, file: Path | None = None
) -> CustomModel:
    """Returns the network that the factory `spec` makes for images of `shape` = (C, H, W).

    The factory is called with those of `shape` and `num_classes` that its signature names, as keywords. The source's
    folder (for a file) or the working directory (for a module) is importable meanwhile. `file` is where the source was
    when the spec was recorded: where it is still there, it is taken, whatever the working directory. What is drawn from
    the generators of torch, NumPy and Python comes from `seed`. Lazy layers get their shapes.
    Raises BadInput where the file, module or attribute is missing, is not callable, raises, or returns no nn.Module,
    and where the module cannot answer for one input at a time (`as_network`).
    """
    place, _, attribute = spec.rpartition(":")
    if not place or not attribute:
        raise BadInput(f"{spec!r} names no factory", FORM)
    is_file = place.endswith(".py")
    known = file.resolve() if file is not None and file.is_file() else None
    path = known or path_of(place).expanduser().resolve()
    folder = path.parent if is_file else _root_of(place, known) if known else Path.cwd()
    with _importable(folder), _seeded(seed):
        module = _import_file(path, spec) if is_file else _import_module(place, spec)
        factory = _attribute(module, attribute, spec)
        arguments = _arguments(factory, {"shape": shape, "num_classes": num_classes}, spec)
        try:
            network = factory(**arguments)
        except (Exception, SystemExit) as error:
            raise BadInput(f"{spec}: the factory raised {_one_line(error)}", "run it by itself in Python") from error
        if not isinstance(network, nn.Module):
            raise BadInput(
                f"{spec}: the factory returned a {type(network).__name__}, not a torch.nn.Module", "return one"
            )
        network = as_network(network, spec, shape)
    source = getattr(module, "__file__", None)
    source_file = Path(source).resolve() if source else None
    digest = hashlib.sha256(source_file.read_bytes()).hexdigest() if source_file else ""
    return CustomModel(network, spec, source_file, digest)


def origin_of(spec: str) -> Origin:
    """Returns where a factory lies without calling it; raises BadInput where it cannot be found."""
    place, _, attribute = spec.rpartition(":")
    if place.endswith(".py"):
        return Origin(path_of(place).expanduser().resolve(), attribute)
    with _importable(Path.cwd()), _seeded(0):
        source = getattr(_import_module(place, spec), "__file__", None)
    return Origin(Path(source).resolve() if source else None, attribute)


def shapes_sha256(module: nn.Module) -> str:
    """Returns the hex sha256 over the names and shapes of a state dict."""
    shapes = {name: list(getattr(value, "shape", ())) for name, value in module.state_dict().items()}
    return hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()


def _root_of(name: str, file: Path) -> Path:
    """Returns the folder in which the module `name` is found, if its source is `file`."""
    inside = name.count(".") + (file.name == "__init__.py")
    return file.parents[min(inside, len(file.parents) - 1)]


class _Uncached(SourceFileLoader):
    """Runs what the file holds now.

    Python takes compiled code for that of a file of the same size and second: another network than the one on record.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Returns the code of the source, and writes none beside it."""
        return compile(self.get_data(self.path), self.path, "exec", dont_inherit=True)


def _import_file(path: Path, spec: str) -> ModuleType:
    """Returns the module made by running `path`, registered under a name of its own so that classes can be found."""
    if not path.is_file():
        raise BadInput(f"{spec}: there is no file {path}", FORM)
    name = f"{_OF_FILE}{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    module_spec = importlib.util.spec_from_file_location(name, path, loader=_Uncached(name, str(path)))
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    try:
        module_spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise BadInput(f"{spec}: the file raised {_one_line(error)}", "run it by itself in Python") from error
    return module


def _import_module(name: str, spec: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that exists and imports something missing is another mistake than a module that does not exist.
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise BadInput(f"{spec}: there is no module {error.name}", f"{FORM}, from {Path.cwd()}") from error
        raise BadInput(f"{spec}: importing it raised {_one_line(error)}", "install what it imports") from error
    except (Exception, SystemExit) as error:
        raise BadInput(f"{spec}: importing it raised {_one_line(error)}", "run it by itself in Python") from error


def _attribute(module: ModuleType, attribute: str, spec: str) -> Callable[..., Any]:
    factory = getattr(module, attribute, None)
    if factory is None:
        known = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise BadInput(f"{spec}: {attribute!r} is not there", nearest(attribute, known) if known else FORM)
    if not callable(factory):
        raise BadInput(
            f"{spec}: {attribute!r} is a {type(factory).__name__}, not a function", "name a function or class"
        )
    return factory  # type: ignore[no-any-return]


def _arguments(factory: Callable[..., Any], offered: dict[str, Any], spec: str) -> dict[str, Any]:
    """Returns those of `offered` that the signature names; raises BadInput where it needs others."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some C callables have no signature
        return {}
    by_name = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    by_place = [p for p in parameters if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
    missing = [p.name for p in by_name if p.default is p.empty and p.name not in offered] + [p.name for p in by_place]
    if missing:
        raise BadInput(
            f"{spec}: the factory needs {', '.join(missing)}",
            "it is called with num_classes and shape where its signature names them; give the others a default",
        )
    return {p.name: offered[p.name] for p in by_name if p.name in offered}


def _one_line(error: BaseException) -> str:
    """Returns type, message and place of an error in one line."""
    # The last line of the user's own code helps more than the library's line that it led to.
    theirs = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and "site-packages" not in frame.filename and not frame.filename.startswith("<")
    ]
    text = " ".join(str(error).split()) or "no message"
    place = f" ({Path(theirs[-1].filename).name}, line {theirs[-1].lineno})" if theirs else ""
    return f"{type(error).__name__}: {text}{place}"


@contextlib.contextmanager
def kept_modules() -> Iterator[None]:
    """Keeps the files that were run registered as they are, while one of them is run once more."""
    before = {name: module for name, module in sys.modules.items() if name.startswith(_OF_FILE)}
    try:
        yield
    finally:
        sys.modules.update(before)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Makes what is drawn a function of `seed`, and gives the generators back as they were."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Puts `folder` first on the import path for a while: a console script does not have it there."""
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(entry)
