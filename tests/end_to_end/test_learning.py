"""The experiments reach the returns and losses that the documentation states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from tests.end_to_end.worlds import need_packages_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def summary_of(command: Command, folder: Path, *words: str) -> dict[str, Any]:
    outcome = command(*words, "launcher.mode=lockstep", "tracking=jsonl_only", f"hydra.run.dir={folder}")
    assert outcome.status == 0, outcome.err
    return dict(json.loads((folder / "summary.json").read_text()))


def returns_at_the_end(folder: Path) -> float:
    return float(json.loads((folder / "summary.json").read_text())["return_mean"])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_learning_ppo_balances_cartpole(command: Command, tmp_path: Path, seed: int) -> None:
    summary = summary_of(command, tmp_path / "run", "experiment=cartpole_ppo", f"seed={seed}")
    assert summary["steps"] <= 100_000
    assert summary["return_mean"] >= 475


def test_learning_ppo_in_jax_balances_cartpole(command: Command, tmp_path: Path) -> None:
    need_packages_of("cartpole_jax")
    summary = summary_of(command, tmp_path / "run", "experiment=cartpole_jax", "seed=0")
    assert summary["return_mean"] >= 475


def test_learning_sac_swings_up_the_pendulum(command: Command, tmp_path: Path) -> None:
    summary_of(command, tmp_path / "run", "experiment=pendulum_sac", "seed=0")
    outcome = command("evaluate", str(tmp_path / "run"), "--episodes", "20")
    assert outcome.status == 0, outcome.err
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["return_mean"] >= -200


def test_learning_dqn_balances_cartpole(command: Command, tmp_path: Path) -> None:
    summary = summary_of(command, tmp_path / "run", "experiment=cartpole_dqn", "seed=0")
    assert summary["return_mean"] >= 450


@pytest.mark.parametrize("seed", [0, 1])
def test_learning_curious_agent_predicts_a_world_without_noise(command: Command, tmp_path: Path, seed: int) -> None:
    words = ("experiment=pamiq2024", "world=clean", "launcher.max_steps=20000", f"seed={seed}")
    summary = summary_of(command, tmp_path / "run", *words)
    assert summary["dynamics_loss_last"] < summary["dynamics_loss_first"] / 3
    assert summary["coverage"] > 0.5


def test_learning_cartpole_needs_fewer_steps_with_imagination_than_with_ppo(command: Command, tmp_path: Path) -> None:
    """Environment steps after which the mean return of ten episodes stays at 195 or above."""
    as_often = ("+metrics.episodes.window=10", "launcher.record_every_steps=200")
    needed = {}
    for name, words in {
        "cartpole_imagination": ("launcher.max_steps=8000",),
        "cartpole_ppo": ("launcher.max_steps=30000", *as_often),
    }.items():
        summary_of(command, tmp_path / name, f"experiment={name}", "seed=0", *words)
        records = map(json.loads, (tmp_path / name / "metrics.jsonl").read_text().splitlines())
        key = "interaction/return_mean"
        needed[name] = max(each["environment_step"] for each in records if each.get(key, 195) < 195)
    assert returns_at_the_end(tmp_path / "cartpole_imagination") >= 195
    assert needed["cartpole_imagination"] < needed["cartpole_ppo"]


def test_learning_ppo_reaches_the_goal_of_minigrid(command: Command, tmp_path: Path) -> None:
    summary = summary_of(command, tmp_path / "run", "experiment=minigrid_ppo")
    assert summary["return_mean"] > 0.9


def test_learning_vae_halves_its_loss_while_it_is_used(command: Command, tmp_path: Path) -> None:
    # 6,000 turns of four environments, 1,175 updates.
    summary = summary_of(command, tmp_path / "run", "experiment=vae_online", "launcher.max_steps=24000")
    assert summary["encoder_loss_last"] < summary["encoder_loss_first"] / 2
    assert any((tmp_path / "run" / "media").glob("*reconstruction*.png"))
