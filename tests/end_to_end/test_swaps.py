"""Each part of the curious agent, and the world around it, is one override away from another, and still learns.

That choices run together at all is shown for all pairs of them by `test_combinations`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command

pytestmark = pytest.mark.slow

CURIOUS = (
    "experiment=pamiq2024",
    "agent=curiosity",
    "launcher.mode=lockstep",
    "launcher.max_steps=400",
    "launcher.record_every_steps=100",
    "launcher.checkpoint.at_end=false",
    "tracking=jsonl_only",
    "metrics=none",
)
SOON = ("trainers.dynamics.learning_starts=100", "trainers.dynamics.held_out.turns=16")
RANDOM_FEATURES = (
    "models.encoder.warmup=100",
    "trainers.encoder.train_every=100",
    "trainers.encoder.learning_starts=100",
)
SMALL = ("environment.image_size=36", "environment.images.size=8")
CARTPOLE = ("environment=gymnasium", "environment.id=CartPole-v1")
SHORT_ROLLOUTS = ("trainers.policy.rollout_steps=16",)


def summary_of(command: Command, folder: Path, *words: str) -> dict[str, Any]:
    outcome = command(*CURIOUS, f"hydra.run.dir={folder}", *words)
    assert outcome.status == 0, outcome.err
    return dict(json.loads((folder / "summary.json").read_text()))


@pytest.mark.parametrize(
    "words",
    [
        CARTPOLE,
        ("environment=gymnasium", "environment.id=Pendulum-v1"),
        ("environment=gymnasium", "environment.id=MiniGrid-Empty-5x5-v0"),
        ("world=clean", "environment.actions=discrete", *SMALL),
        ("dynamics=recurrent", "core=gru", *CARTPOLE),
        ("policy_input=latent", *CARTPOLE),
        ("reward=extrinsic", *CARTPOLE),
        ("reward=prediction_error", "reward_streams=single", *CARTPOLE),
    ],
    ids=" ".join,
)
def test_swap_of_one_part_by_an_override_still_learns(command: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    summary = summary_of(command, tmp_path / "run", *words, *SOON, *RANDOM_FEATURES, *SHORT_ROLLOUTS)
    assert summary["steps"] == 400
    assert summary["training_steps"] > 30
    assert summary["dynamics_loss_last"] < summary["dynamics_loss_first"]


def test_swap_to_a_vae_encoder_trains_encoder_and_dynamics(command: Command, tmp_path: Path) -> None:
    soon = ("trainers.encoder.learning_starts=100", "trainers.encoder.held_out.turns=16", *SOON, *SHORT_ROLLOUTS)
    summary = summary_of(command, tmp_path / "run", "encoder=image_vae", *SMALL, *soon)
    assert summary["encoder_loss_last"] < summary["encoder_loss_first"]
    assert "dynamics_loss_last" in summary


def test_swap_to_a_random_agent_trains_nothing(command: Command, tmp_path: Path) -> None:
    summary = summary_of(command, tmp_path / "run", "agent=random", *SMALL)
    assert summary["training_steps"] == 0
    assert "dynamics_loss_first" not in summary


def test_swap_to_a_ppo_agent_has_no_dynamics(command: Command, tmp_path: Path) -> None:
    words = ("agent=ppo", *CARTPOLE, *SHORT_ROLLOUTS)
    summary = summary_of(command, tmp_path / "run", *words)
    assert summary["reward_mean"] == 1
    assert summary["training_steps"] > 30
    assert "dynamics_loss_first" not in summary


@pytest.mark.parametrize(
    "words",
    [
        ("world=clean", "environment.image_size=32", "environment.images.size=8"),
        CARTPOLE,
        ("environment=gymnasium", "environment.id=MiniGrid-Empty-5x5-v0"),
        ("world=clean", "environment.image_size=32", "policy=imagination", "models.policy.min_reward_r2=null"),
        (*CARTPOLE, "policy=ppo_legacy"),
        (*CARTPOLE, "policy=ppo_recurrent", "core@policy_core=gru"),
    ],
    ids=" ".join,
)
def test_swap_of_environment_or_policy_of_pamiq2024_still_learns(
    command: Command, tmp_path: Path, words: tuple[str, ...]
) -> None:
    soon = (
        "trainers.dynamics.learning_starts=100",
        "trainers.dynamics.held_out.turns=16",
        "trainers.encoder.learning_starts=100",
    )
    soon += ("trainers.encoder.held_out.turns=16",)
    if "policy=imagination" in words:
        soon += ("trainers.outcome.learning_starts=100", "trainers.policy.learning_starts=100")
    else:
        soon += ("trainers.policy.rollout_steps=32",)
    if "world=clean" not in words:
        soon += ("models.encoder.other.warmup=100",)
    summary = summary_of(command, tmp_path / "run", "agent=pamiq2024", *words, *soon)
    assert summary["steps"] == 400
    assert summary["dynamics_loss_last"] < summary["dynamics_loss_first"]
    records = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert '"source": "policy"' in records
