"""What codi-baselines ships serves every row of the paper's comparison."""

from __future__ import annotations

from codi_baselines.methods.trained import SHIPPED
from codi_baselines.paper.command import DEFAULTS, PRESET, TASK
from codi_baselines.paper.rows import ROWS, sort_out
from codi_core.experiments import find_task
from codi_core.training.checkpoint import read_metadata

LARGEST = 40e6
"""Of the wheel [bytes]: tensors are not compressed."""


def test_each_row_of_the_paper_can_be_run_with_what_ships() -> None:
    able, reasons = sort_out(ROWS, find_task(TASK), {**DEFAULTS, "preset": PRESET})
    assert reasons == {}
    assert [row.label for row in able] == [row.label for row in ROWS]


def test_checkpoints_leave_room_in_the_wheel_and_name_no_place_of_their_maker() -> None:
    files = sorted(SHIPPED.glob("*/*.safetensors"))
    assert len(files) == 6
    assert sum(path.stat().st_size for path in files) < LARGEST
    for path in files:
        trained = read_metadata(path)["training"]
        assert not any(str(value).startswith("/") for value in trained.values()), path
