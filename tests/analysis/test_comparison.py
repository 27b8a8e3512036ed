from __future__ import annotations

from pathlib import Path

import pytest

from pamiq_exp.analysis import Comparison, ReportError, compare, find_runs, read_runs
from tests.analysis.folders import write_run, write_study


def compared(folder: Path, **keys: tuple[str, ...]) -> Comparison:
    return compare(read_runs(find_runs([folder])), **keys)


def test_arms_are_what_was_typed_and_tasks_are_worlds(tmp_path: Path) -> None:
    result = compared(write_study(tmp_path, arms={"random": 0.2, "rnd": 0.5}, seeds=3))
    assert (result.arms, result.tasks) == (("random", "rnd"), ("clean", "tvroom"))
    assert [run.seed for run in result.cells["rnd", "tvroom"]] == [0, 1, 2]
    assert result.left_out == ()


def test_arms_of_several_settings_are_named_by_all_of_them(tmp_path: Path) -> None:
    for job, (rate, num_envs) in enumerate([(1e-3, 1), (1e-3, 4), (1e-4, 4)]):
        words = [f"trainers.policy.learning_rate={rate}", f"environment.num_envs={num_envs}"]
        write_run(tmp_path / str(job), overrides=words)
    assert set(compared(tmp_path).arms) == {
        "learning_rate=0.001, num_envs=1",
        "learning_rate=0.001, num_envs=4",
        "learning_rate=0.0001, num_envs=4",
    }


def test_two_ways_to_write_a_number_are_one_arm_and_a_default_is_looked_up(tmp_path: Path) -> None:
    for seed, words in enumerate([["rate=1e-3"], ["rate=0.001"], []]):
        write_run(tmp_path / str(seed), seed=seed, overrides=words, config={"rate": 0.001})
    assert compared(tmp_path).arms == ("study",)


def test_runs_from_edited_files_differ_by_their_configs(tmp_path: Path) -> None:
    for job, width in enumerate([64, 128]):
        write_run(tmp_path / str(job), overrides=["experiment=mine"], config={"model": {"width": width}})
    assert compared(tmp_path).arms == ("model.width=64", "model.width=128")


def test_seeds_trackers_and_paths_make_no_arms(tmp_path: Path) -> None:
    for seed in range(3):
        config = {"part": {"seed": seed * 7}, "paths": {"outputs": str(seed)}, "tracking": {"mode": seed}}
        write_run(tmp_path / str(seed), seed=seed, overrides=[f"tracking={seed}"], config=config)
    result = compared(tmp_path)
    assert result.arms == ("study",)
    assert len(result.counted) == 3
    assert not any("more than their seeds" in warning for warning in result.warnings)


def test_keys_can_be_chosen(tmp_path: Path) -> None:
    write_study(tmp_path, arms={"random": 0.2, "rnd": 0.5}, seeds=1)
    result = compared(tmp_path, arm_keys=("environment.world",), task_keys=("reward",))
    assert (result.arms, result.tasks) == (("clean", "tvroom"), ("random", "rnd"))
    with pytest.raises(ReportError, match="no run has a setting 'rewrad'"):
        compared(tmp_path, arm_keys=("rewrad",))


def test_runs_that_did_not_finish_do_not_count_and_are_named(tmp_path: Path) -> None:
    for seed, state in enumerate(["finished", "failed", "running", "stopped"]):
        write_run(tmp_path / str(seed), seed=seed, state=state)
    result = compared(tmp_path)
    assert [run.seed for run in result.counted] == [0]
    assert [(run.folder.name, why) for run, why in result.left_out] == [
        ("1", "failed"),
        ("2", "running"),
        ("3", "stopped"),
    ]


def test_a_seed_that_ran_twice_counts_once_by_its_last_run(tmp_path: Path) -> None:
    write_run(tmp_path / "b", started="2026-01-01", config={"rate": 1})
    write_run(tmp_path / "a", started="2026-02-01", config={"rate": 1})
    result = compared(tmp_path)
    assert [run.folder.name for run in result.counted] == ["a"]
    assert "superseded" in result.left_out[0][1]


def test_what_makes_a_comparison_doubtful_is_told(tmp_path: Path) -> None:
    for seed in range(2):
        config = {"model": {"width": seed}}
        write_run(
            tmp_path / f"a{seed}", seed=seed, overrides=["reward=a"], config=config, summary={"steps": 100 + seed}
        )
    write_run(tmp_path / "b", overrides=["reward=b"])
    told = " ".join(compared(tmp_path).warnings)
    assert "the runs of a differ in more than their seeds: model.width" in told
    assert "different numbers of seeds, from 1 to 2" in told
    assert "different numbers of steps, from 100 to 101" in told
