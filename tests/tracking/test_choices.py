"""Every choice of `tracking=` runs and writes its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command, options_of

WANDB = "wandb/offline-run-*/run-*.wandb"
FILM = "media/view_*.mp4"
FILES = {
    "dashboard": [FILM],
    "default": [WANDB, FILM],
    "private": [WANDB, FILM],
    "terminal": [FILM],
    "video": [FILM],
    "jsonl_only": [],
    "tensorboard": [WANDB, FILM, "tensorboard/events.out.tfevents.*"],
    "csv": [WANDB, FILM, "csv/metrics.csv"],
    "recording": [WANDB, FILM, "recordings/recording_*.jsonl", "recordings/recording_*_observation.image.mp4"],
}


def test_tracking_choices_are_all_tested() -> None:
    assert FILES.keys() == set(options_of("tracking"))


@pytest.mark.parametrize("choice", FILES)
def test_tracking_choice_writes_its_files(choice: str, command: Command, tmp_path: Path) -> None:
    if choice == "tensorboard":
        pytest.importorskip("tensorboard", reason="needs the extra [tensorboard]")
    if choice == "dashboard":
        pytest.importorskip("nicegui", reason="needs the extra [dashboard]")
    pytest.importorskip("av", reason="films need PyAV: extra video")
    outcome = command(
        "experiment=minimum", "launcher.max_steps=20", "launcher.record_every_steps=10", f"tracking={choice}",
        "environment.render_as_observation=true", "environment.image_size=32",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    (folder,) = (tmp_path / "outputs" / "minimum").iterdir()
    for pattern in ["metrics.jsonl", "summary.json", "manifest.json", "config.yaml", "overrides.yaml", *FILES[choice]]:
        assert list(folder.glob(pattern)), pattern
    assert (folder / "wandb").exists() == (WANDB in FILES[choice])
    assert bool(list((folder / "media").iterdir())) == (FILM in FILES[choice])
    assert ("✓ finished" in outcome.out) == (choice not in ("dashboard", "jsonl_only", "video"))
