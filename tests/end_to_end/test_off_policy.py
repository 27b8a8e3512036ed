"""SAC, DQN and DreamerV3 in every loop, with rewards, delays and several environments, resumed to the same bits."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest

from pamiq_exp.config import AllowList, ConfigError, build_experiment, compose, examine, validate
from pamiq_exp.runtime import Summary, launch
from tests.conftest import Command
from tests.end_to_end.runs import assert_equal_runs, records

SMALL = (
    "tracking=jsonl_only",
    "models.policy.network.hidden=[8]",
    "trainers.policy.batch_size=8",
    "trainers.policy.learning_starts=40",
    "launcher.record_every_steps=50",
)
SAC = ("experiment=pendulum_sac", "num_envs=2", *SMALL)
DQN = (
    "experiment=cartpole_dqn",
    "trainers.policy.train_every=8",
    "trainers.policy.gradient_steps=2",
    "trainers.policy.n_steps=3",
    "models.policy.double=true",
    "models.policy.network.dueling=true",
    "models.policy.learning_rate_schedule=constant",  # a run that is prolonged has another schedule
    *SMALL,
)
DREAMER = (
    "experiment=cartpole_dreamer",
    "models.policy.network.memory=8",
    "models.policy.network.variables=2",
    "models.policy.network.classes=4",
    "trainers.policy.sequence_length=8",
    *SMALL,
)
DELAYED_AND_CURIOUS = (
    "reward=prediction_error",
    "reward_streams=single",
    "encoder=random_features",
    "dynamics=mlp",
    "buffers=replay",
    "interaction.delay.steps=1",
    "interaction.delay.observe_action=true",
    "models.encoder.warmup=10",
    "trainers.encoder.learning_starts=10",
    "trainers.encoder.train_every=10",
    "trainers.dynamics.learning_starts=20",
    "trainers.dynamics.train_every=20",
)


def run(words: tuple[str, ...], folder: Path) -> Summary:
    experiment = build_experiment(validate(compose(list(words)), AllowList()))
    return launch(
        experiment.interaction, experiment.models, experiment.buffers, experiment.trainers, experiment.launch_config,
        folder=folder,
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [(*SAC, *DELAYED_AND_CURIOUS), DQN, pytest.param(DREAMER, marks=pytest.mark.slow)],
    ids=["sac", "dqn", "dreamer"],
)
def test_off_policy_runs_resume_to_the_same_bits(command: Command, tmp_path: Path, words: tuple[str, ...]) -> None:
    def go(name: str, steps: int) -> Path:
        outcome = command(*words, "seed=3", f"launcher.max_steps={steps}", f"hydra.run.dir={tmp_path / name}")
        assert outcome.status == 0, outcome.err
        return tmp_path / name

    once, parts = go("once", 120), go("parts", 80)
    outcome = command("resume", str(parts), "launcher.max_steps=120")
    assert outcome.status == 0, outcome.err
    assert_equal_runs(once, parts)
    assert sum(record["source"] == "policy" for record in records(once)) >= 10


@pytest.mark.parametrize("mode", ["realtime", pytest.param("pipelined", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "words", [SAC, DQN, pytest.param(DREAMER, marks=pytest.mark.slow)], ids=["sac", "dqn", "dreamer"]
)
def test_off_policy_learns_in_every_loop(tmp_path: Path, words: tuple[str, ...], mode: str) -> None:
    steps = 1000 if mode == "realtime" else 400
    summary = run((*words, f"launcher.mode={mode}", f"launcher.max_steps={steps}"), tmp_path / "run")
    assert summary["state"] == "finished"
    assert int(summary["training_steps"]) > 10
    assert np.isfinite(float(summary["policy_loss_last"]))


def test_off_policy_errors_are_found_by_examine() -> None:
    def errors(*words: str) -> str:
        try:
            return "\n".join(map(str, examine(compose(list(words)), AllowList(["tests"])).errors))
        except ConfigError as error:
            return str(error)

    assert "DQN needs discrete actions" in errors("experiment=cartpole_dqn", "environment=pendulum")
    unbounded = (
        "environment.id=null",
        "+environment.make={_target_: tests.end_to_end.test_off_policy.Unbounded, _partial_: true}",
    )
    assert "SAC needs actions with bounds on both sides" in errors("experiment=pendulum_sac", *unbounded)
    for capacity in (1_500_000_000, 10_000_000_000_000):
        found = errors("experiment=pendulum_sac", f"buffers.policy.capacity={capacity}")
        assert "buffers.policy" in found
        assert "give it a smaller capacity" in found


class Unbounded(gymnasium.Env[np.ndarray, np.ndarray]):
    """An environment whose actions have no bounds."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        return np.zeros(2, np.float32), 0.0, False, False, {}
