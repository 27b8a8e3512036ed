"""Packages without a wheel for some Pythons may be missing: orjson, safetensors, numba."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pamiq_exp.runtime import tensor_file
from pamiq_exp.runtime.tensor_file import parse_tensors, read_tensors
from tests.cases import error_of

BLOCK = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("orjson", "safetensors", "numba", "llvmlite"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""

WORK = """
import importlib, pkgutil
import numpy as np
import torch
import pamiq_exp
for module in pkgutil.walk_packages(pamiq_exp.__path__, "pamiq_exp."):
    if module.name.rpartition(".")[2] not in ("__main__", "gpu"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:  # of packages that extras bring
            assert error.name not in ("orjson", "safetensors", "numba"), module.name

from pamiq_exp.environments import NoiseWorld
from pamiq_exp.scan import linear_scan
try:
    NoiseWorld(map="room", image_size=16)
except ValueError as error:
    assert "environment.renderer=torch" in str(error), error
world = NoiseWorld(map="room", image_size=16, renderer="torch", seed=0)
world.setup()
first = world.observe().values["image"]
for _ in range(3):
    world.affect(np.zeros((1, 5), np.int64))
assert world.observe().values["image"].shape == first.shape
assert first.std() > 0

decay, values = torch.full((1, 3, 1), 0.5), torch.ones(1, 3, 2)
assert linear_scan(decay, values)[0, -1].tolist() == [1.75, 1.75]

from pamiq_exp.cli import main
words = ["experiment=cartpole_ppo", "launcher.max_steps=600", "launcher=lockstep", "tracking=jsonl_only"]
assert main([*words, "hydra.run.dir=run"]) == 0
assert main(["resume", "run", "launcher.max_steps=700"]) == 0
assert main(["report", "run", "-o", "report"]) == 0
assert not {"orjson", "safetensors", "numba"} & set(sys.modules)
"""


def test_optional_packages_may_be_missing(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", BLOCK + WORK], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    found = {
        str(dtype): torch.randint(0, 2, (3, 2), generator=generator).to(dtype) for dtype in tensor_file.DTYPE_NAMES
    }
    return found | {"empty": torch.empty(0, 4), "scalar": torch.tensor(2.5)}


def test_read_tensors_without_safetensors_gives_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    safetensors = pytest.importorskip("safetensors.torch", reason="compares with the library")
    path = tmp_path / "some.safetensors"
    safetensors.save_file(tensors(), path, metadata={"format": "pt"})
    expected = read_tensors(path)
    monkeypatch.setattr(tensor_file, "HAS_SAFETENSORS", False)
    found = read_tensors(path)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def test_parse_tensors_refuses_a_header_that_does_not_match_the_data() -> None:
    headers: list[object] = [
        [],
        {"a": 3},
        {"a": {**ENTRY, "dtype": "F31"}},
        {"a": {**ENTRY, "shape": [3]}},
        {"a": {**ENTRY, "shape": [-2]}},
        {"a": {**ENTRY, "data_offsets": [4, 12]}},
        {"a": {**ENTRY, "data_offsets": [-8, 0]}},
        {"a": {**ENTRY, "data_offsets": [0, 4], "shape": [1]}},
    ]
    for header in headers:
        encoded = json.dumps(header).encode()
        message = error_of(ValueError, parse_tensors, len(encoded).to_bytes(8, "little") + encoded + bytes(8))
        assert "header" in message or "fill" in message, header


def test_parse_tensors_refuses_other_files() -> None:
    for content in (b"", bytes(7), (1 << 62).to_bytes(8, "little"), b"\x02" + bytes(7) + b"{}x"):
        message = error_of(ValueError, parse_tensors, content)
        assert "header" in message or "fill" in message, content
