"""Mistakes have an exit code each, and a hint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsuq_cli.errors import BadInput, DatabaseError, RsuqError, RunIncomplete, nearest


@pytest.mark.parametrize(("kind", "code"), [(BadInput, 2), (RunIncomplete, 3), (DatabaseError, 4)])
def test_each_kind_of_mistake_has_its_exit_code(kind: type[RsuqError], code: int) -> None:
    error = kind("what is wrong", "what to do")
    assert isinstance(error, RsuqError)
    assert (error.exit_code, error.message, error.hint) == (code, "what is wrong", "what to do")
    assert str(error) == "what is wrong"


def test_a_hint_may_be_left_out() -> None:
    assert BadInput("what is wrong").hint == ""


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("resnet10", "did you mean resnet110 or resnet20?"),
        ("RESNET20", "did you mean resnet20"),
        ("mpl", "did you mean mlp?"),
        ("transformer", "known: cnn, mlp, resnet110, resnet20"),
    ],
)
def test_the_nearest_names_are_offered_or_all_of_them(typed: str, expected: str) -> None:
    assert nearest(typed, {"mlp", "cnn", "resnet20", "resnet110"}).startswith(expected)


@given(name=st.text(max_size=20), known=st.lists(st.text(min_size=1, max_size=8), max_size=5))
def test_any_text_gets_an_answer(name: str, known: list[str]) -> None:
    assert nearest(name, known)
