"""Every test of a command runs in a place of its own."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _in_its_own_place(place: object) -> None:
    """Keeps even a test that names no file away from the user's own."""
