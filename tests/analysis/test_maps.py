"""Maps of the visited cells, from checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pamiq_exp.analysis import Options, find_runs, read_runs, write_report
from pamiq_exp.analysis.maps import read_visited, share_of_runs
from pamiq_exp.runtime.checkpoints import write_checkpoint
from tests.analysis.folders import write_run


def save(run: Path, step: int, visited: np.ndarray) -> None:
    """Write a checkpoint as a run does."""
    state = {"observers": {"coverage": {"visited": visited, "turns": step}, "other": {"visited": np.zeros(3)}}}
    write_checkpoint(run / "checkpoints", step, {"models": {"a": {"visited": 3}}, "interaction": state}, keep=2)


def test_read_visited_returns_the_map_of_the_newest_checkpoint(tmp_path: Path) -> None:
    visited = np.zeros((3, 4), dtype=np.bool_)
    visited[1, 2] = True
    save(tmp_path, 10, np.zeros((3, 4), dtype=np.bool_))
    save(tmp_path, 20, visited)
    found = read_visited(tmp_path)
    assert found is not None
    assert np.array_equal(found, visited)


def test_read_visited_is_none_without_a_map_or_with_a_damaged_checkpoint(tmp_path: Path) -> None:
    assert read_visited(tmp_path) is None
    write_checkpoint(tmp_path / "checkpoints", 1, {"models": {"weight": np.zeros(3)}}, keep=2)
    assert read_visited(tmp_path) is None
    (tmp_path / "checkpoints" / "step_000000001" / "models.safetensors").write_bytes(b"\xff" * 20)
    assert read_visited(tmp_path) is None


def test_share_of_runs_averages_maps_of_equal_shape() -> None:
    first, second = np.array([[True, False]]), np.array([[True, True]])
    share = share_of_runs([first, second, None])
    assert share is not None
    assert share.tolist() == [[1.0, 0.5]]
    assert share_of_runs([None]) is None
    assert share_of_runs([first, np.zeros((2, 2), dtype=np.bool_)]) is None


def test_write_report_draws_visit_maps_of_all_arms_for_each_task(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for arm in ("curious", "random"):
        for world in ("clean", "white"):
            for seed in range(2):
                words = [f"reward={arm}", f"world={world}"]
                run = write_run(tmp_path / "runs" / f"{arm}{world}{seed}", seed=seed, overrides=words,
                                summary={"coverage": 0.5}, records=[])  # fmt: skip
                save(run, 5, generator.random((6, 8)) < 0.4)
    page = write_report(read_runs(find_runs([tmp_path / "runs"])), tmp_path / "report", Options(resamples=20))
    for suffix in ("pdf", "svg", "png"):
        for world in ("clean", "white"):
            assert (tmp_path / "report" / "figures" / f"visits_{world}.{suffix}").stat().st_size > 1000
    text = page.read_text()
    assert ">Visits</h2>" in text
    assert "Share of the runs of each arm that have visited a cell in clean" in text
    assert (tmp_path / "report" / "paper.yaml").read_text().startswith("# An experiment with pamiq_exp")
    assert "reproduce paper.yaml" in text
