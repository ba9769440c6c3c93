"""Which objectives there are.

Invariant: every file of this folder but the machinery is an objective, and has its name; none is imported here.
"""

from __future__ import annotations

import pkgutil

from rsuq_cli.training import objectives

_MACHINERY = ("attack", "base", "names", "registry")


def objective_names() -> tuple[str, ...]:
    """Returns the names of all objectives, in the order of the alphabet."""
    found = (module.name for module in pkgutil.iter_modules(objectives.__path__))
    return tuple(sorted(name.replace("_", "-") for name in found if name not in _MACHINERY))
