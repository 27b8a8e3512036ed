from __future__ import annotations

from pathlib import Path

import pytest

from pamiq_exp.analysis import Comparison, ReportError, compare, find_runs, read_runs
from tests.analysis.folders import write_run, write_study


def compared(folder: Path, **keys: tuple[str, ...]) -> Comparison:
    return compare(read_runs(find_runs([folder])), **keys)


def test_compare_takes_arms_from_overrides_and_tasks_from_worlds(tmp_path: Path) -> None:
    result = compared(write_study(tmp_path, arms={"random": 0.2, "rnd": 0.5}, seeds=3))
    assert (result.arms, result.tasks) == (("random", "rnd"), ("clean", "tvroom"))
    assert [run.seed for run in result.cells["rnd", "tvroom"]] == [0, 1, 2]
    assert result.left_out == ()


def test_compare_names_arms_by_all_settings_that_differ(tmp_path: Path) -> None:
    for job, (rate, num_envs) in enumerate([(1e-3, 1), (1e-3, 4), (1e-4, 4)]):
        words = [f"trainers.policy.learning_rate={rate}", f"environment.num_envs={num_envs}"]
        write_run(tmp_path / str(job), overrides=words)
    assert set(compared(tmp_path).arms) == {
        "learning_rate=0.001, num_envs=1",
        "learning_rate=0.001, num_envs=4",
        "learning_rate=0.0001, num_envs=4",
    }


def test_compare_names_arms_by_booleans_as_they_are_typed(tmp_path: Path) -> None:
    for job, value in enumerate(["true", "false"]):
        write_run(tmp_path / str(job), overrides=[f"interaction.delay.observe_action={value}", "policy=ppo"])
    assert compared(tmp_path).arms == (
        "interaction.delay.observe_action=false", "interaction.delay.observe_action=true"
    )  # fmt: skip


def test_compare_puts_equal_numbers_and_unset_defaults_into_one_arm(tmp_path: Path) -> None:
    for seed, words in enumerate([["rate=1e-3"], ["rate=0.001"], []]):
        write_run(tmp_path / str(seed), seed=seed, overrides=words, config={"rate": 0.001})
    assert compared(tmp_path).arms == ("study",)


def test_compare_names_arms_of_edited_files_by_their_configs(tmp_path: Path) -> None:
    for job, width in enumerate([64, 128]):
        write_run(tmp_path / str(job), overrides=["experiment=mine"], config={"model": {"width": width}})
    assert compared(tmp_path).arms == ("model.width=64", "model.width=128")


def test_compare_ignores_seeds_trackers_and_paths(tmp_path: Path) -> None:
    for seed in range(3):
        config = {"part": {"seed": seed * 7}, "paths": {"outputs": str(seed)}, "tracking": {"mode": seed}}
        write_run(tmp_path / str(seed), seed=seed, overrides=[f"tracking={seed}"], config=config)
    result = compared(tmp_path)
    assert result.arms == ("study",)
    assert len(result.counted) == 3
    assert not any("more than their seeds" in warning for warning in result.warnings)


def test_compare_uses_the_given_keys_and_refuses_unknown_ones(tmp_path: Path) -> None:
    write_study(tmp_path, arms={"random": 0.2, "rnd": 0.5}, seeds=1)
    result = compared(tmp_path, arm_keys=("environment.world",), task_keys=("reward",))
    assert (result.arms, result.tasks) == (("clean", "tvroom"), ("random", "rnd"))
    with pytest.raises(ReportError, match="no run has a setting 'rewrad'"):
        compared(tmp_path, arm_keys=("rewrad",))


def test_compare_excludes_unfinished_runs_and_lists_them(tmp_path: Path) -> None:
    for seed, state in enumerate(["finished", "failed", "running", "stopped"]):
        write_run(tmp_path / str(seed), seed=seed, state=state)
    result = compared(tmp_path)
    assert [run.seed for run in result.counted] == [0]
    assert [(run.folder.name, why) for run, why in result.left_out] == [
        ("1", "failed"),
        ("2", "running"),
        ("3", "stopped"),
    ]


def test_compare_counts_a_repeated_seed_once_with_its_latest_run(tmp_path: Path) -> None:
    write_run(tmp_path / "b", started="2026-01-01", config={"rate": 1})
    write_run(tmp_path / "a", started="2026-02-01", config={"rate": 1})
    result = compared(tmp_path)
    assert [run.folder.name for run in result.counted] == ["a"]
    assert "superseded" in result.left_out[0][1]


def test_compare_warns_of_differing_settings_seeds_and_steps(tmp_path: Path) -> None:
    for seed in range(2):
        config = {"model": {"width": seed}}
        write_run(
            tmp_path / f"a{seed}", seed=seed, overrides=["reward=a"], config=config, summary={"steps": 100 + seed}
        )
    write_run(tmp_path / "b", overrides=["reward=b"])
    warnings = " ".join(compared(tmp_path).warnings)
    assert "the runs of a differ in more than their seeds: model.width" in warnings
    assert "different numbers of seeds, from 1 to 2" in warnings
    assert "some arms have one seed" in warnings
    assert "too rarely: in 50 % with 2" in warnings
    assert "different numbers of steps, from 100 to 101" in warnings
