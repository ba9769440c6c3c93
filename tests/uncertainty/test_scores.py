"""Every measure against scipy in float64, and what must hold whatever the logits are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from rsuq_cli.uncertainty.measures import MEASURES
from rsuq_cli.uncertainty.predictor import PLAIN
from rsuq_cli.uncertainty.scores import score, scores

Array = npt.NDArray[np.float64]


def _probabilities(logits: Array) -> Array:
    return np.asarray(special.softmax(logits, axis=1))


def _entropy(logits: Array) -> Array:
    return np.asarray(stats.entropy(_probabilities(logits), axis=1)) / np.log(logits.shape[1])


def _confidence(logits: Array) -> Array:
    return 1.0 - _probabilities(logits).max(axis=1)


def _margin(logits: Array) -> Array:
    ordered = np.sort(_probabilities(logits), axis=1)
    return 1.0 - (ordered[:, -1] - ordered[:, -2])


def _energy(logits: Array) -> Array:
    return -np.asarray(special.logsumexp(logits, axis=1))


def _max_logit(logits: Array) -> Array:
    return -logits.max(axis=1)


def _gen(logits: Array) -> Array:
    largest = np.sort(_probabilities(logits), axis=1)[:, -100:]
    return np.asarray(((largest * (1.0 - largest)) ** 0.1).sum(axis=1))


TRUTH: dict[str, Callable[[Array], Array]] = {
    "entropy": _entropy,
    "confidence": _confidence,
    "margin": _margin,
    "energy": _energy,
    "max_logit": _max_logit,
    "gen": _gen,
}
NAMES = list(PLAIN.measures)


def normal_logits(rows: int, classes: int, scale: float = 2.0, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, scale, (rows, classes)).astype(np.float32))


def measured(logits: torch.Tensor, name: str) -> Array:
    return score(logits)[NAMES.index(name)].double().numpy()


def test_there_is_a_truth_for_every_measure() -> None:
    assert set(TRUTH) == set(PLAIN.measures)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 3, 10, 100, 101, 200, 1000])
@pytest.mark.parametrize("scale", [0.1, 2.0])
def test_it_agrees_with_scipy_in_float64(name: str, classes: int, scale: float) -> None:
    logits = normal_logits(50, classes, scale)
    np.testing.assert_allclose(measured(logits, name), TRUTH[name](logits.double().numpy()), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["entropy", "confidence", "margin"])
def test_a_nearly_certain_answer_is_measured_to_float32(name: str) -> None:
    logits = normal_logits(200, 10, scale=10.0)
    np.testing.assert_allclose(measured(logits, name), TRUTH[name](logits.double().numpy()), rtol=1e-5, atol=3e-7)


def test_gen_is_about_the_hundred_largest_alone() -> None:
    logits = normal_logits(20, 200)
    hundred = logits.topk(100, dim=1).values
    others = torch.where(logits < hundred[:, -1:], logits.roll(1, dims=0).clamp(max=hundred.min()), logits)
    assert not torch.equal(others, logits)
    # The tail moves the softmax as a whole, so only the closed form over the largest can tell.
    np.testing.assert_allclose(measured(others, "gen"), _gen(others.double().numpy()), rtol=2e-5)
    every = ((p := special.softmax(others.double().numpy(), axis=1)) * (1 - p)) ** 0.1
    assert (measured(others, "gen") < every.sum(axis=1) - 0.1).all()


def test_it_is_float32_with_a_row_for_each_measure() -> None:
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        scored = score(normal_logits(7, 4).to(dtype))
        assert scored.dtype == torch.float32
        assert scored.shape == (len(PLAIN.measures), 7)
    assert score(torch.empty(0, 4)).shape == (len(PLAIN.measures), 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_measured_in_full(name: str, dtype: torch.dtype) -> None:
    logits = normal_logits(40, 10).to(dtype)
    np.testing.assert_array_equal(measured(logits, name), measured(logits.float(), name))


finite_logits = st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=4, max_size=4), min_size=1, max_size=5).map(
    torch.tensor
)


@given(logits=finite_logits)
def test_values_stay_in_the_range_that_the_measure_states(logits: torch.Tensor) -> None:
    for name in NAMES:
        measure = MEASURES[name]
        values = measured(logits, name)
        assert np.isfinite(values).all()
        assert measure.lowest is None or (values >= measure.lowest).all()
        assert measure.highest is None or (values <= measure.highest).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("extreme", [1e4, -1e4])
@pytest.mark.parametrize("classes", [2, 10, 200])
def test_extreme_logits_do_not_overflow(name: str, extreme: float, classes: int) -> None:
    logits = torch.zeros(1, classes)
    logits[0, -1] = extreme
    np.testing.assert_allclose(measured(logits, name), TRUTH[name](logits.double().numpy()), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["entropy", "confidence", "margin"])
@pytest.mark.parametrize("classes", [2, 10, 200])
def test_the_scaled_measures_reach_their_ends(name: str, classes: int) -> None:
    peaked = torch.zeros(1, classes)
    peaked[0, 0] = 200.0
    assert measured(peaked, name) == 0.0
    highest = 1.0 - 1.0 / classes if name == "confidence" else 1.0
    np.testing.assert_allclose(measured(torch.ones(1, classes), name), highest, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 1000), classes=st.sampled_from([2, 5, 150]))
def test_the_order_of_classes_does_not_matter(name: str, seed: int, classes: int) -> None:
    logits = normal_logits(8, classes, seed=seed)
    shuffled = logits[:, torch.from_numpy(np.random.default_rng(seed).permutation(classes))]
    np.testing.assert_allclose(measured(shuffled, name), measured(logits, name), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 1000), classes=st.sampled_from([2, 5, 100]))
def test_a_sharper_answer_is_never_more_uncertain(name: str, seed: int, classes: int) -> None:
    """The same direction of logits, with a largest one above 0, at growing scale.

    With more than 100 classes GEN may rise at first: mass that comes from the classes that it leaves out.
    """
    direction = normal_logits(1, classes, seed=seed)
    direction = direction - direction.mean() + 0.1
    scales = torch.tensor([0.25, 0.5, 1.0, 2.0, 4.0])[:, None]
    values = measured(direction * scales, name)
    assert (np.diff(values) <= 1e-5 * np.abs(values[1:]) + 1e-6).all()


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_broken_row_is_infinitely_uncertain_and_the_others_are_not_touched(broken: float) -> None:
    logits = normal_logits(5, 10)
    expected = score(logits)
    logits[2, 3] = broken
    scored = score(logits)
    assert torch.isposinf(scored[:, 2]).all()
    assert torch.equal(scored[:, [0, 1, 3, 4]], expected[:, [0, 1, 3, 4]])


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_logits_that_are_not_all_finite_are_no_answer(broken: float) -> None:
    logits = normal_logits(5, 4)
    logits[1, 3], logits[4] = broken, broken
    found = scores(logits)
    assert found.answered.tolist() == [True, False, True, True, False]
    assert torch.isposinf(found.values[:, [1, 4]]).all()
    assert not found.probabilities[[1, 4]].any()
    assert torch.equal(found.values[:, [0, 2, 3]], score(logits[[0, 2, 3]]))


def test_the_largest_finite_logits_are_an_answer() -> None:
    most = torch.finfo(torch.float32).max
    found = scores(torch.tensor([[most, -most, 0.0], [most, most, most], [-most, -most, -most]]))
    assert found.answered.all()
    assert found.values.isfinite().all()
    assert found.probabilities.isfinite().all()


@pytest.mark.parametrize("classes", [3, 43, 150])
def test_the_bits_of_a_row_do_not_depend_on_the_rows_around_it_or_on_threads(classes: int) -> None:
    logits, before = normal_logits(1030, classes), torch.get_num_threads()
    torch.set_num_threads(1)
    expected = score(logits)
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            assert torch.equal(score(logits), expected)
            for rows in (13, 32):
                parts = [score(part) for part in logits[:300].split(rows)]
                assert torch.equal(torch.cat(parts, dim=1), expected[:, :300])
    finally:
        torch.set_num_threads(before)
