"""Registries: duplicates and unknown names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codi_core.errors import PluginError, UsageError
from codi_core.host.records import CostRecord, Record, TaskRecord
from codi_core.host.registry import Registry, nearest_first


def factory() -> None:
    """Makes nothing."""


def registry(*names: str) -> Registry[TaskRecord]:
    made: Registry[TaskRecord] = Registry("task")
    for name in names:
        made.add(TaskRecord(name, "a task", factory), "codi-test")
    return made


def test_an_unknown_name_names_the_nearest_first() -> None:
    tasks = registry("example-points", "franka-handoff", "navigation")
    with pytest.raises(UsageError) as raised:
        tasks.get("franka-handof")
    assert str(raised.value) == (
        "unknown task 'franka-handof'; did you mean 'franka-handoff'? "
        "valid: franka-handoff, navigation, example-points"
    )
    assert raised.value.exit_code == 2


def test_a_far_name_gets_no_guess_but_the_list() -> None:
    with pytest.raises(UsageError, match=r"^unknown task 'xyzzy'; valid: example-points$"):
        registry("example-points").get("xyzzy")


def test_an_empty_registry_says_so() -> None:
    with pytest.raises(UsageError, match="no installed plugin provides one"):
        registry().get("franka-handoff")


def test_a_duplicate_names_both_distributions_and_means_neither() -> None:
    tasks = registry("handoff", "swap")
    for _ in range(2):
        with pytest.raises(PluginError, match="registered by both 'codi-test' and 'codi-other'"):
            tasks.add(TaskRecord("handoff", "another", factory), "codi-other")
    with pytest.raises(PluginError, match="registered by both 'codi-test' and 'codi-other'"):
        tasks.get("handoff")
    assert "handoff" not in tasks
    assert tasks.names() == ("swap",)


@pytest.mark.parametrize("name", ["", "+gap", "a=1", "a:b", "a,b", "-a", "a b"])
def test_names_that_options_could_not_express_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        Record(name, "summary", factory)


def test_a_factory_must_be_callable() -> None:
    with pytest.raises(TypeError, match="factory of 'gap' is not callable"):
        CostRecord("gap", "summary", None)  # type: ignore[arg-type]


@given(st.lists(st.text("abc-", min_size=1), unique=True), st.text("abc-", min_size=1))
def test_nearest_first_permutes_and_puts_an_exact_match_first(valid: list[str], name: str) -> None:
    ordered = nearest_first(name, valid)
    assert sorted(ordered) == sorted(valid)
    assert name not in valid or ordered[0] == name
