"""The GPU path, held to account on a machine without a GPU: `pretend.py` says what is real about it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch


def checked(*flags: str) -> None:
    """Runs the checks in a process of their own; fails with the lines of those that do."""
    program = Path(__file__).with_name("pretend_checks.py")
    ended = subprocess.run([sys.executable, str(program), *flags], capture_output=True, text=True, timeout=600)
    wrong = [line for line in ended.stdout.splitlines() if not line.startswith("ok ")]
    assert wrong == ["0 fail"], "\n".join([*wrong, ended.stderr])
    assert ended.stdout.count("ok ") >= 6


pytestmark = pytest.mark.skipif(
    not hasattr(torch._C, "_ensureCUDADeviceGuardSet"), reason="this torch has no stand-in for a device's guard"
)


@pytest.mark.slow
def test_the_engine_on_a_gpu() -> None:
    checked()


@pytest.mark.slow
def test_commands_and_training_on_a_gpu() -> None:
    checked("--slow")
