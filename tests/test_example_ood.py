"""The out-of-distribution experiment runs as its docstring says, on the digits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "ood_cifar10.py"


@pytest.mark.usefixtures("place")
@pytest.mark.slow
def test_the_experiment_on_the_digits() -> None:
    small = ("--model", "mlp", "--epochs", "1", "--n", "50", "--limit", "6")
    done = subprocess.run([sys.executable, EXAMPLE, "digits", *small], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| score | held-out (near) AUROC % |" in done.stdout
    assert "best smoothed score" in done.stdout
    assert "far average" in done.stdout


@pytest.mark.usefixtures("place")
def test_the_experiment_on_image_folders_says_what_it_needs() -> None:
    done = subprocess.run([sys.executable, EXAMPLE, "cifar10"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--data FOLDER" in done.stderr
