"""Hostile commands through the safety layer, over the wire to arms that stop at any violation."""

from __future__ import annotations

import itertools
import socket

import numpy as np
import pytest

from codi_core.errors import CodiError
from codi_franka.hardware.bench.strict import LENGTH, sequences, strict_run

needs_franky = pytest.importorskip("franky", reason="needs codi-franka[hardware]")


def test_sequences_are_hostile_in_many_ways():
    first = list(itertools.islice(sequences(0), 14))
    assert {sequence.shape for sequence in first} == {(LENGTH, 2, 7)}
    assert sum(not np.isfinite(sequence).all() for sequence in first) == 2
    assert any(np.nanmax(np.abs(sequence)) >= 1e6 for sequence in first)  # bursts
    assert any(not sequence.any() for sequence in first)  # silence
    assert not np.array_equal(first[0], first[7])


@pytest.mark.slow
def test_no_hostile_command_makes_an_arm_stop_by_itself():
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 1337)) == 0:
            pytest.skip("simulated arms run here already")
    try:
        found = strict_run(21, 1, 3.0)
    except CodiError as error:
        pytest.skip(str(error))
    assert found.faults == ()
    assert found.stops >= 2  # at what is not finite
