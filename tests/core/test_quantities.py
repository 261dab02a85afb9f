"""Values that a user gives: what is asked of them, wherever they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codi_core.errors import UsageError
from codi_core.experiments.opening import make_options
from codi_core.quantities import unlike

KINDS: list[tuple[Any, list[Any], list[Any]]] = [
    (int, [0, -3, np.int64(2)], [True, 1.0, "1", None, math.nan]),
    (float, [0.5, 2, np.float32(0.5)], [True, "1", None, math.nan, math.inf, -math.inf, 1j]),
    (Real, [0, math.nan, math.inf], ["1", None, 1j]),
    (bool, [True, False], [0, 1, "true", None]),
    (str, ["", "nan"], [1, None, Path("x")]),
    (float | None, [None, 1.5], ["none", math.nan]),
    (Literal["a", "b"], ["a", "b"], ["c", None, 1]),
    (tuple[float, float], [(1.0, 2), [0.0, 0.0]], [(1.0,), (1.0, math.nan), "ab", 3.0, None]),
    (tuple[int, ...], [(), (1, 2, 3)], [(1, 2.5), (math.nan,), 1, "12"]),
    (list[str], [[], ["a"]], [["a", 1], "a"]),
    (tuple[int, ...] | None, [None, (1,)], [(None,), 1]),
    (dict[str, int], [{}, {"a": 1}], [{"a": 1.5}, {"a": None}, [], "ab", None]),
    (Mapping[str, list[float]], [{"a": [1.0]}], [{"a": [math.nan]}, {"a": 1.0}, 3]),
]


@pytest.mark.parametrize(("hint", "fit", "unfit"), KINDS, ids=[str(kind[0]) for kind in KINDS])
def test_a_value_is_as_it_is_annotated(hint: Any, fit: list[Any], unfit: list[Any]) -> None:
    assert [unlike(value, hint) for value in fit] == [None] * len(fit)
    assert all(unlike(value, hint) for value in unfit)


def test_what_is_missing_is_said() -> None:
    assert unlike("x", int) == "a whole number"
    assert unlike(math.nan, float | None) == "a finite number"
    assert unlike(math.nan, float | str) == "a finite number or a text"
    assert unlike("c", Literal["a", "b"]) == "one of a, b"
    assert unlike((1.0,), tuple[float, float]) == "2 values"
    assert unlike((1.0, "b"), tuple[float, ...]) == "values that are each a finite number"
    assert unlike({"a": "b"}, dict[str, int]) == "named values that are each a whole number"


@given(st.one_of(st.none(), st.text(), st.floats(), st.lists(st.integers())))
def test_other_annotations_say_nothing(value: Any) -> None:
    assert unlike(value, Any) is None
    assert unlike(value, set[int]) is None


@attrs.frozen
class Careless:
    """A task's options without any validator."""

    count: int = 3
    speed: float = 1.0
    places: tuple[float, float] = (0.0, 1.0)
    label: str | None = None
    careful: bool = True
    anything: Any = None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 2.5}, "--count must be a whole number, not 2.5"),
        ({"count": True}, "--count must be a whole number, not True"),
        ({"speed": math.nan}, "--speed must be a finite number, not nan"),
        ({"speed": -math.inf}, "--speed must be a finite number, not -inf"),
        ({"speed": "fast"}, "--speed must be a finite number, not 'fast'"),
        ({"places": [0.0, math.nan]}, "--places must be values that are each a finite number"),
        ({"places": [0.0]}, "--places must be 2 values"),
        ({"label": 3}, "--label must be a text, not 3"),
        ({"careful": "yes"}, "--careful must be true or false, not 'yes'"),
        ({"sped": 1.0}, "has no option 'sped'; it has: count, speed"),
    ],
)
def test_options_of_a_task_without_validators_are_checked(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        make_options(Careless, values, "careless")
    assert caught.value.exit_code == 2
    assert "task 'careless'" in str(caught.value)


def test_options_come_through_as_they_are() -> None:
    values = {"count": 2, "speed": 3, "places": [0.5, 1], "label": "x", "anything": math.inf}
    made = make_options(Careless, values, "careless")
    assert made == Careless(2, 3, (0.5, 1), "x", True, math.inf)
