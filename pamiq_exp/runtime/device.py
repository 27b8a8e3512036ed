"""From the launcher's settings to Lightning Fabric."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from lightning.fabric import Fabric

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true")


def require_device(device: str, precision: str, inference_device: str | None = None, count: int = 1) -> None:
    """Raise ValueError for a device or precision that is not available, or for fewer than `count` devices."""
    kind, index = _accelerator(device)
    if count > 1:
        available = torch.cuda.device_count() - (index or 0) if kind == "cuda" else os.cpu_count() or 1
        if available < count:
            what = f"GPUs from {device} on" if kind == "cuda" else "processor cores"
            raise ValueError(
                f"launcher.devices is {count}, but this machine has {available} {what}; use {available} at most"
            )
    if inference_device is not None:
        inference_place(inference_device)
    if precision not in PRECISIONS:
        raise ValueError(f"launcher.precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")


def inference_place(device: str) -> torch.device:
    """Return the device of the agent's copies. Raises ValueError for one that is not available."""
    kind, index = _accelerator(device, "inference_device")
    if kind == "auto":
        raise ValueError("launcher.inference_device names one device, such as cpu or cuda:1, not auto")
    return torch.device(kind, index or 0) if kind == "cuda" else torch.device(kind)


def device_of_rank(device: str, rank: int) -> str:
    """Return where the training process of this number trains: the next devices of the same kind."""
    kind, index = _accelerator(device)
    return f"{kind}:{(index or 0) + rank}" if kind == "cuda" else device


def make_fabric(device: str, precision: str) -> Fabric:
    """Return a Fabric on one device. Raises ValueError for a device or precision that is not available."""
    from lightning.fabric import Fabric  # takes seconds to import, and a run without models needs none

    require_device(device, precision)
    accelerator, index = _accelerator(device)
    fabric = Fabric(accelerator=accelerator, devices=1 if index is None else [index], precision=precision)  # type: ignore[arg-type]
    fabric.launch()
    return fabric


def _accelerator(device: str, key: str = "device") -> tuple[str, int | None]:
    kind, _, number = device.partition(":")
    available = {"cpu": True, "auto": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    usable = ", ".join(name for name, there in available.items() if there)
    if kind not in available or (number and not number.isdigit()):
        raise ValueError(f"launcher.{key} must be one of {usable}, or like cuda:1, not {device!r}")
    if not available[kind]:
        raise ValueError(f"launcher.{key} is {device}, but this machine has no such device; use one of {usable}")
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise ValueError(f"launcher.{key} is {device}, but this machine has only {torch.cuda.device_count()} of them")
    return kind, int(number) if number and kind == "cuda" else None
