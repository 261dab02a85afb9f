"""Factories that import their class when they are called: its arguments are the options."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import attrs

from codi_core.host.records import MethodParts


class LateClass:
    """A record's factory that makes objects of a class, and imports it no sooner than that.

    The class's arguments are the user's options, with the defaults that stand there, except for
    those that the host passes and those that are given here::

        factory = LateClass("codi_core.samplers:AncestralSampler", "schedule")
        SamplerRecord("ancestral", "ancestral sampling, as DDPM does", factory)

    Args:
        path: ``module:class``; a function is as good.
        passed: the arguments that the host passes, by name. The class need not take them all.
        given: arguments that are no options. A :class:`LateClass` among them is made first, from
            what the host passes.
    """

    def __init__(self, path: str, *passed: str, **given: Any) -> None:
        self.path = path
        self.passed = passed
        self.given = given

    def __call__(self, **values: Any) -> Any:
        """Make an object from what the host passes and the options that the user gave."""
        passed = {name: values.pop(name) for name in self.passed}
        for name, value in self.given.items():
            if isinstance(value, LateClass):
                value = value(**{part: passed[part] for part in value.passed})
            values[name] = value
        taken = self._arguments()
        values |= {name: value for name, value in passed.items() if name in taken}
        return self._target()(**values)

    @property
    def __signature__(self) -> inspect.Signature:
        """What the host passes, and the options; all by name."""
        shown = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in self.passed]
        return inspect.Signature([*shown, *self.options()])

    def options(self) -> list[inspect.Parameter]:
        """The arguments that are the user's to choose."""
        return [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, parameter in self._arguments().items()
            if name not in self.passed and name not in self.given
        ]

    def _arguments(self) -> dict[str, inspect.Parameter]:
        # A class without arguments of its own has object's *args and **kwargs.
        anything = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        parameters = inspect.signature(self._target()).parameters
        return {name: each for name, each in parameters.items() if each.kind not in anything}

    def _target(self) -> Callable[..., Any]:
        module, _, name = self.path.partition(":")
        target: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return target


class LatePlanner:
    """A method's factory that makes planners of a class, as :class:`LateClass` does.

    What the class takes by the names of the fields of :class:`MethodParts`, or as ``schedule``, are
    these parts. Its other arguments are options.

    Args:
        path: ``module:class``.
        given: arguments that are no options.
    """

    def __init__(self, path: str, **given: Any) -> None:
        names = [field.name for field in attrs.fields(MethodParts)]
        passed = [name for name in (*names, "schedule") if name not in given]
        self._planner = LateClass(path, *passed, **given)

    def __call__(self, parts: MethodParts, **options: Any) -> Any:
        """Make a planner."""
        passed = {name: getattr(parts, name) for name in self._planner.passed}
        return self._planner(**passed, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        """The parts, and the options."""
        parts = inspect.Parameter("parts", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return inspect.Signature([parts, *self._planner.options()])
