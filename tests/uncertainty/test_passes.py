"""Measures of several passes against numpy in float64, and what must hold of them whatever the passes are."""

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
from rsuq_cli.uncertainty.scores import Scores, scores

Array = npt.NDArray[np.float64]


def softmax(passes: Array) -> Array:
    return np.asarray(special.softmax(passes, axis=2))


def named(passes: Array, decide: str) -> npt.NDArray[np.int64]:
    classes: npt.NDArray[np.int64] = (passes[:, 0] if decide == "single" else softmax(passes).mean(1)).argmax(1)
    return classes


def _own_margin(passes: Array, decide: str) -> Array:
    mean, own = softmax(passes).mean(1), named(passes, decide)
    rows = np.arange(len(mean))
    others = mean.copy()
    others[rows, own] = -1
    return 1 - (mean[rows, own] - others.max(1))


def _entropy(p: Array) -> Array:
    return np.asarray(stats.entropy(p, axis=-1)) / np.log(p.shape[-1])


def _variation_ratio(passes: Array, decide: str) -> Array:
    votes = passes.argmax(2)
    return np.array([1 - np.bincount(row).max() / len(row) for row in votes])


TRUTH: dict[str, Callable[[Array, str], Array]] = {
    "own_margin": _own_margin,
    "mean_entropy": lambda passes, _: _entropy(softmax(passes).mean(1)),
    "mean_confidence": lambda passes, _: 1 - softmax(passes).mean(1).max(1),
    "expected_entropy": lambda passes, _: _entropy(softmax(passes)).mean(1),
    "mutual_information": lambda passes, _: _entropy(softmax(passes).mean(1)) - _entropy(softmax(passes)).mean(1),
    "variation_ratio": _variation_ratio,
    "disagreement": lambda passes, decide: (passes.argmax(2) != named(passes, decide)[:, None]).mean(1),
}
NAMES = [name for name, measure in MEASURES.items() if measure.of_passes]


def normal_passes(rows: int, passes: int, classes: int, scale: float = 2.0, seed: int = 0) -> torch.Tensor:
    random = np.random.default_rng(seed)
    shared = random.normal(0, scale, (rows, 1, classes))
    return torch.from_numpy((shared + random.normal(0, scale / 2, (rows, passes, classes))).astype(np.float32))


def measured(passes: torch.Tensor, name: str, decide: str) -> Array:
    return scores(passes, [name], decide).values[0].double().numpy()


def test_there_is_a_truth_for_every_measure_of_passes() -> None:
    assert set(TRUTH) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("decide", ["single", "mean"])
@pytest.mark.parametrize(("passes", "classes"), [(2, 2), (2, 10), (4, 3), (8, 100)])
def test_it_agrees_with_numpy_in_float64(name: str, decide: str, passes: int, classes: int) -> None:
    logits = normal_passes(60, passes, classes)
    np.testing.assert_allclose(
        measured(logits, name, decide), TRUTH[name](logits.double().numpy(), decide), rtol=2e-5, atol=2e-6
    )


@given(seed=st.integers(0, 1000), passes=st.integers(2, 8), classes=st.integers(2, 12), scale=st.floats(0.01, 300))
@pytest.mark.parametrize("decide", ["single", "mean"])
def test_values_stay_in_the_range_that_the_measure_states(
    decide: str, seed: int, passes: int, classes: int, scale: float
) -> None:
    logits = normal_passes(10, passes, classes, scale, seed)
    for name in NAMES:
        values = measured(logits, name, decide)
        lowest, highest = MEASURES[name].lowest, MEASURES[name].highest
        assert lowest is not None
        assert highest is not None
        assert ((values >= lowest) & (values <= highest)).all()


@pytest.mark.parametrize("decide", ["single", "mean"])
def test_equal_passes_know_nothing_more(decide: str) -> None:
    one = normal_passes(40, 1, 10)
    same = one.repeat(1, 4, 1)
    for name in ("mutual_information", "variation_ratio", "disagreement"):
        np.testing.assert_allclose(measured(same, name, decide), 0.0, atol=1e-6)
    plain = scores(one)
    margin = plain.values[PLAIN.measures.index("margin")].double().numpy()
    np.testing.assert_allclose(measured(same, "own_margin", decide), margin, rtol=1e-4, atol=1e-6)
    assert torch.equal(scores(same, ["entropy"], decide).classes, plain.classes)


@pytest.mark.parametrize("decide", ["single", "mean"])
@given(seed=st.integers(0, 1000))
def test_the_order_of_the_passes_after_the_first_does_not_matter(decide: str, seed: int) -> None:
    logits = normal_passes(10, 5, 4, seed=seed)
    order = torch.tensor([0, 3, 1, 4, 2])
    for name in NAMES:
        np.testing.assert_allclose(
            measured(logits[:, order], name, decide), measured(logits, name, decide), rtol=1e-5, atol=1e-6
        )


def test_a_single_pass_that_decides_has_the_bits_that_it_has_alone() -> None:
    logits = normal_passes(1030, 4, 10)
    alone, among = scores(logits[:, 0].contiguous()), scores(logits, PLAIN.measures, "single")
    for one, other in zip(alone, among, strict=True):
        assert torch.equal(one, other)


def test_the_mean_decides_where_it_is_asked_to() -> None:
    passes = torch.tensor([[[2.0, 1.9, 0.0], [0.0, 5.0, 0.0], [0.0, 5.0, 0.0]]])
    assert scores(passes, ["entropy"], "single").classes.tolist() == [0]
    found = scores(passes, ["entropy", "margin", "own_margin", "energy"], "mean")
    assert found.classes.tolist() == [1]
    mean = special.softmax(passes.double().numpy(), axis=2).mean(1)[0]
    np.testing.assert_allclose(found.probabilities[0].numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(
        found.values[:, 0].numpy(),
        [
            _entropy(mean[None])[0],
            1 - (mean[1] - mean[0]),
            1 - (mean[1] - mean[0]),
            -special.logsumexp(passes[0].double().numpy().mean(0)),
        ],
        rtol=1e-5,
    )


@pytest.mark.parametrize("decide", ["single", "mean"])
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_a_sample_of_which_one_pass_has_no_answer_has_none(decide: str, broken: float) -> None:
    logits = normal_passes(4, 3, 5)
    whole = scores(logits, NAMES, decide)
    logits[2, 1, 0] = broken
    found: Scores = scores(logits, NAMES, decide)
    assert found.answered.tolist() == [True, True, False, True]
    assert torch.isposinf(found.values[:, 2]).all()
    assert torch.equal(found.values[:, [0, 1, 3]], whole.values[:, [0, 1, 3]])


@pytest.mark.parametrize("decide", ["single", "mean"])
@pytest.mark.parametrize("passes", [2, 4, 8])
def test_the_bits_of_a_row_do_not_depend_on_the_rows_around_it(decide: str, passes: int) -> None:
    logits = normal_passes(1024, passes, 10)
    every = [*PLAIN.measures, *NAMES]
    whole = scores(logits, every, decide)
    for rows in (32, 96):
        parts = [scores(part, every, decide) for part in logits.split(rows)]
        assert torch.equal(torch.cat([part.values for part in parts], dim=1), whole.values)
        assert torch.equal(torch.cat([part.classes for part in parts]), whole.classes)
