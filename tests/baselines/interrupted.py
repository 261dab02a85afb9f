"""Jobs that are interrupted."""

from __future__ import annotations

from typing import Any

import pytest

from codi_core.experiments import grid


def interrupt_the_second_wave(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Have a grid interrupted when it runs its second wave; returns the episodes of all waves."""
    calls: list[tuple[int, ...]] = []
    run_wave = grid.run_wave

    def tired(*arguments: Any, **options: Any) -> Any:
        calls.append(options["numbers"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run_wave(*arguments, **options)

    monkeypatch.setattr(grid, "run_wave", tired)
    return calls
