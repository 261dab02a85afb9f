"""Factories whose options are the arguments of a class that is imported late."""

from __future__ import annotations

import inspect
import sys

import pytest

from codi_core.errors import UsageError
from codi_core.host.choices import make_part
from codi_core.host.late_class import ByName, ByPath, LateClass, LatePlanner
from codi_core.host.plugins import load_plugins
from codi_core.host.records import MethodParts

HERE = __name__


class Part:
    def __init__(self, schedule, width: int = 3, inner=None):
        self.schedule, self.width, self.inner = schedule, width, inner


class Bare:
    """It takes nothing."""


class Method:
    def __init__(self, product, schedule, samples: int, share: float = 0.5, hidden: int = 1):
        self.values = (product, schedule, samples, share, hidden)


class Sampler:
    schedule = "levels"


PARTS = MethodParts("product", "predictor", "cost", "guidance", Sampler(), 16, 0.1)


def options(factory):
    shown = inspect.signature(factory).parameters.values()
    return {each.name: each.default for each in shown if each.default is not each.empty}


def test_options_and_defaults_are_those_of_the_class():
    factory = LateClass(f"{HERE}:Part", "schedule", inner=None)
    assert options(factory) == {"width": 3}
    made = make_part(factory, "part", options={"width": 5}, schedule="levels")
    assert (made.schedule, made.width, made.inner) == ("levels", 5, None)
    with pytest.raises(UsageError, match="part has no option 'inner'; its options: width"):
        make_part(factory, "part", options={"inner": 1}, schedule="levels")
    with pytest.raises(UsageError, match="part refuses width='wide': it must be a whole number"):
        make_part(factory, "part", options={"width": "wide"}, schedule="levels")


def test_what_a_class_does_not_take_is_kept_from_it():
    factory = LateClass(f"{HERE}:Bare", "schedule", "samples")
    assert isinstance(factory(schedule="levels", samples=3), Bare)
    with pytest.raises(UsageError, match="no option 'width'; its options: none"):
        make_part(factory, "part", options={"width": 1}, schedule="levels", samples=3)


def test_parts_of_a_part_are_made_first():
    inner = LateClass(f"{HERE}:Part", "schedule", width=9)
    made = LateClass(f"{HERE}:Part", "schedule", inner=inner)(schedule="levels", width=1)
    assert (made.width, made.inner.width, made.inner.schedule) == (1, 9, "levels")


def test_an_option_may_name_a_part():
    parts = {"narrow": LateClass(f"{HERE}:Part", "schedule", width=1)}
    parts["wide"] = LateClass(f"{HERE}:Part", "schedule", width=9)
    factory = LateClass(f"{HERE}:Part", "schedule", inner=ByName("part", parts, "narrow"))
    assert options(factory) == {"width": 3, "inner": "narrow"}
    assert factory(schedule="levels").inner.width == 1
    made = make_part(factory, "part", options={"inner": "wide"}, schedule="levels")
    assert (made.width, made.inner.width, made.inner.schedule) == (3, 9, "levels")
    for name in ("wider", 9, None):
        with pytest.raises(UsageError, match=rf"unknown part '{name}';.* valid: .*narrow"):
            make_part(factory, "part", options={"inner": name}, schedule="levels")


def test_a_planner_takes_the_parts_that_it_names():
    factory = LatePlanner(f"{HERE}:Method", hidden=7)
    assert options(factory) == {"share": 0.5}
    made = make_part(factory, "method", PARTS, options={"share": 0.25})
    assert made.values == ("product", "levels", 16, 0.25, 7)
    with pytest.raises(UsageError, match="no option 'samples'"):
        make_part(factory, "method", PARTS, options={"samples": 2})


def test_nothing_is_imported_before_it_is_wanted():
    factory = LateClass("codi_core.nowhere:Part")
    assert "codi_core.nowhere" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        factory()


BASE_SAMPLES = {"sampler": "ancestral", "start": None}
OPTIONS = {
    "posteriors": {
        "isotropic": {},
        "matched": {"sigma_data": 1.0},
        "correlated": {"steps": 6.0, "sigma_data": 1.0},
        "jacobian": {"cap": None},
        "data-covariance": {"estimate_from": 64, "steps": 8, **BASE_SAMPLES},
        "denoised": {"steps": 4, "sampler": "ancestral"},
    },
    "guidances": {
        "monte-carlo": {"ess": 0.0},
        "factored": {"hops": 0, "ess": 0.0},
        "library": {"steps": 8, "ess": 0.0, **BASE_SAMPLES},
        "hybrid": {"switch": 0.5, "steps": 8, "ess": 0.0, "library": None, **BASE_SAMPLES},
        "reparameterized": {"ess": 0.0},
    },
    "samplers": {
        "ancestral": {},
        "calibrated": {"sigma_data": 1.0},
        "euler-maruyama": {},
        "heun": {},
        "dpm-solver": {"eta": 0.0},
        "dpm-solver-sde": {},
        "warm-start": {"first": "ancestral", "sigma_warm": 5.0, "steps": 8, "cold": 0.1},
    },
    "methods": {
        "codi": {},
        "base": {},
        "best-of": {"student": "none"},
        "resampling": {"share": 0.5, "sampler": "ancestral"},
        "search": {
            "rollouts": None,
            "candidates": None,
            "steps": None,
            "sweeps": 1,
            "calls": 4,
            "start": 10.0,
            "sampler": "dpm-solver",
            "student": "shipped",
        },
    },
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_the_built_in_parts_have_the_options_that_are_documented(kind):
    registry = getattr(load_plugins(), kind)
    found = {name: options(registry.get(name).factory) for name in OPTIONS[kind]}
    assert found == OPTIONS[kind]


class Loaded:
    """What is loaded from a path, for a product."""

    def __init__(self, product, checkpoint):
        self.made_of = (product, checkpoint)


class Drawing:
    def __init__(self, product, source=None):
        self.product, self.source = product, source


def test_an_option_that_is_a_path_stands_for_what_is_loaded_from_there():
    factory = LatePlanner(f"{HERE}:Drawing", source=ByPath(f"{HERE}:Loaded", ("product",)))
    assert options(factory) == {"source": None}
    assert make_part(factory, "method", PARTS, options={}).source is None
    made = make_part(factory, "method", PARTS, options={"source": "runs/student"})
    assert made.source.made_of == ("product", "runs/student")
    with pytest.raises(UsageError, match="5 is no path"):
        factory(PARTS, source=5)
