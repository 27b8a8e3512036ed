"""Malicious and damaged checkpoints: each is refused and has no effect."""

from __future__ import annotations

import hashlib
import json
import os
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from pamiq_exp.run_folder import list_checkpoints
from pamiq_exp.runtime import CheckpointConfig, LaunchConfig
from pamiq_exp.runtime.checkpoints import CheckpointError, manifest_checksum, read_checkpoint, write_checkpoint
from tests.cases import error_of
from tests.runtime.parts import NoisyWorld, SmallTrainer, launch_small, linear_model

PICKLE = b"cos\nsystem\n(S'touch marker'\ntR."
STATE = {"models": {"weights": torch.arange(4.0), "step": 3}}


def rewrite(checkpoint: Path, name: str, content: bytes) -> None:
    """Put other content into a file of a checkpoint, with a manifest that has its checksum."""
    (checkpoint / name).write_bytes(content)
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    edit_manifest(checkpoint, files=manifest["files"])


def edit_manifest(checkpoint: Path, **changes: object) -> None:
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    edited = manifest | changes
    (checkpoint / "manifest.json").write_text(json.dumps(edited | {"sha256": manifest_checksum(edited)}))


def pickled_zip(checkpoint: Path) -> None:
    torch.save({"weights": torch.zeros(1)}, checkpoint / "weights.pt")
    rewrite(checkpoint, "models.safetensors", (checkpoint / "weights.pt").read_bytes())


def object_array(checkpoint: Path) -> None:
    np.save(checkpoint / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    rewrite(checkpoint, "models.safetensors", (checkpoint / "x.npy").read_bytes())


def outside_file(checkpoint: Path) -> None:
    content = (checkpoint / "state.json").read_bytes()
    (checkpoint.parent / "state.json").write_bytes(content)
    files = {"state.json": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}}
    files["../state.json"] = files["state.json"]
    edit_manifest(checkpoint, files=files)


def link(checkpoint: Path) -> None:
    target = checkpoint.parent / "elsewhere"
    (checkpoint / "models.safetensors").rename(target)
    (checkpoint / "models.safetensors").symlink_to(target)


BAD: dict[str, Callable[[Path], object]] = {
    "a pickle": lambda path: rewrite(path, "models.safetensors", PICKLE),
    "a pickle for a state": lambda path: rewrite(path, "state.json", PICKLE),
    "a zip with a pickle": pickled_zip,
    "an array of objects": object_array,
    "a huge header": lambda path: rewrite(path, "models.safetensors", (1 << 62).to_bytes(8, "little") + b"{}"),
    "a header with a wrong shape": lambda path: rewrite(
        path,
        "models.safetensors",
        (75).to_bytes(8, "little") + b'{"w":{"dtype":"F32","shape":[1000000000,1000],"data_offsets":[0,4]}}'.ljust(75),
    ),
    "a cut file": lambda path: rewrite(path, "models.safetensors", (path / "models.safetensors").read_bytes()[:20]),
    "a deeply nested state": lambda path: rewrite(path, "state.json", b"[" * 100_000),
    "a state of another shape": lambda path: rewrite(path, "state.json", b'{"models": {"what": 1}}'),
    "a tensor that is not there": lambda path: rewrite(path, "state.json", b'{"models": {"$tensor": "x"}}'),
    "a wrong checksum": lambda path: (path / "state.json").write_bytes(b"{}"),
    "a file elsewhere": outside_file,
    "a link": link,
    "a pipe": lambda path: ((path / "state.json").unlink(), os.mkfifo(path / "state.json")),
    "a pipe for a manifest": lambda path: ((path / "manifest.json").unlink(), os.mkfifo(path / "manifest.json")),
    "a link to a device for a manifest": lambda path: (
        (path / "manifest.json").unlink(),
        (path / "manifest.json").symlink_to("/dev/zero"),
    ),
    "a deeply nested manifest": lambda path: (path / "manifest.json").write_bytes(b"[" * 900_000),
    "a manifest with another step": lambda path: (path / "manifest.json").write_text(
        (path / "manifest.json").read_text().replace('"step": 10', '"step": 11')
    ),
    "another size": lambda path: edit_manifest(
        path,
        files={
            name: entry | {"size": entry["size"] + 1}
            for name, entry in json.loads((path / "manifest.json").read_text())["files"].items()
        },
    ),
    "no files": lambda path: edit_manifest(path, files={}),
    "files that are numbers": lambda path: edit_manifest(path, files=[1]),
    "a group elsewhere": lambda path: edit_manifest(path, groups=["../../secret"]),
    "a manifest that is a pickle": lambda path: (path / "manifest.json").write_bytes(PICKLE),
}


def test_read_checkpoint_refuses_invalid_checkpoints_and_runs_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, (name, damage) in enumerate(BAD.items()):
        checkpoint = write_checkpoint(tmp_path / str(number), 10, STATE, keep=2)
        damage(checkpoint)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert error_of(CheckpointError, partial(read_checkpoint, checkpoint)), name
        assert not (tmp_path / "marker").exists(), name
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, f"kilobytes for {name}"


def test_write_checkpoint_makes_files_private_to_the_user(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path, 10, STATE, keep=2)
    assert {path.name: path.stat().st_mode & 0o077 for path in checkpoint.iterdir()} == dict.fromkeys(
        os.listdir(checkpoint), 0
    )


def test_checkpoint_with_a_flipped_byte_is_refused_without_changing_any_state(tmp_path: Path) -> None:
    config = LaunchConfig(mode="lockstep", max_steps=30, checkpoint=CheckpointConfig(every_steps=10))
    launch_small(config, folder=tmp_path)
    checkpoint = list_checkpoints(tmp_path / "checkpoints")[-1]
    for path in sorted(checkpoint.iterdir()):
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        path.write_bytes(flipped)
        model, world, trainer = linear_model(), NoisyWorld(), SmallTrainer()
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        parts = {"model": model, "world": world, "trainer": trainer, "resume_from": checkpoint}
        with pytest.raises(CheckpointError):
            launch_small(LaunchConfig(mode="lockstep", max_steps=40), **parts)  # type: ignore[arg-type]
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        assert (world.step_number, trainer.batches, trainer.seen) == (0, 0, 0)
        assert world.generator.bit_generator.state == NoisyWorld().generator.bit_generator.state
        path.write_bytes(content)
    assert launch_small(LaunchConfig(mode="lockstep", max_steps=40), resume_from=checkpoint)["steps"] == 40
