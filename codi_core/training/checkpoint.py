"""Checkpoints: safetensors with JSON metadata in the header. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from codi_core.errors import CheckpointError, CodiError
from codi_core.files.durable import write_durably
from codi_core.policies.base import ActionSpec, PolicySpec
from codi_core.policies.diffusion import DiffusionPolicy
from codi_core.policies.normalisation import Normaliser

FORMAT_VERSION = 1
_KEY = "codi"
STUDENT = "student"
"""The kind that checkpoints of students name."""


def save_checkpoint(
    policy: DiffusionPolicy,
    path: Path | str,
    metadata: Mapping[str, Any] | None = None,
    base: Path | str | None = None,
) -> None:
    """Write a policy, atomically.

    Args:
        policy: the policy; its tensors include the normalisation.
        path: the file.
        metadata: further JSON-able entries beside the description of the policy, such as
            ``data`` (fingerprint) and ``training`` (settings).
        base: the checkpoint of a frozen base policy of the same architecture. The file names it by
            its digest under ``base``, and leaves out the tensors that are the base's.
    """
    tensors = {name: value.cpu().contiguous() for name, value in policy.state_dict().items()}
    named: dict[str, Any] = {}
    if base is not None:
        named = {"base": checkpoint_digest(base)}
        frozen = _tensors(Path(base), None)
        tensors = {
            name: value
            for name, value in tensors.items()
            if name not in frozen or not torch.equal(value, frozen[name])
        }
    write_tensors(path, tensors, {**describe(policy), **(metadata or {}), **named})


def write_tensors(
    path: Path | str, tensors: Mapping[str, Tensor], description: Mapping[str, Any]
) -> None:
    """Write tensors and their JSON-able description, atomically: a checkpoint of any model.

    :func:`read_metadata` reads the description.
    """
    path = Path(path)
    text = json.dumps({"format_version": FORMAT_VERSION, **description}, sort_keys=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, safetensors.torch.save(dict(tensors), {_KEY: text}))


def read_tensors(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a checkpoint, without those of a base that it names.

    Raises:
        CheckpointError: the file is missing, damaged, or not a checkpoint of this project.
    """
    read_metadata(path)
    try:
        with safetensors.safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or truncated ({error}): copy or train it again"
        ) from error


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a checkpoint of a model, as :func:`read_tensors` reads them.

    Raises:
        CheckpointError: likewise, or a number among them is not finite.
    """
    tensors = read_tensors(path)
    for name, values in tensors.items():
        if values.is_floating_point() and not bool(values.isfinite().all()):
            raise CheckpointError(
                f"{path} has numbers that are not finite in '{name}': copy or train it again"
            )
    return tensors


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
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: give the checkpoint.safetensors in it")
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
    try:
        metadata = json.loads(header[_KEY])
    except ValueError as error:
        raise CheckpointError(
            f"{path} has damaged '{_KEY}' metadata ({error}): copy or train it again"
        ) from error
    if not isinstance(metadata, dict):
        raise CheckpointError(
            f"{path} has '{_KEY}' metadata that are no JSON object: it is not a checkpoint of "
            "codi-train"
        )
    if metadata.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format_version {metadata.get('format_version')}, this version reads "
            f"{FORMAT_VERSION}: use the codi version that wrote it, or train again"
        )
    return metadata


def load_checkpoint(
    path: Path | str, expected: PolicySpec | None = None, base: Path | str | None = None
) -> DiffusionPolicy:
    """Read a policy, ready to plan with (evaluation mode, no gradients of parameters).

    Args:
        path: the file.
        expected: what the task asks of the policy; None accepts any.
        base: the base that the checkpoint names, if it names one; None looks for it, see
            :func:`find_base`.

    Raises:
        CheckpointError: the file is missing or damaged, or made for something else; the message
            names the field that differs. Or the base is missing, or another one. Or it is that of
            a student, which is no denoiser.
    """
    path = Path(path)
    metadata = read_metadata(path)
    if metadata.get("kind") == STUDENT:
        raise CheckpointError(
            f"{path} is a student: it draws samples, and is no denoiser. Give the policy that it "
            "was distilled from as base policy, and the student as in --method "
            f"search:student={path}"
        )
    policy = read_policy(path, metadata, expected, base)
    policy.digest = checkpoint_digest(path)
    return policy


def read_policy(
    path: Path,
    metadata: Mapping[str, Any],
    expected: PolicySpec | None = None,
    base: Path | str | None = None,
) -> DiffusionPolicy:
    """What a checkpoint describes and holds, made as a policy.

    The arguments and errors are those of :func:`load_checkpoint`, but for the checkpoint's
    ``metadata``.
    """
    try:
        spec = _spec(metadata)
        if expected is not None:
            check_spec(path, spec, expected)
        policy = _untrained(spec, metadata)
        policy.load_state_dict(_tensors(path, base))
        for normaliser in (policy.normaliser, *policy.observation_normalisers):
            Normaliser(normaliser.mean, normaliser.scale)  # it checks them
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, CodiError, OSError) as error:
        raise CheckpointError(
            f"{path} does not describe a policy ({type(error).__name__}: {error}): "
            "copy or train it again"
        ) from error
    return policy.requires_grad_(False).eval()


def find_base(path: Path | str, given: Path | str | None = None) -> Path | None:
    """The frozen base that a checkpoint names by its digest; None if it names none.

    Args:
        path: the checkpoint.
        given: where the base is; None looks among the ``*.safetensors`` beside the checkpoint.

    Raises:
        CheckpointError: it is not there, or is another one.
    """
    path = Path(path)
    digest = read_metadata(path).get("base")
    if digest is None:
        return None
    if given is not None:
        read_metadata(given)  # it must be a checkpoint at all
        if checkpoint_digest(given) != digest:
            raise CheckpointError(
                f"{given} is not the base of {path}: its sha256 is "
                f"{checkpoint_digest(given)[:12]}…, the base's is {str(digest)[:12]}…"
            )
        return Path(given)
    others = sorted(other for other in path.parent.glob("*.safetensors") if other != path)
    for other in others:
        if checkpoint_digest(other) == digest:
            return other
    names = ", ".join(other.name for other in others) or "no other checkpoint"
    raise CheckpointError(
        f"the base of {path}, with the sha256 {str(digest)[:12]}…, is not beside it (there is "
        f"{names}): copy it there"
    )


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
    action = metadata["action"]
    return PolicySpec(
        ActionSpec(action["names"], action["horizon"], action["rate_hz"], action["offset"]),
        {name: tuple(shape) for name, shape in metadata["observation"]},
        metadata["history"],
        tuple(metadata["sigma_range"]),
    )


def _untrained(spec: PolicySpec, metadata: Mapping[str, Any]) -> DiffusionPolicy:
    architecture, diffusion = metadata["architecture"], metadata["diffusion"]
    # By their names: nothing that is missing gets a default.
    names = ("sigma_data", "noise_mean", "noise_std")
    return DiffusionPolicy.build(
        spec,
        architecture["network"],
        **{name: diffusion[name] for name in names},
        **architecture["options"],
    )


def _tensors(path: Path, base: Path | str | None) -> dict[str, Tensor]:
    """A checkpoint's tensors, those of its base included."""
    found = find_base(path, base)
    tensors = {} if found is None else _tensors(found, None)
    return tensors | read_weights(path)
