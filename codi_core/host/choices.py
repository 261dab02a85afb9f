"""How parts are asked for on the command line: ``NAME``, ``NAME=WEIGHT:option=value,...``."""

from __future__ import annotations

import ast
import inspect
import math
from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import attrs

from codi_core.errors import (
    CodiError,
    PluginError,
    SpecificationError,
    UsageError,
    is_out_of_memory,
)
from codi_core.host.registry import nearest_first


@attrs.frozen
class Choice:
    """A registered part, chosen by its name.

    Attributes:
        name: the record's name.
        weight: for costs, what it is multiplied with; None says that none was given.
        options: keyword arguments for the record's factory.
        adds: whether it was written with a leading ``+``: it adds to the default.
    """

    name: str
    weight: float | None = None
    options: Mapping[str, Any] = attrs.field(factory=dict)
    adds: bool = False

    def __str__(self) -> str:
        """The text that parses to this choice again."""
        weight = "" if self.weight is None else f"={self.weight!r}"
        options = ",".join(f"{name}={value}" for name, value in self.options.items())
        return ("+" if self.adds else "") + self.name + weight + (f":{options}" if options else "")


def parse_choice(text: str, option: str, weighted: bool = False) -> Choice:
    """Parse ``NAME[:option=value,...]``; with ``weighted`` also ``[+]NAME[=WEIGHT][:...]``.

    Raises:
        UsageError: the text has another form; the message names ``option``.
    """
    form = "[+]NAME[=WEIGHT][:option=value,...]" if weighted else "NAME[:option=value,...]"
    if not isinstance(text, str):  # files and programs may give anything
        raise UsageError(f"{option}: must be a text, not {text!r}")
    head, colon, tail = text.partition(":")
    adds = weighted and head.startswith("+")
    name, equals, weight = head.removeprefix("+" if adds else "").partition("=")
    if not name or (equals and not weighted) or (colon and not tail):
        raise UsageError(f"{option} {text!r}: write {form}")
    return Choice(
        name,
        _weight(weight, text, option) if equals else None,
        _options(tail, text, option) if tail else {},
        adds,
    )


def _weight(weight: str, text: str, option: str) -> float:
    try:
        value = float(weight)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{option} {text!r}: the weight {weight!r} is not a finite number")
    return value


def _options(tail: str, text: str, option: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in tail.split(","):
        name, equals, value = part.partition("=")
        if not name.isidentifier() or not equals:
            raise UsageError(f"{option} {text!r}: {part!r} must have the form option=value")
        options[name] = _value(value)
    return options


def _value(text: str) -> Any:
    """A number, True, False or None where the text is one; the text itself otherwise."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, int | float | str) else text


def combine_costs(defaults: Iterable[Choice], asked: Iterable[Choice]) -> tuple[Choice, ...]:
    """What ``--cost`` options make of the task's default cost.

    Plain names replace the default; names with a leading ``+`` add to it, or replace the term of
    their name in it.

    Raises:
        UsageError: a name was asked for twice.
    """
    asked = tuple(asked)
    terms = {} if any(not choice.adds for choice in asked) else {c.name: c for c in defaults}
    seen: set[str] = set()
    for choice in asked:
        if choice.name in seen:
            raise UsageError(f"--cost names '{choice.name}' twice: give it once, with its weight")
        seen.add(choice.name)
        before = terms.get(choice.name)
        terms[choice.name] = Choice(
            choice.name,
            choice.weight if choice.weight is not None else before.weight if before else 1.0,
            choice.options or (before.options if before else {}),
        )
    return tuple(terms.values())


def make_part(
    factory: Callable[..., Any],
    what: str,
    *args: Any,
    kind: type | None = None,
    options: Mapping[str, Any] | None = None,
    **given: Any,
) -> Any:
    """Call a record's factory, turning the user's mistakes into messages.

    Args:
        factory: the record's factory.
        what: how messages call the part, such as "cost 'goal'".
        args: positional arguments that the host passes.
        kind: the class of what the factory must make; None for anything.
        options: keyword arguments that the user gave; None for a part that has no options.
        given: keyword arguments that the host passes.

    Raises:
        UsageError: an option that the factory doesn't take or that it lacks, a value of another
            kind than the option is annotated with, or one that the factory refuses.
        PluginError: something that the part needs is not installed.
        SpecificationError: the factory is none, raised, or made something else.
    """
    _check_factory(factory, what, kind)
    _check_options(factory, what, len(args), options, given)
    options = options or {}
    made = _called(partial(factory, *args, **given, **options), what, options)
    if kind is not None and not isinstance(made, kind):
        found = f"the class {made.__name__}" if isinstance(made, type) else _kind_of(made)
        raise SpecificationError(
            f"{what} cannot be made: its factory made {found}; it must make an instance of "
            f"{kind.__name__}"
        )
    return made


def check_attribute(part: object, name: str, kind: type, what: str) -> None:
    """Check that a part has what its interface promises besides its methods.

    Raises:
        SpecificationError: the attribute is missing, or something else.
    """
    found = getattr(part, name, None)
    if not isinstance(found, kind):
        raise SpecificationError(
            f"{what} can't be used: the `{name}` of its {type(part).__name__} is "
            f"{_kind_of(found)}; it must be an instance of {kind.__name__}"
        )


def _called(factory: Callable[[], Any], what: str, options: Mapping[str, Any]) -> Any:
    """What the factory makes, with these options."""
    try:
        return factory()
    except ImportError as error:
        raise PluginError(f"{what} cannot be made, something it needs is missing: {error}") from (
            error
        )
    except (CodiError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a part that calls sys.exit() has broken, too
        if is_out_of_memory(error):
            raise
        if options and isinstance(error, (ValueError, TypeError)):
            shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
            raise UsageError(f"{what} refuses {shown}: {error}") from error
        raise SpecificationError(
            f"{what} cannot be made: {type(error).__name__}: {error}"
        ) from error


def _kind_of(value: object) -> str:
    return "nothing" if value is None else f"an instance of {type(value).__name__}"


def _check_factory(factory: object, what: str, kind: type | None) -> None:
    """Check that something can be made: also a part itself may be callable, as costs are."""
    if not callable(factory):
        raise SpecificationError(f"{what} cannot be made: {factory!r} is no function or class")
    if kind is not None and isinstance(factory, kind):
        raise SpecificationError(
            f"{what} cannot be made: an instance of {type(factory).__name__} is registered where a "
            "factory belongs; register the class"
        )
    if isinstance(factory, ABCMeta) and inspect.isabstract(factory):
        lacking = ", ".join(sorted(factory.__abstractmethods__))
        raise SpecificationError(
            f"{what} cannot be made: its class {factory.__name__} is abstract; it lacks {lacking}"
        )


def _check_options(
    factory: Callable[..., Any],
    what: str,
    passed: int,
    asked: Mapping[str, Any] | None,
    given: Mapping[str, Any],
) -> None:
    """Check the user's options against what the factory takes beside the host's arguments."""
    options = asked or {}
    for name, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{what} refuses {name}={value!r}: it must be a finite number")
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (ValueError, TypeError):
        return
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    takes = {
        parameter.name: parameter
        for parameter in parameters[passed:]
        if parameter.kind in named and parameter.name not in given
    }
    for name, parameter in takes.items():
        if parameter.default is parameter.empty and name not in options:
            raise _lacking(name, factory, what, asked is not None)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    for name, value in options.items():
        if name not in takes:
            valid = ", ".join(nearest_first(name, takes)) or "none"
            raise UsageError(f"{what} has no option '{name}'; its options: {valid}")
        fitting = _unlike(value, takes[name].annotation)
        if fitting:
            raise UsageError(f"{what} refuses {name}={value!r}: it must be {fitting}")


def _lacking(
    name: str, factory: Callable[..., Any], what: str, optional: bool
) -> UsageError | SpecificationError:
    """The error for an argument that a factory needs and that nobody gives."""
    if not optional:
        return SpecificationError(
            f"{what} cannot be made: its factory needs an argument '{name}', which nobody gives: "
            "give it a default"
        )
    hint = ""
    if inspect.isfunction(factory):
        kind = what.split(" '")[0]
        hint = f"; if {factory.__name__}() is the {kind} itself, register a class for it"
    return UsageError(f"{what} needs its option '{name}': write NAME:{name}=VALUE{hint}")


_KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "None": "none"}


def _unlike(value: Any, annotation: Any) -> str | None:
    """What a value should be by its option's annotation; None if it may do."""
    text = str(getattr(annotation, "__name__", annotation))
    kinds = [kind.strip() for kind in text.split("|")]
    if any(kind not in _KINDS for kind in kinds):
        return None
    own = "None" if value is None else type(value).__name__
    fits = own in kinds or (own == "int" and "float" in kinds)
    return None if fits else " or ".join(_KINDS[kind] for kind in kinds)
