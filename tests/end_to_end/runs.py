"""What two runs are compared by: their records and every tensor of their last checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch


def records(folder: Path) -> list[dict[str, Any]]:
    """Return all records of a run but for the time by the clock."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "wall_seconds"} for line in lines]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Return all that the last checkpoint of a run holds."""
    checkpoint = sorted((folder / "checkpoints").iterdir())[-1]
    files = sorted(checkpoint.glob("*.safetensors"))
    assert {file.stem for file in files} >= {"models", "trainers", "buffers", "interaction", "generators"}
    return {f"{file.stem}/{key}": value for file in files for key, value in safetensors.torch.load_file(file).items()}


def assert_equal_runs(one: Path, other: Path) -> None:
    """Refuse runs that differ anywhere, be it in the last bit."""
    assert records(one) == records(other)
    left, right = tensors(one), tensors(other)
    assert left.keys() == right.keys()
    differing = [key for key in left if not torch.equal(left[key], right[key])]
    assert not differing
