"""Every choice of `tracking=` runs and leaves what it promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Outcome

LEAVES = {
    "default": ["wandb/offline-run-*/run-*.wandb"],
    "terminal": [],
    "jsonl_only": [],
    "tensorboard": ["wandb/offline-run-*/run-*.wandb", "tensorboard/events.out.tfevents.*"],
    "csv": ["wandb/offline-run-*/run-*.wandb", "csv/metrics.csv"],
}


def test_every_choice_is_tested() -> None:
    assert LEAVES.keys() == {path.stem for path in (REPOSITORY / "conf" / "tracking").glob("*.yaml")}


@pytest.mark.parametrize("choice", LEAVES)
def test_a_choice_of_trackers_leaves_its_files(choice: str, command: Callable[..., Outcome], tmp_path: Path) -> None:
    if choice == "tensorboard":
        pytest.importorskip("tensorboard")
    outcome = command(
        "experiment=minimum", "launcher.max_steps=20", "launcher.record_every_steps=10", f"tracking={choice}"
    )
    assert outcome.status == 0, outcome.err
    (folder,) = (tmp_path / "outputs" / "minimum").iterdir()
    for pattern in ["metrics.jsonl", "summary.json", "manifest.json", "config.yaml", "overrides.yaml", *LEAVES[choice]]:
        assert list(folder.glob(pattern)), pattern
    assert (folder / "wandb").exists() == (choice not in ("terminal", "jsonl_only"))
    assert ("✓ finished" in outcome.out) == (choice != "jsonl_only")
