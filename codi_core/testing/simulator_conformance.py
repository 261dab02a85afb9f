"""Checks that copies in a simulator are copies apart, and that they move as others say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

from codi_core.execution.devices import to_device
from codi_core.execution.world_selection import of_worlds
from codi_core.tasks import Simulator, Snapshot
from codi_core.testing.requirement import require

Make = Callable[[int], Simulator]
Tolerances = Mapping[str, float]
"""By field of the state, in its unit."""


@attrs.frozen(eq=False)
class Drive:
    """What copies are put through.

    Attributes:
        state: the task's typed state of n copies, at least three, each another one.
        targets: (T, n, U), actuator targets, one row a call.
        count: how many physics steps each of them is held.
    """

    state: Any
    targets: Tensor
    count: int

    @property
    def copies(self) -> int:
        """The number n."""
        return self.targets.shape[1]


@attrs.frozen(eq=False)
class Agreement:
    """How far a simulator may be from another one.

    Attributes:
        make: makes the other one.
        within: the largest difference of each field after some physics steps.
    """

    make: Make
    within: Mapping[int, Tolerances]


def check_simulator(
    make: Make,
    drive: Drive,
    *,
    broken: Any = None,
    agreement: Agreement | None = None,
    repeats_within: float = 0.0,
    returns_within: float = 1e-5,
) -> None:
    """Check states that come back, repetition, copies apart, failures and agreement.

    Args:
        make: makes a simulator of n copies.
        drive: from what states, and with what targets.
        broken: a state of one row with which no simulation can go on, if there is such.
        agreement: with what other simulator the states must agree, and how far.
        repeats_within: by how much the same calls may lead elsewhere.
        returns_within: by how much a state may change when it is set and read.
    """
    simulator = make(drive.copies)
    name = type(simulator).__name__
    require(
        simulator.copies == drive.copies,
        f"{name}: it was made with {drive.copies} copies and has {simulator.copies}",
    )
    _check_round_trip(name, simulator, drive, returns_within)
    _check_repetition(name, simulator, make, drive, repeats_within)
    _check_rows(name, make, drive, repeats_within)
    if broken is not None:
        _check_failure(name, make, drive, broken, repeats_within)
    if agreement is not None:
        _check_agreement(name, simulator, drive, agreement)


def _check_round_trip(name: str, simulator: Simulator, drive: Drive, within: float) -> None:
    seen = _set(simulator, drive.state, drive.targets[0])
    _require_near(
        _read(seen), _fields(drive.state), within, f"{name}: a state that was set comes back with"
    )
    for field, value in _fields(seen.state).items():
        require(
            value.device == torch.device(simulator.device),
            f"{name}: '{field}' is on {value.device}; the simulator says {simulator.device}",
        )
    _check_valid(name, seen, drive.copies)
    again = simulator.step(drive.targets[0].to(simulator.device), 0)
    _require_near(_read(again), _read(seen), 0.0, f"{name}: a mere look changes")


def _check_repetition(name: str, used: Simulator, make: Make, drive: Drive, within: float) -> None:
    first, kept = _driven(make(drive.copies), drive)
    _driven(used, drive)
    _require_all(
        _driven(used, drive)[1],
        kept,
        within,
        f"{name}: from the same state, with the same targets, a simulator that was used before "
        "has, unlike a new one,",
    )
    _require_all(
        [_read(step) for step in first], kept, 0.0, f"{name}: later steps change, of earlier ones,"
    )
    now = used.step(drive.targets[0].to(used.device), 0)
    _require_near(_read(now), kept[-1], within, f"{name}: a look after the last step shows")
    moved = (kept[-1][field] - value for field, value in _fields(drive.state).items())
    require(any(bool(each.abs().max() > 0) for each in moved), f"{name}: nothing moves")


def _check_rows(name: str, make: Make, drive: Drive, within: float) -> None:
    """Some copies start anew and move, the others stand still."""
    simulator, whole = make(drive.copies), make(drive.copies)
    _, together = _driven(whole, drive)
    _set(simulator, drive.state, drive.targets[0])
    before = _read(simulator.step(drive.targets[0].to(simulator.device), drive.count))
    rows = torch.tensor([0, drive.copies - 1])
    simulator.set_state(_there(of_worlds(drive.state, rows), simulator), rows)
    for number, targets in enumerate(drive.targets):
        some = simulator.step(targets[rows].to(simulator.device), drive.count, rows)
        _check_valid(name, some, len(rows))
        expected = {field: value[rows] for field, value in together[number].items()}
        _require_near(
            _read(some),
            expected,
            within,
            f"{name}: copies that are stepped alone, {number + 1} calls after their start, have, "
            "unlike among all,",
        )
    now = _read(simulator.step(drive.targets[0].to(simulator.device), 0))
    others = torch.arange(1, drive.copies - 1)
    _require_near(
        {field: value[others] for field, value in now.items()},
        {field: value[others] for field, value in before.items()},
        0.0,
        f"{name}: steps of other copies change",
    )


def _check_failure(name: str, make: Make, drive: Drive, broken: Any, within: float) -> None:
    simulator, sound = make(drive.copies), make(drive.copies)
    _, expected = _driven(sound, drive)
    middle = torch.tensor([1])
    others = torch.tensor([row for row in range(drive.copies) if row != 1])
    _set(simulator, drive.state, drive.targets[0])
    simulator.set_state(_there(broken, simulator), middle)
    for number, targets in enumerate(drive.targets):
        step = simulator.step(targets.to(simulator.device), drive.count)
        _require_near(
            {field: value[others] for field, value in _read(step).items()},
            {field: value[others] for field, value in expected[number].items()},
            within,
            f"{name}: beside a copy that broke down, others have",
        )
    valid = step.valid.tolist()
    wanted = [row != 1 for row in range(drive.copies)]
    require(valid == wanted, f"{name}: `valid` is {valid} where the second copy broke down")
    simulator.set_state(_there(of_worlds(drive.state, middle), simulator), middle)
    again = simulator.step(drive.targets[0][middle].to(simulator.device), drive.count, middle)
    require(bool(again.valid.all()), f"{name}: a copy stays failed after its state was set")
    _require_near(
        _read(again),
        {field: value[middle] for field, value in expected[0].items()},
        within,
        f"{name}: a copy whose state was set after it broke down has",
    )


def _check_agreement(name: str, simulator: Simulator, drive: Drive, agreement: Agreement) -> None:
    _, found = _driven(simulator, drive)
    _, expected = _driven(agreement.make(drive.copies), drive)
    for steps, tolerances in agreement.within.items():
        call = steps // drive.count - 1
        require(
            0 <= call < len(found) and steps % drive.count == 0,
            f"{len(found)} calls of {drive.count} physics steps don't end after {steps}",
        )
        mine, theirs = found[call], expected[call]
        for field, tolerance in tolerances.items():
            off = float((mine[field] - theirs[field]).abs().max())
            require(
                off <= tolerance,
                f"{name}: after {steps} physics steps '{field}' is {off:.2g} from that of the "
                f"other simulator; at most {tolerance:g} is allowed",
            )


def _driven(simulator: Simulator, drive: Drive) -> tuple[list[Snapshot], list[dict[str, Tensor]]]:
    """What was returned, and what each of them showed at the time."""
    simulator.set_state(_there(drive.state, simulator))
    steps, seen = [], []
    for targets in drive.targets:
        steps.append(simulator.step(targets.to(simulator.device), drive.count))
        seen.append(_read(steps[-1]))
    return steps, seen


def _set(simulator: Simulator, state: Any, targets: Tensor) -> Snapshot:
    simulator.set_state(_there(state, simulator))
    return simulator.step(targets.to(simulator.device), 0)


def _there(state: Any, simulator: Simulator) -> Any:
    return to_device(state, simulator.device)


def _check_valid(name: str, step: Snapshot, copies: int) -> None:
    require(
        step.valid.dtype == torch.bool and tuple(step.valid.shape) == (copies,),
        f"{name}: `valid` has the shape {tuple(step.valid.shape)} and holds {step.valid.dtype}; it "
        f"must hold one boolean for each of {copies} copies",
    )
    require(bool(step.valid.all()), f"{name}: a copy in a sound state is not valid")


def _fields(state: Any) -> dict[str, Tensor]:
    """The tensors that a state has itself, but for those that a simulator does not know."""
    names = [field.name for field in attrs.fields(type(state))]
    values = {name: getattr(state, name) for name in names}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def _read(step: Snapshot) -> dict[str, Tensor]:
    """A copy of the state's tensors, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in _fields(step.state).items()}


def _require_all(
    found: list[dict[str, Tensor]], expected: list[dict[str, Tensor]], within: float, message: str
) -> None:
    for one, other in zip(found, expected, strict=True):
        _require_near(one, other, within, message)


def _require_near(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], within: float, message: str
) -> None:
    """Compare the fields that both have."""
    for field, value in found.items():
        if field in expected:
            off = (value.double() - expected[field].cpu().double()).abs().max()
            require(off <= within, f"{message} another '{field}', off by {float(off):.2g}")
