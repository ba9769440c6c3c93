"""Our checkpoint files: safetensors whose header carries the configuration.

Invariant: a file under its final name is complete (written beside it, then renamed), and its bytes depend on weights
and metadata alone, so the hash in its name identifies it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from rsuq_cli.errors import BadInput
from rsuq_cli.spelling import spelled
from rsuq_cli.version import __version__

# One header key: safetensors keeps several in no fixed order, and the bytes must be reproducible.
HEADER_KEY = "rsuq"
SAFETENSORS = ".safetensors"


def library_versions() -> dict[str, str]:
    """Returns the versions that a result may depend on, by name."""
    return {"rsuq": __version__, "torch": str(torch.__version__), "python": platform.python_version()}


@dataclass(frozen=True)
class CheckpointMetadata:
    """What a checkpoint says about itself. `shape` is (C, H, W), `sigma` in pixel units, accuracies in [0, 1].

    `calibration_indices` are the positions in the training file that were held out of training, `trained_on` holds
    hashes of the images that were not, packed. `fingerprint` is what the network computed when it was saved, `network`
    a hash of where a factory lies, which keeps files of two networks apart that are equal otherwise. Normalisation is
    not here: it is a buffer of the model.
    """

    model: str
    dataset: str
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    sigma: float
    objective: str
    epochs: int
    seed: int
    accuracy_clean: float
    accuracy_noisy: float
    calibration_indices: tuple[int, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=library_versions)
    fingerprint: list[list[float | None]] | None = None
    network: str = ""
    trained_on: str = ""

    def to_json(self) -> str:
        """Returns the header's text: JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> CheckpointMetadata:
        """Returns the metadata of a parsed header; unknown keys (of a later version) are left out.

        Raises KeyError, TypeError or ValueError where it is no header of ours.
        """
        known = {name.name: values[name.name] for name in fields(cls) if name.name in values}
        channels, height, width = (int(side) for side in known["shape"])
        known["shape"] = (channels, height, width)
        known["class_names"] = tuple(str(name) for name in known["class_names"])
        known["calibration_indices"] = tuple(int(index) for index in known.get("calibration_indices", ()))
        return cls(**known)


@dataclass(frozen=True)
class SavedCheckpoint:
    """Where a checkpoint was written, and the sha256 of the file."""

    path: Path
    sha256: str


def save_checkpoint(folder: Path, module: nn.Module, metadata: CheckpointMetadata) -> SavedCheckpoint:
    """Writes weights and metadata to `folder/{model}-{dataset}-sigma{sigma}-{sha8}.safetensors` and returns the file.

    Raises BadInput where the folder cannot be written or the disk is full; nothing half-written is left.
    """
    content = as_safetensors(module.state_dict(), metadata)
    digest = hashlib.sha256(content).hexdigest()
    name = checkpoint_file_name(metadata.model, metadata.dataset, metadata.sigma, digest)
    write_atomically(folder / name, content)
    return SavedCheckpoint(folder / name, digest)


def checkpoint_file_name(model: str, dataset: str, sigma: float, sha256: str, suffix: str = SAFETENSORS) -> str:
    """Returns what a checkpoint's file is called: what it is, and the beginning of its hash."""
    return f"{_slug(model)}-{_slug(dataset)}-sigma{sigma:g}-{sha256[:8]}{suffix}"


def as_safetensors(tensors: Mapping[str, torch.Tensor], metadata: CheckpointMetadata | None = None) -> bytes:
    """Returns the bytes of a safetensors file with these tensors, with a header of ours where metadata are given."""
    # Clones, since safetensors refuses tensors that share memory (tied weights of a network of the user's own).
    cloned = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    return safetensors.torch.save(cloned, metadata={HEADER_KEY: metadata.to_json()} if metadata else None)


@contextlib.contextmanager
def openable(path: Path) -> Iterator[Path]:
    """Yields a path that leads to the file of `path` and that safetensors can take, which wants them in UTF-8."""
    if spelled(path) == str(path):
        yield path
        return
    with path.open("rb") as file:
        yield Path(f"/dev/fd/{file.fileno()}")


def metadata_of(path: Path) -> CheckpointMetadata | None:
    """Returns what a file of weights says about itself; None where it is not ours, or not of safetensors."""
    return read_metadata(path) if path.suffix == SAFETENSORS else None


def read_metadata(path: Path) -> CheckpointMetadata | None:
    """Returns what a checkpoint says about itself without reading its weights; None for a file that is not ours.

    Raises BadInput where the file is missing or is no safetensors file.
    """
    try:
        with openable(path) as found, safetensors.safe_open(found, framework="pt") as file:
            header = file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise BadInput(
            f"cannot read {path} as safetensors: {' '.join(str(error).split())}", "give a checkpoint"
        ) from error
    try:
        return CheckpointMetadata.from_dict(json.loads(header[HEADER_KEY]))
    except (KeyError, TypeError, ValueError):
        return None


def sha256_of(path: Path) -> str:
    """Returns the hex sha256 of a file's bytes; raises BadInput where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}", "check the path") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Writes `content` to `path` so that any reader sees the old file or the new one, whole; makes missing folders.

    Raises BadInput where the folder cannot be written or the disk is full; `path` is then as it was.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}-", suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes the file private
        temporary.replace(path)
    except OSError as error:
        raise BadInput(
            f"cannot write {path}: {error.strerror or error}", "free some space there, or name another folder"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _slug(name: str) -> str:
    """Returns a file name's part: `folder:/data/pets` becomes `folder-pets`, `net.py:make` becomes `net.py-make`."""
    parts = (re.split(r"[/\\]", part)[-1] for part in name.split(":"))
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts)).strip("-.") or "unnamed"
