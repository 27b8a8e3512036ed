"""Checkpoints are complete or absent, and hold exactly what was written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.run_folder import list_checkpoints
from pamiq_exp.runtime.checkpoints import (
    SCHEMA_VERSION,
    CheckpointError,
    read_checkpoint,
    remove_leftovers,
    write_checkpoint,
)
from tests.cases import error_of

GROUPS = {
    "models": {"policy": {"weight": torch.arange(6.0).view(2, 3), "steps": torch.tensor(3)}},
    "runtime": {"steps": 120, "empty": {}, "none": None},
}


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
]
tensors = st.builds(
    lambda dtype, shape: torch.randint(0, 2, shape).to(dtype),
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 3), max_size=3),
)
arrays = st.builds(
    lambda dtype, size: np.arange(size).astype(dtype), st.sampled_from(["u4", "f8", "i8", "u1"]), st.integers(0, 5)
)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | tensors | arrays
states = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    max_leaves=10,
)


@given(state=st.dictionaries(st.text(), states, max_size=4))
def test_checkpoint_is_read_back_as_it_was_written(
    state: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("checkpoints")
    path = write_checkpoint(folder, 1, {"group": state}, keep=1)
    assert equal(state, read_checkpoint(path)["group"])


def test_checkpoint_stores_tensors_as_safetensors(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, 120, GROUPS, keep=1)
    assert path.name == "step_000000120"
    loaded = safetensors.torch.load_file(path / "models.safetensors")
    assert torch.equal(loaded["models.policy.weight"], GROUPS["models"]["policy"]["weight"])  # type: ignore[index]


def test_write_checkpoint_refuses_objects_with_their_address(tmp_path: Path) -> None:
    for value in (object(), {1, 2}, lambda: None, 1j):
        message = error_of(TypeError, write_checkpoint, tmp_path, 1, {"agent": {"memory": value}}, keep=1)
        assert "agent.memory holds a" in message, value
        assert list(tmp_path.iterdir()) == [], value


def test_write_checkpoint_keeps_only_the_newest(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40):
        write_checkpoint(tmp_path, step, GROUPS, keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step_000000030", "step_000000040"]
    assert len(list(tmp_path.iterdir())) == 2


def test_write_checkpoint_replaces_one_of_the_same_step(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 10, {"runtime": {"value": 1}}, keep=2)
    path = write_checkpoint(tmp_path, 10, {"runtime": {"value": 2}}, keep=2)
    assert read_checkpoint(path) == {"runtime": {"value": 2}}
    assert list_checkpoints(tmp_path) == [path]


@pytest.mark.parametrize("name", ["models.safetensors", "state.json"])
def test_read_checkpoint_refuses_a_flipped_byte(tmp_path: Path, name: str) -> None:
    path = write_checkpoint(tmp_path, 10, GROUPS, keep=2)
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} is not what was written"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["models.safetensors", "state.json", "manifest.json"])
def test_read_checkpoint_refuses_a_missing_file(tmp_path: Path, name: str) -> None:
    path = write_checkpoint(tmp_path, 10, GROUPS, keep=2)
    (path / name).unlink()
    with pytest.raises(CheckpointError, match=r"missing|not a whole checkpoint"):
        read_checkpoint(path)


def test_read_checkpoint_refuses_a_later_schema(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, 10, GROUPS, keep=2)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["schema_version"] = SCHEMA_VERSION + 1
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="update pamiq_exp"):
        read_checkpoint(path)


def test_list_checkpoints_ignores_leftovers_of_an_interrupted_save(tmp_path: Path) -> None:
    whole = write_checkpoint(tmp_path, 10, GROUPS, keep=2)
    shutil.copytree(whole, tmp_path / ".step_000000020.unfinished")
    shutil.copytree(whole, tmp_path / ".step_000000005.removed")
    assert list_checkpoints(tmp_path) == [whole]
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [whole]


FULL_DISK = """
import resource, signal, sys, torch
from pathlib import Path
from pamiq_exp.runtime.checkpoints import write_checkpoint
folder = Path(sys.argv[1])
write_checkpoint(folder, 10, {"models": {"w": torch.zeros(1000)}}, keep=1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_checkpoint(folder, 20, {"models": {"w": torch.zeros(1_000_000)}}, keep=1)
except OSError as error:
    print("refused:", error.strerror)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes need POSIX")
def test_write_checkpoint_keeps_the_last_one_on_a_full_disk(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True, timeout=120
    )
    assert "refused: File too large" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["step_000000010"]
    assert read_checkpoint(tmp_path / "step_000000010")["models"]["w"].shape == (1000,)
