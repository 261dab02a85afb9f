"""The training loop: schedule, averaging, resuming to the bit."""

import importlib
import inspect
import math
from pathlib import Path

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from codi_core.errors import CheckpointError, CodiError, DatasetError
from codi_core.training import (
    EMASettings,
    ExponentialMovingAverage,
    Trainer,
    TrainerSettings,
    TrainingParts,
    TrainingSession,
    draw_curve,
    read_curve,
    read_metadata,
)
from codi_core.training.checkpoint import write_tensors
from codi_core.training.curve import CurvePoint, LossCurve
from codi_core.training.folder import clear
from codi_core.training.trainer import LostStateError

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

    def state(self):
        return {}

    def restore(self, state):
        pass


class Practice(Line):
    """Examples near what the model itself answers; it asks the model anew at every fifth batch."""

    def __init__(self, model):
        self.model, self.asked = model, 0
        self.answers = torch.zeros(4, 1)

    def sample(self, generator, size):
        if self.asked % 5 == 0:
            with torch.no_grad():
                self.answers = self.model(torch.empty(4, 1).normal_(generator=generator))
        self.asked += 1
        x, y = super().sample(generator, size)
        return x, y + 0.1 * self.answers[self.asked % 4]

    def state(self):
        return {"asked": self.asked, "answers": self.answers}

    def restore(self, state):
        self.asked, self.answers = state["asked"], state["answers"]


def loss(model, batch, generator):
    x, y = batch
    # Noise in the loss, as denoising has it: resuming must restore the generator.
    return (model(x + 0.01 * torch.empty_like(x).normal_(generator=generator)) - y).square().mean()


def trainer(folder, **changes):
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    settings = attrs.evolve(SETTINGS, **changes)
    return Trainer(model, loss, Line(), settings, Path(folder), Line())


def practising(folder):
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    return Trainer(model, loss, Practice(model), SETTINGS, Path(folder), Line())


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


@pytest.mark.parametrize("trainer", [trainer, practising])
def test_a_resumed_run_has_the_same_bits_and_the_same_curve(tmp_path, trainer):
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
    with pytest.raises(LostStateError, match="does not exist"):
        trainer(tmp_path).resume()
    t = trainer(tmp_path)
    t.run(stop=after(3))
    with pytest.raises(CheckpointError, match=r"learning_rate = 0\.05, now it is 0\.1"):
        trainer(tmp_path, learning_rate=0.1).resume()
    torch.manual_seed(0)
    other = Trainer(nn.Linear(2, 1), loss, Line(), SETTINGS, tmp_path)
    with pytest.raises(CheckpointError, match="is of another model"):
        other.resume()


@pytest.mark.parametrize("left", [0, 1, 100, -100, -1])
def test_a_damaged_state_is_a_lost_one(tmp_path, left):
    t = trainer(tmp_path)
    t.run(stop=after(3))
    t.state_path.write_bytes(t.state_path.read_bytes()[:left])
    with pytest.raises(LostStateError, match="damaged"):
        trainer(tmp_path).resume()


def test_a_state_that_lacks_something_is_a_lost_one(tmp_path):
    torch.save({"step": 3}, tmp_path / "training-state.pt")
    with pytest.raises(LostStateError, match="lacks average"):
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


@pytest.mark.parametrize(
    "torn", ["40,0.2", "40,0.25,,0.00", "40,0.25,,0.001,40", "\x00\xff", "40,x,,1,1\n"]
)
def test_a_torn_row_is_left_out_of_the_curve(tmp_path, torn):
    curve = LossCurve(tmp_path / "curve.csv")
    points = [CurvePoint(10 * n, 1 / n, None, 1e-3, n) for n in (1, 2, 4)]
    for point in points:
        curve.append(point)
    whole = curve.path.read_bytes()
    with curve.path.open("a", encoding="latin-1") as file:
        file.write(torn)
    assert [row.step for row in read_curve(curve.path)] == [10, 20, 40]
    again = LossCurve(curve.path, resume_from=20)
    again.append(points[2])
    assert curve.path.read_bytes() == whole
    curve.path.write_bytes(b"")
    assert read_curve(curve.path) == []


class Followed(Practice):
    """Examples near what the averaged model answers."""

    def __init__(self):
        super().__init__(None)

    def follow(self, averaged):
        self.model = averaged


def test_a_source_may_sample_the_averaged_model(tmp_path):
    torch.manual_seed(0)
    source = Followed()
    t = Trainer(nn.Linear(1, 1), loss, source, SETTINGS, tmp_path)
    assert source.model is t.averaged and t.averaged is not t.model
    t.run()
    assert source.asked == 40


def measuring(folder):
    torch.manual_seed(0)
    measures = {"slope": lambda model: float(model.weight), "half": lambda model: 0.5}
    return Trainer(nn.Linear(1, 1), loss, Line(), SETTINGS, folder, measures=measures)


def test_what_is_measured_of_the_averaged_model_is_shown_and_kept_in_the_curve(tmp_path):
    t, told = measuring(tmp_path / "whole"), []
    before = t.model.weight.item()
    t.run(told.append)
    rows = read_curve(tmp_path / "whole/curve.csv")
    assert [row.step for row in rows if row.measured] == [1, 14, 28, 40]
    # The first step changes next to nothing: it shows what training starts from.
    assert rows[0].measured["slope"] == pytest.approx(before, abs=0.02)
    assert rows[-1].measured == pytest.approx({"slope": float(t.averaged.weight), "half": 0.5})
    assert told[-1].measured == {"slope": float(t.averaged.weight), "half": 0.5}
    parts = measuring(tmp_path / "parts")
    parts.run(stop=after(20))
    rest = measuring(tmp_path / "parts")
    rest.resume()
    rest.run()
    again = read_curve(tmp_path / "parts/curve.csv")
    assert [attrs.evolve(p, seconds=0) for p in again] == [attrs.evolve(p, seconds=0) for p in rows]
    draw_curve(rows, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"


@attrs.frozen
class LineSettings:
    """Settings of a training that is not one of ours."""

    output: str
    slope: float = 3.0
    threads: int = 1
    device: str = "cpu"
    keep_every: int = 0

    def trainer(self):
        return attrs.evolve(SETTINGS, keep_every=self.keep_every)


def line_parts(settings):
    torch.manual_seed(0)
    model = nn.Linear(1, 1)

    def save(model, path, metadata):
        write_tensors(path, model.state_dict(), {"kind": "line", **metadata})

    return TrainingParts(
        model,
        lambda model, batch, generator: loss(model, (batch[0], batch[1]), generator),
        Practice(model),
        save,
        {"fingerprint": f"slope {settings.slope}"},
        {"layers": 1},
        Line(),
        ("this is a line",),
    )


def line_session(folder, told=None, **settings):
    told = [] if told is None else told
    return TrainingSession(LineSettings(str(folder), **settings), line_parts, told.append)


def test_a_model_a_loss_and_batches_of_ones_own_train_in_a_folder(tmp_path):
    told = []
    whole = line_session(tmp_path / "whole", told)
    whole.start(["somebodys-command"])
    assert whole.run(lambda progress: None, lambda: False)
    assert told == ["this is a line"]
    part = line_session(tmp_path / "parts")
    part.start(["somebodys-command"])
    assert not part.run(lambda progress: None, after(17))
    rest = line_session(tmp_path / "parts")
    rest.resume()
    assert rest.trainer.step == 17 and rest.run(lambda progress: None, lambda: False)
    assert equal(whole.trainer, rest.trainer)
    found = read_metadata(rest.checkpoint)
    assert (found["kind"], found["training"]["steps_done"]) == ("line", 40)
    assert found["training"]["slope"] == 3.0
    with pytest.raises(DatasetError, match="is not the data"):
        line_session(tmp_path / "parts", slope=2.0).resume()


def test_checkpoints_are_kept_on_the_way(tmp_path):
    run = tmp_path / "run"
    session = line_session(run, keep_every=15)
    session.start([])
    session.run(lambda progress: None, lambda: False)
    kept = sorted(run.glob("checkpoint-*.safetensors"))
    assert [path.name for path in kept] == [f"checkpoint-{n}.safetensors" for n in (15, 30)]
    assert [read_metadata(path)["training"]["steps_done"] for path in kept] == [15, 30]
    shorter = line_session(tmp_path / "shorter")
    shorter.start([])
    shorter.run(lambda progress: None, after(15))
    same = (load_file(path) for path in (kept[0], shorter.checkpoint))
    assert len({value["weight"].item() for value in same}) == 1
    clear(run)
    assert [path.name for path in run.iterdir()] == []


@pytest.mark.parametrize("left", [None, 0, 50])
def test_a_session_whose_state_is_lost_begins_anew_and_says_so(tmp_path, left):
    whole = line_session(tmp_path / "whole")
    whole.start([])
    whole.run(lambda progress: None, lambda: False)
    part = line_session(tmp_path / "parts")
    part.start([])
    part.run(lambda progress: None, after(17))
    path = part.trainer.state_path
    if left is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:left])
    told = []
    rest = line_session(tmp_path / "parts", told)
    rest.resume()
    assert "training begins anew" in told[-1]
    assert rest.run(lambda progress: None, lambda: False)
    assert equal(whole.trainer, rest.trainer)
    steps = [row.step for row in read_curve(tmp_path / "parts/curve.csv")]
    assert steps == [7, 14, 21, 28, 35, 40]


def test_a_full_disk_leaves_the_state_that_was_saved(tmp_path, monkeypatch):
    session = line_session(tmp_path / "run")
    session.start([])
    session.run(lambda progress: None, after(9))

    def full(path, content):
        path.with_name(path.name + ".part").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    rest = line_session(tmp_path / "run")
    rest.resume()
    with monkeypatch.context() as patched:
        patched.setattr("codi_core.training.trainer.write_durably", full)
        with pytest.raises(CodiError, match="No space left on device; make room, and go on"):
            rest.run(lambda progress: None, after(20))
    last = line_session(tmp_path / "run")
    last.resume()
    assert last.trainer.step == 9
    assert last.run(lambda progress: None, lambda: False)
    assert [path.name for path in (tmp_path / "run").glob("*.part")] == []


def test_every_public_name_is_what_it_says():
    """A module of a name's own name would hide it."""
    import codi_core.training as package

    exports = package._EXPORTS.items()
    for name, module in ((name, module) for module, names in exports for name in names):
        assert getattr(package, name) is getattr(importlib.import_module(module), name)
        assert not inspect.ismodule(getattr(package, name))
