"""The training loop: any loss, any source of batches, resumable to the bit."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import attrs
import torch
from torch import Tensor, nn

from codi_core.defaults import BATCH_SIZE, LEARNING_RATE, WARM_UP, WEIGHT_DECAY
from codi_core.errors import CheckpointError, CodiError
from codi_core.execution.devices import to_device
from codi_core.files.durable import write_durably
from codi_core.training.curve import CurvePoint, LossCurve
from codi_core.training.ema import EMASettings, ExponentialMovingAverage

ModelT = TypeVar("ModelT", bound=nn.Module)
BatchT_co = TypeVar("BatchT_co", covariant=True)
BatchT = TypeVar("BatchT")


class LostStateError(CheckpointError):
    """The saved state of a training is not there, or can't be read."""


class BatchSource(Protocol[BatchT_co]):
    """Where batches come from: a data set, or the policy that is being trained."""

    def sample(self, generator: torch.Generator, size: int) -> BatchT_co:
        """Draw ``size`` examples, with no other source of randomness than the generator."""

    def state(self) -> dict[str, Any]:
        """What the examples to come depend on besides the generator and the model.

        A source that samples the policy has, for example, what it has collected and when it is to
        collect anew. Tensors and plain values, by name; it is saved with the training.
        """

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved :meth:`state`; the model has been restored already.

        Its tensors are on the model's device.
        """


@runtime_checkable
class ModelSampler(Protocol):
    """A batch source that samples the model in training, as its averaged weights make it."""

    def follow(self, averaged: nn.Module) -> None:
        """Take the model with averaged weights, which training changes in place; called once."""


@attrs.frozen
class TrainerSettings:
    """How a model is trained.

    Attributes:
        steps: optimisation steps in all.
        batch_size: examples a step.
        learning_rate: of AdamW, after the warm-up.
        warm_up: steps in which the rate rises from zero; a cosine then takes it back to zero.
        betas: of AdamW.
        weight_decay: of AdamW.
        gradient_clip: the largest norm of the gradient.
        ema: of the weights that are kept in the end.
        seed: of everything random.
        log_every: steps between rows of the loss curve.
        evaluate_every: steps between measurements.
        evaluation_size: held-out examples in such a measurement, always the same ones.
        save_every: seconds between saved states.
        keep_every: steps between checkpoints that are kept; 0 keeps the last one alone.
        precision: "float32", or "bfloat16" for products and convolutions in bfloat16.
    """

    steps: int
    batch_size: int = BATCH_SIZE
    learning_rate: float = LEARNING_RATE
    warm_up: int = WARM_UP
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = WEIGHT_DECAY
    gradient_clip: float = 1.0
    ema: EMASettings = attrs.field(factory=EMASettings)
    seed: int = 0
    log_every: int = 100
    evaluate_every: int = 1000
    evaluation_size: int = 2048
    save_every: float = 60.0
    keep_every: int = 0
    precision: str = "float32"

    def rate(self, step: int) -> float:
        """The learning rate of step ``step``, counted from 0."""
        if step < self.warm_up:
            return self.learning_rate * (step + 1) / self.warm_up
        progress = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


@attrs.frozen
class Progress:
    """What is told now and then.

    Attributes:
        step: steps done.
        steps: steps in all.
        loss: the loss in the last row of the curve, or the mean so far before the first.
        held_out_loss: the last measurement, if there is one.
        logged: whether the curve has just got a row.
        measured: what else was measured last, by name.
    """

    step: int
    steps: int
    loss: float
    held_out_loss: float | None
    logged: bool
    measured: Mapping[str, float] = attrs.field(factory=dict)


class Trainer(Generic[ModelT, BatchT]):
    """Trains a model; the averaged weights are what is kept.

    A run that was stopped and resumed ends with the same bits as one that was not, on the same
    machine with the same number of threads.

    Args:
        model: changed in place.
        loss: ``loss(model, batch, generator)``, a scalar.
        source: of training batches.
        settings: how to train.
        folder: where the state and the curve go.
        held_out: of batches for the held-out loss, or None. It has no state: each measurement
            draws the same ones.
        measures: what else is measured of the model with averaged weights, by name: at the first
            step, and with the held-out loss. They draw nothing from the training's generator.
    """

    def __init__(
        self,
        model: ModelT,
        loss: Callable[[ModelT, BatchT, torch.Generator], Tensor],
        source: BatchSource[BatchT],
        settings: TrainerSettings,
        folder: Path,
        held_out: BatchSource[BatchT] | None = None,
        measures: Mapping[str, Callable[[ModelT], float]] | None = None,
    ) -> None:
        self.model = model
        self.settings = settings
        self.folder = folder
        self.step = 0
        self.seconds = 0.0
        self._loss = loss
        self._source = source
        self._held_out = held_out
        self._measures = measures or {}
        self._device = next(model.parameters()).device
        self._generator = torch.Generator(self._device).manual_seed(settings.seed)
        self._average = ExponentialMovingAverage(model, settings.ema)
        if isinstance(source, ModelSampler):
            source.follow(self.averaged)
        self._optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self._running = torch.zeros((), device=self._device)
        self._counted = 0
        self._held_out_loss: float | None = None
        self._measured: dict[str, float] = {}
        self._logged_loss: float | None = None

    @property
    def averaged(self) -> ModelT:
        """The model with averaged weights."""
        return self._average.model  # type: ignore[return-value]

    @property
    def state_path(self) -> Path:
        """The file that :meth:`resume` reads."""
        return self.folder / "training-state.pt"

    def run(
        self,
        report: Callable[[Progress], None] = lambda progress: None,
        stop: Callable[[], bool] = lambda: False,
        keep: Callable[[], None] = lambda: None,
    ) -> bool:
        """Train until the end, or until ``stop`` returns True; the state is saved either way.

        Args:
            report: takes the progress, at each row of the curve and twice a second at most.
            stop: asked before each step.
            keep: keeps the model as it is, every ``keep_every`` steps.

        Returns:
            Whether the end was reached.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        curve = LossCurve(self.folder / "curve.csv", self.step, tuple(self._measures))
        last = saved = told = time.monotonic()
        while self.step < self.settings.steps and not stop():
            self._train_one_step()
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            logged = self._measure(curve)
            if self.settings.keep_every and self.step % self.settings.keep_every == 0:
                keep()
            if logged or now - told > 0.5:
                report(self._progress(logged))
                told = now
            if now - saved > self.settings.save_every:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.step >= self.settings.steps

    def held_out_loss(self) -> float | None:
        """The loss of the averaged weights, on the same held-out batches and noise each time."""
        if self._held_out is None:
            return None
        generator = torch.Generator(self._device).manual_seed(2**31 - 1)
        size, total, done = self.settings.batch_size, 0.0, 0
        with torch.no_grad():
            while done < self.settings.evaluation_size:
                batch = self._held_out.sample(generator, size)
                total += float(self._loss(self.averaged, batch, generator)) * size
                done += size
        return total / done

    def save(self) -> None:
        """Save everything that resuming needs, atomically."""
        # In memory first: torch doesn't say what is wrong with a disk.
        content = io.BytesIO()
        torch.save(to_device(self._state(), "cpu"), content)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_durably(self.state_path, content.getbuffer())

    def resume(self) -> None:
        """Go on from the saved state.

        Raises:
            LostStateError: there is none, or it is damaged.
            CheckpointError: it is that of other settings, or of another model.
        """
        state = self._load()
        self._check_settings(state["settings"])
        try:
            self._restore(state)
        except Exception as error:
            raise CheckpointError(
                f"{self.state_path} is of another model ({type(error).__name__}: {error}): start "
                "anew in another folder"
            ) from error

    def _load(self) -> dict[str, Any]:
        path = self.state_path
        try:
            stream = path.open("rb")
        except FileNotFoundError as error:
            raise LostStateError(f"{path} does not exist: nothing was saved") from error
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
        with stream:
            try:
                state = torch.load(stream, weights_only=True, map_location="cpu")
                missing = self._state().keys() - state.keys()
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                raise LostStateError(
                    f"{path} is damaged ({type(error).__name__}: {error})"
                ) from error
        if missing:
            raise LostStateError(f"{path} is damaged: it lacks {', '.join(sorted(missing))}")
        return dict(state)

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "seconds": self.seconds,
            "settings": _plain(attrs.asdict(self.settings)),
            "model": self.model.state_dict(),
            "average": self.averaged.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "global_generator": torch.get_rng_state(),
            "running": self._running,
            "counted": self._counted,
            "held_out_loss": self._held_out_loss,
            "source": self._source.state(),
        }

    def _check_settings(self, saved: dict[str, Any]) -> None:
        mine = _plain(attrs.asdict(self.settings))
        free = {"log_every", "evaluate_every", "evaluation_size", "save_every", "keep_every"}
        for name in sorted(set(mine) - free):
            if saved.get(name) != mine[name]:
                raise CheckpointError(
                    f"{self.state_path} was trained with {name} = {saved.get(name)}, now it is "
                    f"{mine[name]}: resume with the same settings, or start anew in another folder"
                )

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"])
        torch.set_rng_state(state["global_generator"])
        self.step, self.seconds = state["step"], state["seconds"]
        self._running, self._counted = state["running"].to(self._device), state["counted"]
        self._held_out_loss = state["held_out_loss"]
        self._source.restore(to_device(state["source"], self._device))

    def _train_one_step(self) -> None:
        batch = self._source.sample(self._generator, self.settings.batch_size)
        with self._autocast():
            loss = self._loss(self.model, batch, self._generator)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)
        for group in self._optimizer.param_groups:
            group["lr"] = self.settings.rate(self.step)
        self._optimizer.step()
        self._average.update(self.step)
        self._running += loss.detach()
        self._counted += 1
        self.step += 1

    def _autocast(self) -> torch.autocast:
        half = self.settings.precision == "bfloat16"
        return torch.autocast(self._device.type, torch.bfloat16, enabled=half)

    def _measure(self, curve: LossCurve) -> bool:
        last = self.step == self.settings.steps
        evaluate = last or self.step % self.settings.evaluate_every == 0
        # The first step changes the model by next to nothing: this is what training starts from.
        begun = self.step == 1 and bool(self._measures)
        if evaluate or begun:
            self._held_out_loss = self.held_out_loss()
            self._measured = {name: of(self.averaged) for name, of in self._measures.items()}
        if not evaluate and not begun and self.step % self.settings.log_every:
            return False
        self._logged_loss = float(self._running) / self._counted
        if not math.isfinite(self._logged_loss):
            raise CodiError(
                f"training diverged: the loss is {self._logged_loss} after {self.step} steps; "
                "lower the learning rate, or look for wild values in the data"
            )
        held_out, measured = None, {}
        if evaluate or begun:
            held_out, measured = self._held_out_loss, self._measured
        rate = self.settings.rate(self.step - 1)
        curve.append(
            CurvePoint(self.step, self._logged_loss, held_out, rate, self.seconds, measured)
        )
        self._running = torch.zeros_like(self._running)
        self._counted = 0
        return True

    def _progress(self, logged: bool) -> Progress:
        loss = self._logged_loss
        if loss is None:
            loss = float(self._running) / max(1, self._counted)
        return Progress(
            self.step, self.settings.steps, loss, self._held_out_loss, logged, dict(self._measured)
        )


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    # The saved state may hold nothing but plain types, so that it loads without unpickling.
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()
    }
