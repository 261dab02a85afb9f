"""The training loop: schedule, averaging, resuming to the bit."""

import math
from pathlib import Path

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from codi_core.errors import CheckpointError, CodiError
from codi_core.training import (
    EMASettings,
    ExponentialMovingAverage,
    Trainer,
    TrainerSettings,
    draw_curve,
    read_curve,
)
from codi_core.training.curve import CurvePoint, LossCurve

SETTINGS = TrainerSettings(
    steps=40,
    batch_size=8,
    learning_rate=0.05,
    warm_up=5,
    log_every=7,
    evaluate_every=14,
    evaluation_size=16,
    save_every=1e9,
)


class Line:
    """A source of examples (x, 3 x + 1 + noise)."""

    def sample(self, generator, size):
        x = torch.empty(size, 1).normal_(generator=generator)
        return x, 3 * x + 1 + 0.1 * torch.empty(size, 1).normal_(generator=generator)


def loss(model, batch, generator):
    x, y = batch
    # Noise in the loss, as denoising has it: resuming must restore the generator.
    return (model(x + 0.01 * torch.empty_like(x).normal_(generator=generator)) - y).square().mean()


def trainer(folder, **changes):
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    settings = attrs.evolve(SETTINGS, **changes)
    return Trainer(model, loss, Line(), settings, Path(folder), Line())


def after(count):
    """A stop condition that comes true after ``count`` steps."""
    steps = iter(range(count))
    return lambda: next(steps, None) is None


def equal(first, second):
    return all(
        torch.equal(a, b)
        for kind in ("model", "averaged")
        for a, b in zip(
            getattr(first, kind).parameters(), getattr(second, kind).parameters(), strict=True
        )
    )


def test_a_resumed_run_has_the_same_bits_and_the_same_curve(tmp_path):
    whole = trainer(tmp_path / "whole")
    assert whole.run()
    for stop in (after(11), after(10)):
        part = trainer(tmp_path / "parts")
        if part.state_path.exists():
            part.resume()
        assert not part.run(stop=stop)
    last = trainer(tmp_path / "parts")
    last.resume()
    assert last.step == 21 and last.run()
    assert equal(whole, last)
    one, other = (read_curve(tmp_path / kind / "curve.csv") for kind in ("whole", "parts"))
    assert [attrs.evolve(p, seconds=0) for p in one] == [attrs.evolve(p, seconds=0) for p in other]
    assert [point.step for point in one] == [7, 14, 21, 28, 35, 40]
    assert [point.step for point in one if point.held_out_loss is not None] == [14, 28, 40]


def test_rows_written_after_the_last_saved_state_are_dropped(tmp_path):
    whole = trainer(tmp_path / "whole")
    whole.run()
    killed = trainer(tmp_path / "killed")
    killed.run(stop=after(10))
    state = killed.state_path.read_bytes()
    killed.run(stop=after(15))  # goes on past what is saved, as a run that is then killed does
    killed.state_path.write_bytes(state)
    last = trainer(tmp_path / "killed")
    last.resume()
    last.run()
    assert equal(whole, last)
    assert [point.step for point in read_curve(tmp_path / "killed/curve.csv")] == [
        7,
        14,
        21,
        28,
        35,
        40,
    ]


def test_training_finds_the_line_and_the_held_out_loss_tells(tmp_path):
    t, told = trainer(tmp_path, steps=300), []
    first = t.held_out_loss()
    t.run(told.append)
    assert float(t.averaged.weight) == pytest.approx(3, abs=0.1)
    assert float(t.averaged.bias) == pytest.approx(1, abs=0.1)
    assert t.held_out_loss() < 0.05 < first
    assert t.held_out_loss() == t.held_out_loss() == told[-1].held_out_loss
    assert told[-1].step == 300 and told[-1].logged


def test_states_are_saved_on_the_way(tmp_path):
    seen = []
    t = trainer(tmp_path, save_every=0.0)
    t.run(lambda progress: seen.append(t.state_path.exists()))
    assert all(seen[1:])
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


@given(st.integers(1, 500), st.integers(2, 1000))
def test_the_learning_rate_rises_then_falls_to_zero(warm_up, after_it):
    settings = TrainerSettings(steps=warm_up + after_it, warm_up=warm_up, learning_rate=0.1)
    rates = [settings.rate(step) for step in range(settings.steps)]
    assert all(a < b for a, b in zip(rates[: warm_up - 1], rates[1:warm_up], strict=True))
    assert all(a > b for a, b in zip(rates[warm_up:], rates[warm_up + 1 :], strict=False))
    assert max(rates) == pytest.approx(0.1) == pytest.approx(rates[warm_up - 1])
    assert rates[0] == pytest.approx(0.1 / warm_up)
    assert settings.rate(settings.steps) == pytest.approx(0, abs=1e-12)
    middle = warm_up + after_it / 2
    assert settings.rate(middle) == pytest.approx(0.05)


@given(st.floats(0.3, 1.0), st.floats(0.9, 0.9999), st.lists(st.floats(-5, 5), min_size=1))
def test_the_average_follows_its_recursion(power, maximum, values):
    model = nn.Linear(1, 1, bias=False)
    average = ExponentialMovingAverage(model, EMASettings(power, maximum))
    expected = None
    for step, value in enumerate(values):
        nn.init.constant_(model.weight, value)
        average.update(step)
        decay = min(maximum, 1 - (1 + step) ** -power)
        expected = value if expected is None else decay * expected + (1 - decay) * value
    assert float(average.model.weight) == pytest.approx(expected, abs=1e-4)


def test_gradients_are_clipped(tmp_path):
    t = trainer(tmp_path, gradient_clip=1e-3, steps=1)
    t.run()
    norm = torch.stack([value.grad.norm() for value in t.model.parameters()]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_resuming_names_what_is_wrong(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        trainer(tmp_path).resume()
    t = trainer(tmp_path)
    t.run(stop=after(3))
    with pytest.raises(CheckpointError, match=r"learning_rate = 0\.05, now it is 0\.1"):
        trainer(tmp_path, learning_rate=0.1).resume()
    t.state_path.write_bytes(t.state_path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        trainer(tmp_path).resume()


def test_divergence_is_said(tmp_path):
    def explode(model, batch, generator):
        return loss(model, batch, generator) * math.inf

    t = Trainer(nn.Linear(1, 1), explode, Line(), SETTINGS, tmp_path)
    with pytest.raises(CodiError, match="diverged"):
        t.run()


def test_the_curve_survives_a_kill_and_can_be_drawn(tmp_path):
    curve = LossCurve(tmp_path / "curve.csv")
    points = [CurvePoint(10 * n, 1 / n, 2 / n if n % 2 else None, 1e-3, n) for n in range(1, 5)]
    for point in points:
        curve.append(point)
        assert read_curve(tmp_path / "curve.csv")[-1].step == point.step
    assert [row.held_out_loss is None for row in read_curve(curve.path)] == [False, True] * 2
    draw_curve(points, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
