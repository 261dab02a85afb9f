"""One run: from the resolved configuration to the evaluation, the metrics and the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, starmap
from pathlib import Path
from typing import Any

import attrs
import torch

from codi_core.cli import provenance
from codi_core.cli.configuration import RunConfig
from codi_core.cli.errors import print_warning
from codi_core.cli.opening import Opened
from codi_core.errors import UsageError
from codi_core.evaluation.metrics import run_metrics
from codi_core.evaluation.progress import make_progress
from codi_core.evaluation.run_folder import RunFolder
from codi_core.evaluation.runner import Evaluation
from codi_core.execution import LoopSettings, RecedingHorizon
from codi_core.host.assembly import PlannerChoice, make_cost, make_planner
from codi_core.host.choices import parse_choice
from codi_core.policies import ProductPolicy
from codi_core.tasks import EpisodeRecord, PlanSettings, TaskParts, Trace

TRACED = 4
"""The events of this many episodes, the first ones, are kept for pictures."""


@attrs.frozen
class Session:
    """A run that is about to happen.

    Attributes:
        opened: the task, and what is registered.
        parts: its parts for the chosen options.
        config: the resolved configuration.
        video: the episodes that a video is wanted of.
    """

    opened: Opened
    parts: TaskParts
    config: RunConfig
    video: frozenset[int] = frozenset()

    def evaluation(self) -> Evaluation:
        """Assemble everything; mistakes in the options show here, before anything is written."""
        config, parts = self.config, self.parts
        _check_device(config.device)
        torch.set_num_threads(config.threads)
        cost = make_cost(
            self.opened.host,
            self.opened.name,
            self.opened.task,
            [parse_choice(text, "--cost", weighted=True) for text in config.cost],
        )
        planner, product = make_planner(self.opened.host, self._planner_choice(), parts, cost)
        loop = RecedingHorizon(planner, self._loop_settings(product), parts.advance)
        threads = config.physics_threads or 1
        return Evaluation(
            environment=lambda: parts.environment(threads),
            loop=loop,
            metrics=parts.metrics,
            episodes=config.episodes,
            worlds=config.worlds or 1,
            seed=config.seed,
            traced=frozenset(range(TRACED)) | self.video,
        )

    def document(self, command: Sequence[str]) -> dict[str, Any]:
        """The content of ``config.json``."""
        checkpoint = self.config.checkpoint
        return {
            "configuration": attrs.asdict(self.config, recurse=False),
            "command": list(command),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": provenance.versions(self.opened.host),
            "machine": provenance.machine(),
            "checkpoint_sha256": provenance.fingerprint(Path(checkpoint)) if checkpoint else None,
        }

    def run(self, evaluation: Evaluation, folder: RunFolder) -> bool:
        """Run what is missing in the folder; False if Ctrl-C ended it."""
        from rich.console import Console

        return evaluation.run(folder, make_progress(Console(stderr=True)))

    def write_metrics(self, folder: RunFolder) -> dict[str, Any]:
        """Write ``metrics.json`` for the finished episodes and return its content."""
        metrics = run_metrics(
            attrs.asdict(self.config, recurse=False),
            self.records(folder),
            folder.waves(),
            self.parts.metrics,
        )
        folder.write_metrics(metrics)
        return metrics

    def records(self, folder: RunFolder) -> list[EpisodeRecord]:
        """The finished episodes that the configuration asks for."""
        return [record for record in folder.records() if record["episode"] < self.config.episodes]

    def write_pictures(
        self, folder: RunFolder, metrics: Mapping[str, Any], report: bool = True
    ) -> list[Path]:
        """Write the report and the video; returns the paths of what could be written."""
        traces = folder.traces()
        chosen = [traces[number] for number in sorted(self.video) if number in traces]
        wanted: list[tuple[str, Callable[[], Path]]] = []
        if report:
            wanted.append(("report.png", lambda: self._report(folder, metrics, traces)))
        if chosen:
            wanted.append(("video.mp4", lambda: self._video(folder, chosen)))
        return [path for path in starmap(_attempt, wanted) if path is not None]

    def _report(
        self, folder: RunFolder, metrics: Mapping[str, Any], traces: Mapping[int, Trace]
    ) -> Path:
        from codi_core.evaluation import report

        return report.write_report(
            folder.file("report.png"),
            metrics,
            self.records(folder),
            folder.waves(),
            float(self.config.max_seconds or 0.0),
            self.parts.renderer,
            traces,
        )

    def _video(self, folder: RunFolder, traces: Sequence[Trace]) -> Path:
        from codi_core.evaluation.video import write_video

        assert self.parts.renderer is not None
        frames = chain.from_iterable(map(self.parts.renderer.frames, traces))
        return write_video(folder.file("video.mp4"), frames, self.parts.rate_hz)

    def _planner_choice(self) -> PlannerChoice:
        config = self.config
        settings = PlanSettings(
            **{field.name: getattr(config, field.name) for field in attrs.fields(PlanSettings)}
        )
        return PlannerChoice(
            method=parse_choice(config.method, "--method"),
            posterior=parse_choice(settings.posterior, "--posterior"),
            guidance=parse_choice(settings.guidance, "--guidance"),
            sampler=parse_choice(settings.sampler, "--sampler"),
            predictor=str(config.predictor),
            settings=settings,
            checkpoint=None if config.checkpoint is None else Path(config.checkpoint),
            device=config.device,
            physics_threads=config.physics_threads or 1,
        )

    def _loop_settings(self, product: ProductPolicy) -> LoopSettings:
        config, action = self.config, product.action
        return LoopSettings(
            rate_hz=self.parts.rate_hz,
            horizon=action.horizon,
            execute=int(config.execute or 1),
            max_seconds=float(config.max_seconds or 0.0),
            after_success=config.after_success,
            latency=config.latency,
            history=max(factor.policy.spec.history for factor in product.factors),
            offset=action.offset,
            device=config.device,
        )


def _attempt(name: str, write: Callable[[], Path]) -> Path | None:
    """A picture that fails (no display, no codec) must not spoil a run that has its numbers."""
    try:
        return write()
    except Exception as error:
        print_warning(f"{name} was not written: {type(error).__name__}: {error}")
        return None


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {device} cannot be used here: {reason}") from error
