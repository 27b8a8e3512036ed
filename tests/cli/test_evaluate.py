"""`evaluate RUN`: returns of a checkpoint, and runs that cannot be evaluated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pamiq_exp.cli
from pamiq_exp.config import build_experiment, compose
from pamiq_exp.run_folder import list_checkpoints
from pamiq_exp.runtime.checkpoints import read_checkpoint
from tests.conftest import Command

SMALL = (
    "experiment=cartpole_ppo", "num_envs=2", "launcher.max_steps=40", "launcher.checkpoint.every_steps=20",
    "tracking=jsonl_only", "trainers.policy.rollout_steps=8", "trainers.policy.epochs=1",
    "trainers.policy.minibatches=2",
)  # fmt: skip


def run_small(folder: Path, *words: str) -> Path:
    """A short run that has learned a little, with checkpoints at steps 20 and 40."""
    assert pamiq_exp.cli.main((*SMALL, *words, f"hydra.run.dir={folder}")) == 0
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_small(tmp_path_factory.mktemp("evaluated") / "run")


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    return copy


def evaluation(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return found


def test_evaluate_writes_a_repeatable_evaluation_and_changes_no_run_file(command: Command, folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    outcome = command("evaluate", "run", "--episodes", "3", "--seeds", "7", "8")
    assert outcome.status == 0, outcome.err
    found = evaluation(folder)
    assert found["checkpoint"] == "step_000000040"
    assert (found["environment_step"], found["actions"], found["seeds"]) == (40, "greedy", [7, 8])
    summary = json.loads((folder / "summary.json").read_text())
    assert found["model_version"] == summary["model_version"] > 0
    assert found["episodes"] == 6
    returns = np.array(found["returns"])
    assert returns.shape == (2, 3)
    assert found["return_mean"] == returns.mean()
    assert np.array_equal(returns, found["lengths"])  # each step of the pole pays 1
    low, high = found["return_interval"]
    assert low <= found["return_mean"] <= high
    assert f"{found['return_mean']:.6g}" in outcome.out
    assert {path: path.read_bytes() for path in before} == before
    assert command("evaluate", "run", "--episodes", "3", "--seeds", "8", "7").status == 0
    assert evaluation(folder)["returns"] == found["returns"][::-1]


@pytest.mark.parametrize("recurrent", [False, True])
def test_evaluate_returns_match_a_loop_with_the_most_likely_actions(
    command: Command, finished: Path, tmp_path: Path, recurrent: bool
) -> None:
    if recurrent:
        folder = run_small(tmp_path / "run", "policy=ppo_recurrent", "trainers.policy.sequence_length=4")
    else:
        folder = Path(shutil.copytree(finished, tmp_path / "run"))
    assert command("evaluate", "run", "--episodes", "2", "--seeds", "9", "--checkpoint", "20").status == 0
    words = ["experiment=cartpole_ppo", "num_envs=2", "seed=9"]
    experiment = build_experiment(compose([*words, "policy=ppo_recurrent"] if recurrent else words).config)
    network = experiment.models["policy"]
    network.load_state_dict(read_checkpoint(folder / "checkpoints" / "step_000000020")["models"]["policy"])
    import torch

    environment, total, returns = experiment.interaction.environment, np.zeros(2), {}
    memory = network.network.initial_state(2, torch.device("cpu")) if recurrent else None
    while len(returns) < 2:
        seen = environment.observe()
        total += seen.reward
        for env in np.flatnonzero(seen.ended):
            returns.setdefault(int(env), float(total[env]))
        fields = {f"observation.{name}": torch.from_numpy(value) for name, value in seen.values.items()}
        with torch.no_grad():
            if recurrent:
                distribution, _, memory = network.network.eval().step(fields, memory)
            else:
                distribution, _ = network.eval()(fields)
        environment.affect(distribution.log_probs.argmax(-1).numpy())
    environment.teardown()
    assert evaluation(folder)["returns"] == [[returns[0], returns[1]]]


def test_evaluate_sampled_draws_actions_from_the_policy(command: Command, folder: Path) -> None:
    assert command("evaluate", "run", "--episodes", "8", "--sampled").status == 0
    drawn = evaluation(folder)
    assert (drawn["actions"], drawn["seeds"]) == ("sampled", [1_000_000])
    assert command("evaluate", "run", "--episodes", "8").status == 0
    assert evaluation(folder)["returns"] != drawn["returns"]


def test_evaluate_gives_no_interval_for_a_single_episode(command: Command, folder: Path) -> None:
    assert command("evaluate", "run", "--episodes", "1").status == 0
    assert evaluation(folder)["return_interval"] is None


REFUSED = {
    ("--seeds", "3", "0"): "0 is the seed of the run",
    ("--checkpoint", "30"): "there is no step_000000030",
    ("--checkpoint", "best"): "launcher.checkpoint.keep_best=return_mean",
    ("environment.id=Acrobot-v1",): "environment.id: is Acrobot-v1, and CartPole-v1 in the run",
    ("environment._target_=os.system",): "environment._target_: is os.system",
    ("interaction.delay.steps=1",): "interaction.delay.steps: is 1, and 0 in the run",
}


def test_evaluate_reports_why_a_run_cannot_be_evaluated(command: Command, folder: Path) -> None:
    for words, message in REFUSED.items():
        outcome = command("evaluate", "run", *words)
        assert outcome.status == 2
        assert message in outcome.err
        assert "this run cannot be evaluated" in outcome.err
    assert not (folder / "evaluation.json").exists()
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("num_envs: 2", "num_envs: 3"))
    assert "spaces.num_envs: 3 -> 2" in command("evaluate", "run").err
    shutil.rmtree(folder / "checkpoints")
    assert "there is no checkpoint" in command("evaluate", "run").err
    assert "is no run folder" in command("evaluate", "nowhere").err


def test_evaluate_refuses_a_damaged_checkpoint(command: Command, folder: Path) -> None:
    models = list_checkpoints(folder / "checkpoints")[-1] / "models.safetensors"
    models.write_bytes(models.read_bytes()[:-1])
    outcome = command("evaluate", "run")
    assert outcome.status == 2
    assert "is damaged: models.safetensors" in outcome.err


def test_evaluate_by_steps_compares_a_run_without_episodes_with_random_walks(command: Command) -> None:
    words = (
        "experiment=curiosity_noise_world",
        "environment=noise_world",
        "agent=random",
        "launcher=lockstep",
        "num_envs=4",
    )
    small = ("launcher.max_steps=40", "tracking=jsonl_only", "metrics.pose_probe=null", "hydra.run.dir=run")
    outcome = command(*words, *small, "metrics.model_error=null")
    assert outcome.status == 0, outcome.err
    outcome = command("evaluate", "run", "--steps", "41")
    assert outcome.status == 0, outcome.err
    found = evaluation(Path("run"))
    assert (found["steps"], found["actions"]) == (44, "sampled")
    assert found["seeds"] == [1_000_000 + each for each in range(5)]
    metrics = found["metrics"]
    assert metrics["reward"]["values"] == [0.0] * 5
    assert {"coverage", "coverage_random", "coverage_sticky_random"} < set(metrics)
    values = metrics["coverage"]["values"]
    assert metrics["coverage"]["mean"] == pytest.approx(np.mean(values))
    low, high = metrics["coverage"]["interval"]
    assert min(values) <= low <= np.mean(values) <= high <= max(values)
    assert len(set(metrics["coverage_auc"]["values"])) > 1
    assert "44 steps for each of 5 seeds" in outcome.out
    outcome = command("evaluate", "run", "--steps", "41", "--seeds", "1000001", "--greedy")
    assert outcome.status == 0, outcome.err
    found = evaluation(Path("run"))
    assert (found["actions"], found["metrics"]["coverage"]["interval"]) == ("greedy", None)
    assert found["metrics"]["coverage_random"]["values"] == [metrics["coverage_random"]["values"][1]]


def test_evaluate_refuses_steps_for_an_environment_with_episodes(command: Command, folder: Path) -> None:
    outcome = command("evaluate", "run", "--steps", "10")
    assert outcome.status == 2
    assert "--steps: its environment has episodes" in outcome.err


def test_evaluate_refuses_a_real_time_environment_without_episodes(
    command: Command, doll: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(*doll, "hydra.run.dir=run").status == 0
    outcome = command("evaluate", "run", "--episodes", "1", "--allow", "tests.config.parts")
    assert outcome.status == 2
    assert "--episodes: its environment has no episodes" in outcome.err
    assert "a config may not name tests.config.parts.Doll" in command("evaluate", "run").err
    monkeypatch.setattr("tests.config.parts.Room.live", True, raising=False)
    outcome = command("evaluate", "run", "--allow", "tests.config.parts")
    assert outcome.status == 2
    assert "environment: has no episodes and goes on by the wall clock" in outcome.err
