"""Factories that import their class when they are called: its arguments are the options."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from codi_core.errors import UsageError
from codi_core.host.records import MethodParts
from codi_core.host.registry import unknown_name


@attrs.frozen
class ByName:
    """An option whose value is a name, and stands for a part.

    Attributes:
        kind: what the part is, for messages.
        parts: the factories of the parts, by name.
        default: the name that is taken unless the user gives another.
    """

    kind: str
    parts: Mapping[str, LateClass]
    default: str

    def part(self, name: object) -> LateClass:
        """The factory of a name.

        Raises:
            UsageError: there is none; the message lists the valid names.
        """
        if not isinstance(name, str) or name not in self.parts:
            raise unknown_name(self.kind, str(name), self.parts)
        return self.parts[name]

    def shown(self, parameter: inspect.Parameter) -> inspect.Parameter:
        """The parameter of a class that takes the part, as the user sees it."""
        return parameter.replace(default=self.default, annotation="str")


@attrs.frozen
class ByPath:
    """An option whose value is a path, and stands for a part that is loaded from there.

    Attributes:
        path: ``module:function`` of what loads it; its argument ``checkpoint`` is the option's
            value. It may know words that are no paths.
        passed: its other arguments, by their names among what the host passes.
        default: the value that is taken unless the user gives another. With None there is no part:
            the class gets None.
    """

    path: str
    passed: tuple[str, ...]
    default: str | None = None

    def part(self, value: object) -> LateClass | None:
        """What loads from a path; None if there is none.

        Raises:
            UsageError: something else was given.
        """
        if value is None:
            return None
        if not isinstance(value, str):
            raise UsageError(f"{value!r} is no path")
        return LateClass(self.path, *self.passed, checkpoint=value)

    def shown(self, parameter: inspect.Parameter) -> inspect.Parameter:
        """The parameter of a class that takes the part, as the user sees it."""
        annotation = "str | None" if self.default is None else "str"
        return parameter.replace(default=self.default, annotation=annotation)


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
            what the host passes. A :class:`ByName` or a :class:`ByPath` is an option, whose part is
            made likewise.
    """

    def __init__(self, path: str, *passed: str, **given: Any) -> None:
        self.path = path
        self.passed = passed
        self.given = given

    def __call__(self, **values: Any) -> Any:
        """Make an object from what the host passes and the options that the user gave."""
        passed = {name: values.pop(name) for name in self.passed}
        for name, value in self.given.items():
            if isinstance(value, ByName | ByPath):
                value = value.part(values.get(name, value.default))
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
        named = {
            name: value for name, value in self.given.items() if isinstance(value, ByName | ByPath)
        }
        fixed = {*self.passed, *self.given} - set(named)
        return [
            named[name].shown(parameter) if name in named else parameter
            for name, parameter in self._arguments().items()
            if name not in fixed
        ]

    def _arguments(self) -> dict[str, inspect.Parameter]:
        # A class without arguments of its own has object's *args and **kwargs.
        anything = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        parameters = inspect.signature(self._target()).parameters
        return {
            name: each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, each in parameters.items()
            if each.kind not in anything
        }

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
        given: arguments that are no options, and options by name, as for :class:`LateClass`.
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
