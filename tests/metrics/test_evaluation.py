"""Periodic evaluation: it repeats, leaves the run unchanged and continues after a resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import pamiq_exp.cli
from pamiq_exp.metrics import Evaluation
from tests.interaction.worlds import Counter, Diary

WORDS = (
    "experiment=cartpole_ppo", "num_envs=2", "tracking=jsonl_only", "trainers.policy.rollout_steps=8",
    "trainers.policy.minibatches=2", "launcher.record_every_steps=20",
    "models.policy.learning_rate_schedule=constant",
)  # fmt: skip
EVALUATED = (*WORDS, "metrics=evaluation", "metrics.evaluation.every_steps=40", "metrics.evaluation.episodes=3")
OWN = "interaction/evaluation_"


def run(folder: Path, *words: str) -> list[dict[str, float]]:
    assert pamiq_exp.cli.main((*words, f"hydra.run.dir={folder}")) == 0
    return records(folder)


def records(folder: Path) -> list[dict[str, float]]:
    """The records, without what depends on the wall clock."""
    lines = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in record.items() if "wall" not in name} for record in lines]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    return run(tmp_path_factory.mktemp("evaluation") / "run", *EVALUATED, "launcher.max_steps=80")


def test_evaluation_adds_its_metrics_and_leaves_the_run_unchanged(
    evaluated: list[dict[str, float]], tmp_path: Path
) -> None:
    found = {r["environment_step"]: r.get(f"{OWN}return_mean") for r in evaluated if r["source"] == "interaction"}
    assert found[20] is None
    assert found[40] is not None
    assert found[60] == found[40]
    assert found[80] != found[40]
    without = [{name: value for name, value in r.items() if not name.startswith(OWN)} for r in evaluated]
    assert without == run(tmp_path / "run", *WORDS, "launcher.max_steps=80")


def test_evaluation_continues_identically_after_a_resume(evaluated: list[dict[str, float]], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, *EVALUATED, "launcher.max_steps=60")
    assert pamiq_exp.cli.main(("resume", str(folder), "launcher.max_steps=80")) == 0
    assert records(folder) == evaluated


def test_evaluation_uses_different_seeds_than_its_run(tmp_path: Path) -> None:
    run(tmp_path / "run", *EVALUATED, "launcher.max_steps=2")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    second = config["metrics"]["evaluation"]
    assert second["environment"]["seed"] != config["environment"]["seed"]
    assert second["agent"]["seed"] != config["interaction"]["agent"]["seed"]
    assert second["environment"] | {"seed": 0} == config["environment"] | {"seed": 0}


def test_evaluation_refuses_zero_steps_or_episodes() -> None:
    for settings in ({"every_steps": 0}, {"episodes": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            Evaluation(Diary(), Counter(), **settings)
