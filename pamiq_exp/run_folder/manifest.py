"""Versions, machine and code of a run: what is needed to do it again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from pamiq_exp.files import read_json
from pamiq_exp.machine import physical_memory
from pamiq_exp.run_folder import file_names

ENVIRONMENT_VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_ID",
)
"""What a manifest keeps of the environment, if it is set: these change results or name where a run was. No others."""


_FIELD = re.compile(r"^(Name|Version):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)


def package_versions() -> dict[str, str]:
    """Return the version of every installed package, by name, without importing any."""
    versions: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        # `distribution.metadata` would read the whole description as a mail, which takes longer than all else here.
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
        fields = dict(reversed(_FIELD.findall(text.partition("\n\n")[0])))
        if fields.get("Name") and fields.get("Version"):
            versions.setdefault(fields["Name"].lower().replace("_", "-"), fields["Version"])
    return dict(sorted(versions.items()))


def machine() -> dict[str, Any]:
    """Describe processor, memory, graphics and system; nothing that names the user or the computer."""
    return {
        "system": f"{platform.system()} {platform.release()}",  # the longer names of `platform` start a program
        "python": platform.python_version(),
        "cpu": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "cpus_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": physical_memory(),
        "gpus": _gpus(),
        "torch": _torch(),
    }


def environment() -> dict[str, str]:
    """Return the environment variables that matter and are set."""
    return {name: os.environ[name] for name in ENVIRONMENT_VARIABLES if name in os.environ}


def source_hash(folder: Path) -> str:
    """Return a hash of all Python files below `folder`: distinguishes versions of the code where there is no git."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def source_digests(folder: Path) -> dict[str, str]:
    """Return a short hash of each Python file below `folder`, by its path there, to find which files have changed."""
    return {
        path.relative_to(folder).as_posix(): hashlib.blake2b(path.read_bytes(), digest_size=6).hexdigest()
        for path in sorted(folder.rglob("*.py"))
    }


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a run's `checkpoints` folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.glob(f"{file_names.CHECKPOINT_PREFIX}*") if path.is_dir())


def newest_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return name and checksums of the newest checkpoint below `folder`: what state a run is in, to the bit."""
    found = [path for path in list_checkpoints(folder) if (path / file_names.MANIFEST).exists()]
    return checkpoint_identity(found[-1]) if found else None


def checkpoint_identity(checkpoint: Path) -> dict[str, Any] | None:
    """Return name and checksums of a checkpoint; None if it cannot be read."""
    try:
        manifest: Any = read_json(checkpoint / file_names.MANIFEST)
        files = manifest["files"]
        return {"checkpoint": checkpoint.name, "sha256": {name: entry["sha256"] for name, entry in files.items()}}
    except (OSError, AttributeError, LookupError, TypeError):
        return None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _gpus() -> list[str]:
    torch = sys.modules.get("torch")  # looking for a GPU is not worth importing torch
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _torch() -> dict[str, Any]:
    """What torch computes with; nothing if it is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    return {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
