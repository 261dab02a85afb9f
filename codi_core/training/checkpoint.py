"""Checkpoints: safetensors with JSON metadata in the header. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import save_file

from codi_core.errors import CheckpointError, CodiError
from codi_core.policies.base import ActionSpec, PolicySpec
from codi_core.policies.diffusion import DiffusionPolicy

FORMAT_VERSION = 1
_KEY = "codi"


def save_checkpoint(
    policy: DiffusionPolicy, path: Path | str, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a policy, atomically.

    Args:
        policy: the policy; its tensors include the normalisation.
        path: the file.
        metadata: further JSON-able entries beside the description of the policy, such as
            ``data`` (fingerprint), ``training`` (settings) and ``base`` (the digest of a frozen
            base checkpoint, from :func:`checkpoint_digest`).
    """
    path = Path(path)
    description = {"format_version": FORMAT_VERSION, **describe(policy), **(metadata or {})}
    tensors = {name: value.cpu().contiguous() for name, value in policy.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    save_file(tensors, partial, {_KEY: json.dumps(description, sort_keys=True)})
    partial.replace(path)


def describe(policy: DiffusionPolicy) -> dict[str, Any]:
    """What it takes to make the policy again, JSON-able."""
    action, spec = policy.spec.action, policy.spec
    return {
        "action": {
            "names": list(action.names),
            "horizon": action.horizon,
            "rate_hz": action.rate_hz,
            "offset": action.offset,
        },
        "observation": [[name, list(shape)] for name, shape in spec.observation.items()],
        "history": spec.history,
        "sigma_range": list(spec.sigma_range),
        "architecture": {"network": policy.network.kind, "options": policy.network.options},
        "diffusion": {
            "sigma_data": policy.sigma_data,
            "noise_mean": policy.noise_mean,
            "noise_std": policy.noise_std,
        },
    }


def read_metadata(path: Path | str) -> dict[str, Any]:
    """The metadata of a checkpoint, without its tensors.

    Raises:
        CheckpointError: the file is missing, damaged, or not a checkpoint of this project.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"{path} does not exist: train a policy with codi-train, or give "
            "the path of a checkpoint.safetensors"
        )
    try:
        with safetensors.safe_open(path, "pt") as file:
            header = file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or truncated ({error}): copy or train it again"
        ) from error
    if _KEY not in header:
        raise CheckpointError(
            f"{path} is a safetensors file without '{_KEY}' metadata: it is not a checkpoint of "
            "codi-train"
        )
    metadata: dict[str, Any] = json.loads(header[_KEY])
    if metadata.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format_version {metadata.get('format_version')}, this version reads "
            f"{FORMAT_VERSION}: use the codi version that wrote it, or train again"
        )
    return metadata


def load_checkpoint(path: Path | str, expected: PolicySpec | None = None) -> DiffusionPolicy:
    """Read a policy, ready to plan with (evaluation mode, no gradients of parameters).

    Args:
        path: the file.
        expected: what the task asks of the policy; None accepts any.

    Raises:
        CheckpointError: the file is missing or damaged, or made for something else; the message
            names the field that differs.
    """
    path = Path(path)
    metadata = read_metadata(path)
    try:
        spec = _spec(metadata)
        if expected is not None:
            check_spec(path, spec, expected)
        policy = _untrained(spec, metadata)
        with safetensors.safe_open(path, "pt") as file:
            policy.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, CodiError, OSError) as error:
        raise CheckpointError(
            f"{path} does not describe a policy ({type(error).__name__}: {error}): "
            "copy or train it again"
        ) from error
    return policy.requires_grad_(False).eval()


def checkpoint_digest(path: Path | str) -> str:
    """sha256 of the file, by which another checkpoint refers to it as its frozen base."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_spec(path: Path, found: PolicySpec, expected: PolicySpec) -> None:
    """Compare what a checkpoint was made for with what is asked.

    Raises:
        CheckpointError: they differ; the message names the field and both values.
    """
    pairs = {
        "action names": (found.action.names, expected.action.names),
        "horizon": (found.action.horizon, expected.action.horizon),
        "rate_hz": (found.action.rate_hz, expected.action.rate_hz),
        "action offset": (found.action.offset, expected.action.offset),
        "history": (found.history, expected.history),
        "observation names": (sorted(found.observation), sorted(expected.observation)),
    } | {
        f"shape of observation '{name}'": (shape, expected.observation.get(name))
        for name, shape in found.observation.items()
    }
    for field, (mine, other) in pairs.items():
        if mine != other:
            raise CheckpointError(
                f"{path} does not fit the task: {field} is {mine} in the checkpoint, the task "
                f"needs {other}. Give another checkpoint, or train one for this task"
            )


def _spec(metadata: Mapping[str, Any]) -> PolicySpec:
    return PolicySpec(
        ActionSpec(**metadata["action"]),
        {name: tuple(shape) for name, shape in metadata["observation"]},
        metadata["history"],
        tuple(metadata["sigma_range"]),
    )


def _untrained(spec: PolicySpec, metadata: Mapping[str, Any]) -> DiffusionPolicy:
    architecture = metadata["architecture"]
    return DiffusionPolicy.build(
        spec, architecture["network"], **metadata["diffusion"], **architecture["options"]
    )
