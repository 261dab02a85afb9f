"""The base policies: from what a task offers and a name to the factors of the product."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codi_core.errors import CheckpointError, SpecificationError
from codi_core.host.assembly.names import suiting, unknown_for
from codi_core.host.assembly.open_task import OpenTask
from codi_core.host.assembly.placement import place
from codi_core.host.choices import Choice, check_attribute, make_part
from codi_core.host.records import BasePolicyRecord
from codi_core.host.registry import unknown_name
from codi_core.policies import BasePolicy, Factor, Normaliser, PolicySpec
from codi_core.resources import Resources
from codi_core.tasks import PolicyOffer


def make_factors(
    opened: OpenTask, choice: Choice, checkpoint: Path | None, resources: Resources
) -> tuple[Factor, ...]:
    """The factors of the product policy.

    Args:
        opened: the task.
        choice: one of the task's offers, or a registered kind of base policy. The latter takes
            the place of the policies of the task's first offer, or of the one that its option
            ``offer`` names.
        checkpoint: a file, or a folder with ``KIND.safetensors`` for each kind of agents, or with
            the ``checkpoint.safetensors`` of a training if there is one kind; None stands for the
            shipped one.
        resources: what the policies are made with.

    Raises:
        UsageError: an unknown name or option.
        CheckpointError: a checkpoint is missing or made for something else.
        SpecificationError: the policy doesn't read or write what the task asks.
    """
    record, offer, options, _ = _policy(opened, choice)
    files = checkpoint_files(opened, choice, checkpoint)
    policies = {
        kind: _make_policy(record, kind, spec, files[kind], resources, options)
        for kind, spec in offer.kinds.items()
    }
    return tuple(
        Factor(policies[layout.kind], layout.agents, layout.observe, layout.action_sizes)
        for layout in offer.factors
    )


def checkpoint_files(
    opened: OpenTask, choice: Choice, checkpoint: Path | None
) -> dict[str, Path | None]:
    """The file that the policy of each kind of agents is loaded from; None where there is none.

    The arguments and errors are those of :func:`make_factors`.
    """
    _, offer, _, shipped = _policy(opened, choice)
    return {
        kind: _checkpoint(opened.name, choice.name, offer, kind, checkpoint, shipped)
        for kind in offer.kinds
    }


def shipped_students(opened: OpenTask, choice: Choice) -> tuple[Path, ...]:
    """The students that the task ships for policies of the chosen kinds.

    The choice and the errors are those of :func:`make_factors`.
    """
    return _policy(opened, choice)[1].students


def _policy(
    opened: OpenTask, choice: Choice
) -> tuple[BasePolicyRecord, PolicyOffer, dict[str, Any], bool]:
    """The kind of policy, whom it serves, its options, and whether shipped checkpoints fit."""
    registry, offers = opened.host.base_policies, opened.parts.policies
    options = dict(choice.options)
    if choice.name in offers:
        offer = offers[choice.name]
        return registry.get(offer.policy), offer, options, True
    if choice.name not in registry or not registry.get(choice.name).suits(opened.name):
        valid = {**offers, **{record.name: record for record in suiting(registry, opened.name)}}
        raise unknown_for(registry, opened.name, choice.name, valid)
    name = str(options.pop("offer", next(iter(offers))))
    if name not in offers:
        raise unknown_name(f"offer of policies of task '{opened.name}'", name, offers)
    return registry.get(choice.name), offers[name], options, False


def _checkpoint(
    task: str, policy: str, offer: PolicyOffer, kind: str, given: Path | None, shipped: bool
) -> Path | None:
    """Where the policy of one kind is loaded from."""
    if given is None:
        return offer.checkpoints.get(kind) if shipped else None
    if given.is_dir():
        return _in_folder(given, kind, len(offer.kinds) == 1)
    if len(offer.kinds) > 1:
        files = " and ".join(f"{name}.safetensors" for name in offer.kinds)
        raise CheckpointError(
            f"{given}: policy '{policy}' of task '{task}' has several kinds of agents: give a "
            f"folder with {files}"
        )
    return given


def _in_folder(folder: Path, kind: str, only_kind: bool) -> Path:
    """The checkpoint for one kind in a folder; that of a training will do for the only kind."""
    names = [f"{kind}.safetensors", *(["checkpoint.safetensors"] if only_kind else [])]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    found = ", ".join(sorted(path.name for path in folder.glob("*.safetensors"))) or "none"
    raise CheckpointError(
        f"the folder '{folder}' has no checkpoint {' or '.join(names)} for the agents of the kind "
        f"'{kind}'; it has {found}"
    )


def _make_policy(
    record: BasePolicyRecord,
    kind: str,
    spec: PolicySpec,
    checkpoint: Path | None,
    resources: Resources,
    options: Mapping[str, Any],
) -> BasePolicy:
    what = f"base policy '{record.name}'"
    policy: BasePolicy = make_part(
        record.factory, what, spec, checkpoint, resources, kind=BasePolicy, options=options
    )
    check_attribute(policy, "spec", PolicySpec, what)
    check_attribute(policy, "normaliser", Normaliser, what)
    for field in ("horizon", "dimension"):
        wanted, found = getattr(spec.action, field), getattr(policy.spec.action, field)
        if wanted != found:
            raise SpecificationError(
                f"{what} for '{kind}' has {field} {found}, the task needs {wanted}"
            )
    place(policy, resources)
    return policy
