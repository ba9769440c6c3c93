"""Settings: what is refused, and the learning rate as a function of the step."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsuq_cli.datasets.dataset import Dataset
from rsuq_cli.errors import BadInput
from rsuq_cli.training.settings import (
    SCHEDULES,
    TrainSettings,
    default_batch_size,
    default_epochs,
    default_learning_rate,
    learning_rate,
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sigma": 0.0}, "sigma is 0.0"),
        ({"sigma": -1.0}, "sigma"),
        ({"sigma": float("nan")}, "sigma is nan"),
        ({"sigma": float("inf")}, "sigma is inf"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 1}, "batch size is 1"),
        ({"learning_rate": float("nan")}, "learning rate is nan"),
        ({"learning_rate": 0.0}, "learning rate"),
        ({"momentum": 1.0}, "momentum"),
        ({"weight_decay": -0.1}, "weight decay"),
        ({"seed": -1}, "seed"),
        ({"schedule": "cosin"}, "schedule 'cosin'"),
        ({"precision": "fp8"}, "precision 'fp8'"),
        ({"objective": "gausian"}, "objective 'gausian'"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        TrainSettings(**({"sigma": 0.25, "epochs": 1} | change))
    assert caught.value.hint


def test_a_misspelt_name_shows_the_nearest() -> None:
    with pytest.raises(BadInput) as caught:
        TrainSettings(sigma=0.25, epochs=1, schedule="cosin")  # type: ignore[arg-type]
    assert "cosine" in caught.value.hint


@given(st.sampled_from(SCHEDULES), st.integers(1, 300), st.floats(1e-4, 10))
def test_a_schedule_rises_to_its_peak_and_falls_to_nearly_nothing(name: Any, steps: int, peak: float) -> None:
    settings = TrainSettings(sigma=1.0, epochs=1, learning_rate=peak, schedule=name)
    rates = [learning_rate(settings, step, steps) for step in range(steps)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(peak)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert all(rate > 0 for rate in rates)
    if steps >= 100:
        assert rates[-1] < 0.01 * peak


def test_one_cycle_peaks_later_than_cosine() -> None:
    peaks = {}
    for name in SCHEDULES:
        settings = TrainSettings(sigma=1.0, epochs=1, schedule=name)
        rates = [learning_rate(settings, step, 1000) for step in range(1000)]
        peaks[name] = rates.index(max(rates))
    assert peaks == {"one-cycle": 299, "cosine": 19}


@pytest.mark.parametrize(
    ("precision", "amp", "autocast"), [("fp32", False, False), ("fp32", True, True), ("bf16", False, True)]
)
def test_autocast_is_asked_for_either_way(precision: Any, amp: bool, autocast: bool) -> None:
    assert TrainSettings(sigma=1.0, epochs=1, precision=precision, amp=amp).autocast is autocast


def test_defaults_follow_model_and_data(stripes: Callable[..., Dataset]) -> None:
    small, large = stripes((1000, 0, 1)), stripes((50_000, 0, 1))
    assert (default_epochs("cnn", small), default_epochs("cnn", large)) == (100, 8)
    assert default_epochs("resnet110", small) == 90
    assert default_epochs("mine.py:make", small) == 90
    assert (default_batch_size(small), default_batch_size(large)) == (64, 128)
    assert default_learning_rate("vit_b_16") < default_learning_rate("cnn")
    assert default_learning_rate("unet") < default_learning_rate("cnn")  # whose rate some seeds did not train at
