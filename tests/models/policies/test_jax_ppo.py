"""PPO in JAX: the same loss as in torch, published by reference, and runs that repeat and resume."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pamiq_exp.models import MultiCategorical
from pamiq_exp.models.policies.ppo import clipped_surrogate, weighted_mean
from pamiq_exp.run_folder import list_checkpoints
from pamiq_exp.runtime import Publisher
from pamiq_exp.runtime.checkpoints import read_checkpoint
from pamiq_exp.seeding import torch_generator
from tests.conftest import Command

jax = pytest.importorskip("jax", reason="needs JAX: extra jax")
pytest.importorskip("equinox", reason="needs Equinox: extra jax")

INPUTS = {"observation": {"vector": {"shape": [4], "dtype": "float32"}}}
ACTION: Any = {"kind": "multi_discrete", "shape": [2], "dtype": "int64", "nvec": [3, 2]}
LAYERS = [f"{part}.{layer}.{array}" for part in ("policy", "value") for layer in (0, 1) for array in ("weight", "bias")]


def minibatch(size: int = 12) -> dict[str, torch.Tensor]:
    generator = torch_generator(0)
    floats = {name: torch.randn(size, generator=generator) for name in ("log_prob", "advantage", "return")}
    return floats | {
        "observation.vector": torch.randn(size, 4, generator=generator),
        "action": torch.stack([torch.randint(n, (size,), generator=generator) for n in (3, 2)], -1),
        "weight": (torch.arange(size) % 4 > 0).float(),
    }


def test_jax_actor_critic_matches_the_torch_loss_and_publishes_by_reference() -> None:
    from pamiq_exp.models import JaxActorCritic

    model = JaxActorCritic(INPUTS, ACTION, seed=3, hidden=[8], value_coefficient=0.7, entropy_coefficient=0.03)
    assert sorted(model.specs()) == sorted(LAYERS)
    assert model.parameter_count == (4 * 8 + 8 + 8 * 5 + 5) + (4 * 8 + 8 + 8 + 1)
    batch = minibatch()
    port = Publisher({"policy": model}).inference_models()["policy"]
    distribution, value = port(batch)
    assert isinstance(distribution, MultiCategorical)
    log_ratio = distribution.log_prob(batch["action"]) - batch["log_prob"]
    policy = clipped_surrogate(log_ratio, batch["advantage"], batch["weight"], 0.2)
    value_loss = 0.5 * weighted_mean((value - batch["return"]).square(), batch["weight"])
    entropy = weighted_mean(distribution.entropy(), batch["weight"])
    expected = policy.loss + 0.7 * value_loss - 0.03 * entropy
    arrays = {name: column.numpy() for name, column in batch.items()}
    loss, metrics = jax.jit(model.loss)(model.parameters, arrays)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert float(metrics["approx_kl"]) == pytest.approx(float(policy.approximate_kl), rel=1e-4)
    assert float(metrics["clip_fraction"]) == pytest.approx(float(policy.clip_fraction))
    # Replaced as a whole: what was published is not touched.
    model.load_arrays({name: np.zeros_like(array) for name, array in model.arrays().items()})
    assert torch.equal(port(batch)[1], value)


def test_jax_actor_critic_refuses_images_and_continuous_actions() -> None:
    from pamiq_exp.models import JaxActorCritic

    image = {"observation": {"image": {"shape": [8, 8, 3], "dtype": "uint8"}}}
    with pytest.raises(ValueError, match=r"'observation\.image' is none: choose policy=ppo"):
        JaxActorCritic(image, ACTION, seed=0)
    with pytest.raises(ValueError, match="takes discrete actions, not 'box'"):
        JaxActorCritic(INPUTS, {"kind": "box", "shape": [1], "dtype": "float32"}, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["lockstep", "pipelined"])
def test_jax_ppo_run_repeats_and_resumes_to_the_same_bits(command: Command, tmp_path: Path, mode: str) -> None:
    def run(name: str, *words: str) -> Path:
        folder = tmp_path / name
        common = ["experiment=cartpole_jax", f"launcher.mode={mode}", "tracking=jsonl_only", "launcher.max_steps=3000"]
        outcome = command(*common, "trainers.policy.rollout_steps=32", *words, f"hydra.run.dir={folder}")
        assert outcome.status == 0, outcome.err
        return folder

    def end(folder: Path) -> tuple[Any, Any]:
        groups = read_checkpoint(list_checkpoints(folder / "checkpoints")[-1])
        return groups["models"]["policy"], groups["trainers"]["trainers.policy"]["optimizer"]

    whole, again = run("whole"), run("again")
    part = run("part", "launcher.checkpoint.every_steps=1496", "launcher.checkpoint.keep=9")
    first, *later = list_checkpoints(part / "checkpoints")
    for checkpoint in later:
        shutil.rmtree(checkpoint)
    outcome = command("resume", str(part))
    assert outcome.status == 0, outcome.err
    assert first.name < list_checkpoints(part / "checkpoints")[-1].name
    assert command("evaluate", str(part), "--episodes", "2").status == 0
    models, optimizer = end(whole)
    assert {"policy.0.weight", "value.2.bias"} < set(models)
    assert any(name.endswith("mu.policy.0.weight") for name in optimizer)
    for folder in (again, part):
        for expected, found in zip(end(whole), end(folder), strict=True):
            assert expected.keys() == found.keys()
            assert all(np.array_equal(array, found[name]) for name, array in expected.items())
