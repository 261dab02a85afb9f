"""Waits of the host for a device are found, and only they; counters of plans do without."""

from __future__ import annotations

import pytest
import torch

from codi_core.planning import Diagnostics
from codi_core.planning.streams import CounterStreams
from codi_core.testing import device_waits, second_device

WAITING = {
    "_local_scalar_dense": [
        lambda values: values.sum().item(),
        lambda values: bool(values.any()),
        lambda values: int(values.max()),
    ],
    "_to_copy": [
        lambda values: values.tolist(),
        lambda values: values.cpu(),
        lambda values: torch.tensor([1.0, 2.0], device=values.device),
        lambda values: values.new_tensor([1.0]),
    ],
    "nonzero": [lambda values: values.nonzero()],
    "index": [lambda values: values[values > 1], lambda values: values[torch.tensor([0, 1])]],
    "copy_": [lambda values: values.copy_(torch.ones(3))],
    "equal": [lambda values: torch.equal(values, values + 1)],
    "_linalg_check_errors": [lambda values: torch.linalg.inv(values.diag() + 1e-3)],
}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("name", WAITING)
def test_what_waits_is_found_with_its_place(name: str, inference: bool) -> None:
    for act in WAITING[name]:
        with second_device() as device, torch.inference_mode(inference):
            values = torch.arange(3.0, device=device)
            with device_waits() as waits:
                act(values)
        assert len(waits) == 1
        assert waits[0].startswith(f"aten::{name} at {__file__}:")


def test_what_only_queues_work_is_not() -> None:
    with second_device() as device:
        values = torch.arange(6.0, device=device)
        numbers = torch.arange(2, device=device)
        with device_waits() as waits:
            values[numbers] = values[numbers] + values.shape[0]
            torch.where(values > 1, values, 0.0).sum().clamp_min(torch.tensor(1.0))
            values.masked_fill_(values > 2, torch.inf)
            torch.full((2,), 3.0, device=device).add_(values[:2].double())
            torch.ones(3).tolist()
    assert waits == []


def test_counted_streams_are_drawn_without_a_wait() -> None:
    with second_device() as device:
        source = CounterStreams([1, 2], device)
        only = torch.tensor([True, False], device=device)
        with device_waits() as waits:
            drawn = source.normal((5,))
            with source.only(only):
                rest = source.uniform((3,))
        assert waits == []
        assert drawn.device == device
        assert rest[1].tolist() == [0.0] * 3


def test_what_is_counted_on_a_device_is_read_when_somebody_looks() -> None:
    with second_device() as device:
        diagnostics = Diagnostics()
        with device_waits() as waits:
            diagnostics.count("lost", torch.full((), 2, device=device))
            diagnostics.count("none", torch.zeros((), device=device))
            diagnostics.count("lost")
            diagnostics.count("here", torch.tensor(5))
        assert waits == []
        assert diagnostics.counts == {"lost": 3, "here": 5}
        assert diagnostics.counts == {"lost": 3, "here": 5}
