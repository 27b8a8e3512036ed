"""Keeping the checkpoint with the best value of a metric."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from pamiq_exp.interaction import Interaction, StepObserver, Turn
from pamiq_exp.run_folder import list_checkpoints
from pamiq_exp.runtime import CheckpointConfig, LaunchConfig, launch
from pamiq_exp.runtime.best_checkpoint import BestCheckpoint
from pamiq_exp.runtime.records import RecordStream
from pamiq_exp.runtime.statistics import RunStatistics
from tests.runtime.parts import CollectingAgent, NoisyWorld


class Scores(StepObserver):
    """Reports one score after the other, a new one every ten turns."""

    def __init__(self, *scores: float) -> None:
        self.scores, self.turns = scores, 0

    def on_step(self, turn: Turn) -> None:
        self.turns += 1

    def report(self) -> dict[str, float]:
        return {"score": self.scores[self.turns // 10 - 1]}

    def state(self) -> dict[str, int]:
        return {"turns": self.turns}

    def load_state(self, state: dict[str, int]) -> None:
        self.turns = state["turns"]


def run(folder: Path, *scores: float, keep_best: str = "score", resume_from: Path | None = None) -> list[int]:
    """Save every ten steps and keep the newest checkpoint and the best; return the steps of those that are left."""
    interaction = Interaction(CollectingAgent(model=None, buffer=None), NoisyWorld(), {"scores": Scores(*scores)})
    checkpoint = CheckpointConfig(every_steps=10, keep=1, keep_best=keep_best)
    config = LaunchConfig(mode="lockstep", max_steps=10 * len(scores), record_every_steps=10, checkpoint=checkpoint)
    launch(interaction, config=config, folder=folder, resume_from=resume_from)
    return [int(path.name.removeprefix("step_")) for path in list_checkpoints(folder / "checkpoints")]


def best(folder: Path) -> tuple[str, float]:
    noted = json.loads((folder / "checkpoints" / "best.json").read_text())
    assert noted["metric"] == "score"
    return noted["checkpoint"], noted["value"]


def test_best_checkpoint_is_the_first_with_the_highest_value(tmp_path: Path) -> None:
    assert run(tmp_path, 1.0, 5.0, float("nan"), 5.0, 2.0) == [20, 50]
    assert best(tmp_path) == ("step_000000020", 5.0)


def test_best_checkpoint_is_compared_across_a_resume(tmp_path: Path) -> None:
    scores = [1.0, 5.0, 2.0, 3.0, 6.0]
    assert run(tmp_path, *scores[:3]) == [20, 30]
    newest = list_checkpoints(tmp_path / "checkpoints")[-1]
    assert run(tmp_path, *scores, resume_from=newest) == [50]
    assert best(tmp_path) == ("step_000000050", 6.0)


def test_best_checkpoint_ignores_an_invalid_note_or_one_of_another_metric(tmp_path: Path) -> None:
    contents = (
        '{"metric": "other", "checkpoint": "step_000000010", "value": 9.0}',
        '{"metric": "score", "checkpoint": "step_000000090", "value": 9.0}',
        '{"metric": "score", "checkpoint": 10, "value": 9.0}',
        '{"metric": "score", "checkpoint": "step_000000010", "value": [9.0]}',
        "[",
        "3",
    )
    checkpoint = tmp_path / "step_000000010"
    checkpoint.mkdir()
    for content in contents:
        (tmp_path / "best.json").write_text(content)
        noted = BestCheckpoint(tmp_path, "score")
        noted.read()
        assert noted.name is None, content
        assert noted.note(checkpoint, -1.0), content
        again = BestCheckpoint(tmp_path, "score")
        again.read()
        assert again.name == checkpoint.name, content
        assert not again.note(tmp_path / "step_000000020", -1.0), content


def test_best_checkpoint_takes_the_mean_of_the_newest_values_of_all_actors() -> None:
    axes = ("steps", "wall_seconds", "run_seconds", "model_version", "observation_age_seconds")
    statistics = cast(RunStatistics, SimpleNamespace(**dict.fromkeys(axes, 0)))
    records, best = RecordStream(None, statistics), BestCheckpoint(Path(), "score")
    assert math.isnan(best.value_in(records))
    for actor, metrics in ((0, {"score": 1.0}), (1, {"score": 5.0}), (0, {"score": 3.0}), (2, {"other": 9.0})):
        records.emit("interaction", metrics, training_step=0, axes={"actor": actor, "staleness": actor})
    assert best.value_in(records) == 4.0
    assert math.isnan(BestCheckpoint(Path(), None).value_in(records))


def test_best_checkpoint_warns_of_a_metric_that_is_not_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert run(tmp_path, 1.0, 2.0, keep_best="scores") == [20]
    assert "no record has a number interaction/scores; there are: output, score" in caplog.text
    assert not (tmp_path / "checkpoints" / "best.json").exists()


def test_checkpoint_config_refuses_keep_best_without_periodic_saves() -> None:
    with pytest.raises(ValueError, match=r"checkpoint\.keep_best needs saves on the way"):
        CheckpointConfig(keep_best="score")
