"""The fitted rejecter beside numpy in float64, the same bits in every batch, and a range that is kept."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from rsuq_cli.errors import BadInput
from rsuq_cli.uncertainty.forms import Outputs, form_of
from rsuq_cli.uncertainty.predictor import Predictor
from rsuq_cli.uncertainty.rejecter import Rejecter, features
from rsuq_cli.uncertainty.scores import scores


def passes_of(rows: int, passes: int, classes: int, seed: int = 0) -> torch.Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.normal(0, 2, (rows, passes, classes)).astype(np.float32))


def drawn(passes: torch.Tensor, decide: str, seed: int = 1) -> Rejecter:
    """Returns a rejecter with drawn coefficients for such passes."""
    size = features(Outputs(passes, decide)).shape[1]
    return Rejecter.of(np.random.default_rng(seed).normal(0, 1, size).tolist(), 0.25)


def expected(passes: npt.NDArray[np.float32], decide: str) -> npt.NDArray[np.float64]:
    """Returns the features `[N, F]` in float64, row by row and class by class."""
    logs = special.log_softmax(passes.astype(np.float64), axis=2)
    mean = np.exp(logs).mean(axis=1)
    rows = []
    for one, average, given_logits in zip(logs, mean, passes, strict=True):
        deciding = average if decide == "mean" and len(one) > 1 else given_logits[0]
        order = sorted(range(len(average)), key=lambda c: (-deciding[c], c))
        row = [max(-20.0, each[c]) for each in one for c in order[:10]] + [average[c] for c in order[:10]]
        if len(average) <= 100:
            row += [float(c == order[rank]) for rank in range(min(2, len(order))) for c in range(len(average))]
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("decide", ["single", "mean"])
@pytest.mark.parametrize(("passes", "classes"), [(1, 2), (1, 10), (4, 3), (3, 12), (2, 101)])
def test_features_and_score_are_those_of_numpy(decide: str, passes: int, classes: int) -> None:
    logits = passes_of(40, passes, classes)
    truth = expected(logits.numpy(), decide)
    np.testing.assert_allclose(features(Outputs(logits, decide)).numpy(), truth, rtol=1e-5, atol=1e-6)
    rejecter = drawn(logits, decide)
    score = truth @ np.array(rejecter.coefficients) + rejecter.bias
    found = scores(logits, ["rejecter"], decide, rejecter).values[0].double().numpy()
    np.testing.assert_allclose(found, (1 + score / (1 + np.abs(score))) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("decide", ["single", "mean"])
@pytest.mark.parametrize("passes", [1, 4])
def test_the_bits_of_a_row_do_not_depend_on_the_rows_around_it(decide: str, passes: int) -> None:
    logits = passes_of(1024, passes, 10)
    rejecter = drawn(logits, decide)
    whole = scores(logits, ["rejecter"], decide, rejecter).values
    for rows in (32, 96, 1000):
        parts = [scores(part, ["rejecter"], decide, rejecter).values for part in logits.split(rows)]
        assert torch.equal(torch.cat(parts, dim=1), whole)


@given(seed=st.integers(0, 200), scale=st.floats(1e-3, 1e4))
def test_it_stays_in_its_range_and_grows_with_the_score(seed: int, scale: float) -> None:
    logits = passes_of(20, 2, 4, seed) * scale
    rejecter = drawn(logits, "single", seed)
    values = scores(logits, ["rejecter"], "single", rejecter).values[0]
    assert bool(((values >= 0) & (values <= 1)).all())
    raised = Rejecter(rejecter.coefficients, rejecter.bias + 1.0, "")
    assert bool((scores(logits, ["rejecter"], "single", raised).values[0] >= values).all())


def test_equal_logits_are_ranked_as_the_class_is_named() -> None:
    tied = torch.tensor([[0.0, 3.0, 3.0, 3.0]])
    of = Outputs(tied)
    leading = features(of)[0, -8:-4]
    assert int(leading.argmax()) == int(of.decided) == 1


def test_gradients_pass_after_it_was_asked_without_them() -> None:
    logits = passes_of(8, 2, 5)
    rejecter = drawn(logits, "mean")
    with torch.inference_mode():
        scores(logits, ["rejecter"], "mean", rejecter)
    climbed = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        form_of("rejecter").soft(Outputs(climbed, "mean", rejecter)).sum(), climbed
    )  # fmt: skip
    assert bool(gradient.any())
    assert bool(gradient.isfinite().all())


def test_a_copy_without_an_answer_is_infinitely_uncertain() -> None:
    logits = passes_of(3, 2, 4)
    rejecter = drawn(logits, "single")
    logits[1, 1, 0] = torch.nan
    values = scores(logits, ["rejecter"], "single", rejecter).values[0]
    assert torch.isposinf(values).tolist() == [False, True, False]


def test_the_measure_is_of_a_fitted_one_and_of_nothing_else() -> None:
    with pytest.raises(BadInput, match="no fitted rejecter"):
        scores(passes_of(2, 1, 3), ["rejecter"])
    with pytest.raises(BadInput, match="none is given"):
        Predictor().check("rejecter")
    with_one = Predictor(2, rejecter="ab" * 32)
    with_one.check("rejecter")
    assert set(with_one.measures) - set(Predictor(2).measures) == {"rejecter"}
    assert str(with_one) == "2 views reject, fitted rejecter abababab"
    assert "rejecter" not in Predictor(2).recorded()["predictor"]


def tempered(passes: npt.NDArray[np.float32], decide: str, temperatures: list[float]) -> npt.NDArray[np.float64]:
    """Returns half the own margin of the mean of the tempered softmaxes, `[N]` in float64."""
    logits = passes.astype(np.float64)
    plain = special.softmax(logits, axis=2).mean(axis=1)
    named = plain.argmax(1) if decide == "mean" and logits.shape[1] > 1 else logits[:, 0].argmax(1)
    mean = special.softmax(logits / np.array(temperatures)[:, None], axis=2).mean(axis=1)
    rows = np.arange(len(mean))
    own = mean[rows, named]
    mean[rows, named] = -1
    return (1 - own + mean.max(1)) / 2


@pytest.mark.parametrize("decide", ["single", "mean"])
@pytest.mark.parametrize("temperatures", [[0.7], [2.0, 0.5], [1.0, 3.0, 0.9, 1.1]])
def test_tempered_passes_have_the_own_margin_of_their_mean(decide: str, temperatures: list[float]) -> None:
    logits = passes_of(1024, len(temperatures), 10)
    rejecter = Rejecter.of(temperatures, 0.0, kind="temperature")
    whole = scores(logits, ["rejecter"], decide, rejecter).values
    truth = tempered(logits.numpy(), decide, temperatures)
    np.testing.assert_allclose(whole[0].double().numpy(), truth, rtol=1e-4, atol=1e-6)
    parts = [scores(part, ["rejecter"], decide, rejecter).values for part in logits.split(96)]
    assert torch.equal(torch.cat(parts, dim=1), whole)


def test_a_temperature_of_one_leaves_half_the_margin() -> None:
    logits = passes_of(50, 1, 6)
    found = scores(logits, ["rejecter", "margin"], "single", Rejecter.of([1.0], 0.0, kind="temperature")).values
    torch.testing.assert_close(2 * found[0], found[1])
