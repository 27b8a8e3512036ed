"""The exported file of several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.analysis import apply_changes, depends_on_clock, export_runs, find_runs, read_runs
from pamiq_exp.analysis.exported_file import _changes
from pamiq_exp.analysis.runs import ReportError
from pamiq_exp.seeding import derive_seed

names = st.sampled_from("abcd")
values = st.one_of(st.integers(0, 3), st.none(), st.text(max_size=2), st.lists(st.integers(0, 2), max_size=2))
trees = st.dictionaries(
    names, st.recursive(values, lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=8)
)


@given(trees, trees)
def test_apply_changes_rebuilds_a_config_from_its_changes(base: Any, tree: Any) -> None:
    assert apply_changes(base, _changes(base, tree)) == tree


@given(trees)
def test_changes_of_equal_configs_are_empty(tree: Any) -> None:
    assert _changes(tree, tree) == {}


def test_depends_on_clock_is_true_only_for_timing_metrics() -> None:
    for name in ("wall_seconds", "steps_per_second", "step_milliseconds_p99", "deadline_misses"):
        assert depends_on_clock(name), name
    assert not depends_on_clock("return_mean")


def run_folder(folder: Path, seed: int, **config: Any) -> Path:
    folder.mkdir(parents=True)
    agent = {"_target_": "a.B", "seed": derive_seed(seed, "agent"), "rate": 0.1}
    tree = {"experiment_name": "e", "seed": seed, "agent": agent, "copy": {"of": agent}, "fixed": {"seed": 5}, **config}
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    (folder / "manifest.json").write_text(f'{{"state": "finished", "seed": {seed}, "experiment_name": "e"}}')
    (folder / "summary.json").write_text(f'{{"steps": 10, "coverage": {seed / 10}, "wall_seconds": 3.5}}')
    return folder


def test_export_runs_writes_derived_seeds_as_interpolations(tmp_path: Path) -> None:
    for seed in (1, 2):
        run_folder(tmp_path / str(seed), seed)
    exported = export_runs(read_runs(find_runs([tmp_path])))
    assert exported["config"]["agent"]["seed"] == "${derived_seed:}"
    assert exported["config"]["copy"]["of"]["seed"] == "${agent.seed}"
    assert exported["config"]["fixed"]["seed"] == 5
    assert [run["changes"] for run in exported["runs"]] == [{}, {"set": {"seed": 2}}]
    assert exported["metrics"]["coverage"]["iqm"] == pytest.approx(0.15)
    assert exported["metrics"].keys() == {"coverage"}
    assert exported["runs"][0]["metrics"] == {"steps": 10, "coverage": 0.1}


def test_export_runs_groups_metrics_by_arm(tmp_path: Path) -> None:
    for rate in (0.1, 0.2):
        for seed in (1, 2):
            run_folder(tmp_path / f"{rate}_{seed}", seed, more={"rate": rate})
    exported = export_runs(read_runs(find_runs([tmp_path])))
    assert len(exported["metrics"]) == 2
    assert {run["arm"] for run in exported["runs"]} == set(exported["metrics"])


def test_export_runs_refuses_a_run_without_a_config(tmp_path: Path) -> None:
    (run_folder(tmp_path / "run", 1) / "config.yaml").unlink()
    with pytest.raises(ReportError, match=r"no config\.yaml"):
        export_runs(read_runs(find_runs([tmp_path])))
