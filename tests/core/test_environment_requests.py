"""What users of gymnasium and PettingZoo may ask of environments, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from codi_core.adapters import action_array, check_agents, refuse_options
from codi_core.errors import UsageError


@given(some.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
def test_an_action_has_the_shape_of_the_space_and_is_never_broadcast(shape: tuple[int, ...]):
    action = np.ones(shape, np.float32)
    if shape == (3, 2):
        assert np.array_equal(action_array(action, (3, 2)), action)
        return
    with pytest.raises(UsageError, match=r"an action has the shape \(3, 2\), not \("):
        action_array(action, (3, 2))


@given(st.lists(st.floats(-1e30, 1e30), min_size=2, max_size=2))
def test_any_kind_of_real_numbers_will_do(numbers: list[float]):
    for action in (numbers, tuple(numbers), np.array(numbers), torch.tensor(numbers)):
        found = action_array(action, (2,))
        assert found.dtype == np.float32
        assert found.tolist() == np.array(numbers, np.float32).tolist()
    assert action_array(np.array([1, -1]), (2,)).tolist() == [1.0, -1.0]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (None, "not None"),
        ("stop", "not str"),
        (["a", "b"], "not list"),
        ([[1.0], [1.0, 2.0]], "not list"),
        (np.array([1.0, None]), "not ndarray"),
        (np.array([1.0, 2j]), "not ndarray"),
        ({"left": 1.0}, "not dict"),
        ([1.0, np.nan], "a number that is not finite"),
        ([np.inf, 0.0], "a number that is not finite"),
        ([1e300, 0.0], "a number that is not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_what_is_no_action_is_refused(action: object, message: str):
    with pytest.raises(UsageError, match=f"^the left one's action .*{message}"):
        action_array(action, (2,), "the left one's action")


def test_each_agent_has_one_action():
    check_agents({"b": 1, "a": 2}, ["a", "b"])
    for actions, message in (
        ({"a": 1}, "no action for b"),
        ({"a": 1, "b": 1, "c": 1}, "no agent c; there are a, b"),
        ([1, 2], "a dictionary by agent, not list"),
    ):
        with pytest.raises(UsageError, match=message):
            check_agents(actions, ["a", "b"])  # type: ignore[arg-type]


def test_options_that_nobody_reads_are_refused():
    refuse_options(None, "a task")
    refuse_options({}, "a task")
    with pytest.raises(UsageError, match=r"reset knows no options \['agents'\]"):
        refuse_options({"agents": 3}, "a task")
