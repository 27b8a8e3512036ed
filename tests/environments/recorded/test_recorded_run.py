"""A recorded run plays back its observations and actions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

pytest.importorskip("av", reason="recordings need PyAV: extra video")

from pamiq_exp.agents import PlaybackAgent, RandomAgent
from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.environments import GymnasiumEnvironment, NoiseWorld, RecordedRun
from pamiq_exp.interaction import Environment, Interaction, Observation, StepObserver, Turn
from pamiq_exp.media import Recording
from pamiq_exp.recording import RunRecorder
from pamiq_exp.runtime import LaunchConfig, launch
from pamiq_exp.spaces import describe_spaces
from tests.conftest import Command


class Witness(StepObserver):
    """Remembers every turn."""

    def __init__(self) -> None:
        self.seen: list[Observation] = []
        self.done: list[NDArray[Any]] = []

    def on_step(self, turn: Turn) -> None:
        self.seen.append(turn.observation)
        self.done.append(turn.action.copy())


def record(world: Environment, folder: Path, turns: int, **keys: Any) -> Witness:
    witness = Witness()
    action = describe_spaces(world.observation_space, world.action_space, world.num_envs)["action"]
    agent = RandomAgent(action, world.num_envs, seed=3, stickiness=0.5)
    interaction = Interaction(agent, world, {"witness": witness, "recorder": RunRecorder(**keys)})
    launch(interaction, config=LaunchConfig(mode="lockstep", max_steps=turns * world.num_envs), folder=folder)
    return witness


def play(world: RecordedRun, turns: int) -> list[Observation]:
    seen = []
    for _ in range(turns):
        seen.append(world.observe())
        world.affect(np.zeros(1, dtype=np.int64))
    return seen


@pytest.mark.parametrize("lossless", [False, True])
def test_recorded_run_plays_back_the_frames_and_actions_of_a_noise_world(tmp_path: Path, lossless: bool) -> None:
    witness = record(NoiseWorld(num_envs=2, noise={"fraction": 0.5}), tmp_path, 45, length=20, lossless=lossless)
    world = RecordedRun(str(tmp_path))
    original = NoiseWorld(num_envs=2)
    assert describe_spaces(world.observation_space, world.action_space, world.num_envs) == describe_spaces(
        original.observation_space, original.action_space, original.num_envs
    )
    assert (world.num_envs, world.turns) == (2, 45), "the last, shorter stretch is included"
    agent = PlaybackAgent(str(tmp_path))
    again = Witness()
    interaction = Interaction(agent, world, {"witness": again})
    for _ in range(45):
        interaction.step()
    assert np.array_equal(again.done, witness.done)
    played, recorded = (np.stack([each.values["image"] for each in side.seen]) for side in (again, witness))
    if lossless:
        assert np.array_equal(played, recorded)
    else:
        errors = np.abs(played.astype(int) - recorded)
        assert errors.mean() < 4
        assert errors.mean(axis=(2, 3, 4)).max() < 8, "each frame matches its own turn, not a neighbor's"
    assert not any(seen.ended.any() for seen in again.seen[:-1])
    assert again.seen[-1].truncated.all(), "the recording ends"
    assert np.array_equal(world.observe().values["image"], again.seen[0].values["image"]), "the recording begins again"
    world.teardown()


def test_recorded_run_plays_back_rewards_ends_and_vectors_exactly(tmp_path: Path) -> None:
    witness = record(GymnasiumEnvironment("CartPole-v1", num_envs=3, seed=1), tmp_path, 60, length=25)
    assert list((tmp_path / "recordings").glob("*.mp4")) == []
    played = play(RecordedRun(str(tmp_path)), 60)
    assert any(seen.terminated.any() for seen in played)
    for original, again in zip(witness.seen[:-1], played, strict=False):
        assert np.array_equal(original.values["vector"], again.values["vector"])
        for name in ("reward", "terminated", "truncated"):
            assert np.array_equal(getattr(original, name), getattr(again, name))


class Symbols(gymnasium.Env[Any, Any]):
    """Small images that are no pictures, and a gray picture of odd size."""

    observation_space = spaces.Dict(
        {"symbols": spaces.Box(0, 255, (7, 7, 3), np.uint8), "eye": spaces.Box(0, 255, (33, 17), np.uint8)}
    )
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.turn = 0
        return self._show(), {}

    def _show(self) -> dict[str, Any]:
        eye = np.full((33, 17), 10 * self.turn % 256, np.uint8)
        return {"symbols": np.full((7, 7, 3), self.turn, np.uint8), "eye": eye}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.turn += 1
        return self._show(), float(action[0]), False, False, {}


def test_recorded_run_keeps_symbols_exactly_and_odd_image_sizes(tmp_path: Path) -> None:
    witness = record(GymnasiumEnvironment(make=Symbols, num_envs=2), tmp_path, 12, length=5)
    played = play(RecordedRun(str(tmp_path)), 12)
    for original, again in zip(witness.seen, played, strict=True):
        assert np.array_equal(original.values["symbols"], again.values["symbols"])
        assert again.values["eye"].shape == (2, 33, 17, 1)
        assert np.abs(original.values["eye"].astype(int) - again.values["eye"]).max() <= 3
        assert np.array_equal(original.reward, again.reward)


def test_recorded_run_truncates_episodes_at_gaps(tmp_path: Path) -> None:
    record(GymnasiumEnvironment(make=Symbols), tmp_path, 30, every_steps=10, length=4)
    world = RecordedRun(str(tmp_path))
    assert world.turns == 12
    seen = play(world, 12)
    assert [int(each.values["symbols"][0, 0, 0, 0]) for each in seen] == [0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]
    assert [bool(each.truncated[0]) for each in seen] == [False, False, False, True] * 3


def test_recorded_run_plays_overlapping_steps_once(tmp_path: Path) -> None:
    record(GymnasiumEnvironment(make=Symbols), tmp_path / "first", 10, length=10)
    record(GymnasiumEnvironment(make=Symbols), tmp_path / "later", 3, length=10)
    folder = tmp_path / "first" / "recordings"
    for file in (tmp_path / "later" / "recordings").iterdir():  # as if the run had been resumed at step 6
        file.rename(folder / file.name.replace("000000000", "000000006"))
    path = folder / "recording_000000006.jsonl"
    header, *rows = path.read_text().splitlines()
    moved = [json.loads(row) for row in rows]
    path.write_text("\n".join([header, *(json.dumps(row | {"step": row["step"] + 6}) for row in moved)]))
    seen = play(RecordedRun(str(tmp_path / "first")), 9)
    assert [int(each.values["symbols"][0, 0, 0, 0]) for each in seen] == [0, 1, 2, 3, 4, 5, 0, 1, 2]
    assert not any(each.truncated[0] for each in seen[:-1])


def test_recorded_run_and_playback_agent_resume_where_they_were_saved(tmp_path: Path) -> None:
    record(NoiseWorld(noise={"fraction": 0.5}), tmp_path, 12, length=5, lossless=True)
    world, agent = RecordedRun(str(tmp_path)), PlaybackAgent(str(tmp_path))
    interaction = Interaction(agent, world)
    for _ in range(7):
        interaction.step()
    saved = collect_state(interaction)
    expected = Witness()
    resumed_witness = Witness()
    resumed = Interaction(PlaybackAgent(str(tmp_path)), RecordedRun(str(tmp_path)))
    assert restore_state(resumed, saved) == ([], [])
    for each, witness in ((interaction, expected), (resumed, resumed_witness)):
        each.observers["witness"] = witness
        for _ in range(9):
            each.step()
    assert np.array_equal(expected.done, resumed_witness.done)
    assert all(
        np.array_equal(left.values["image"], right.values["image"])
        for left, right in zip(expected.seen, resumed_witness.seen, strict=True)
    )


def test_run_recorder_records_the_same_stretches_after_a_restore() -> None:
    """A stretch that is interrupted begins again where the run was saved."""
    for saved_at, next_start, stretches in (
        (2, 2, [[2, 3, 4, 5], [10, 11, 12, 13]]),
        (4, 10, [[10, 11, 12, 13]]),
        (9, 10, [[10, 11, 12, 13], [20]]),
        (11, 11, [[11, 12, 13, 14], [20, 21, 22]]),
    ):
        recorder, resumed = (RunRecorder(every_steps=10, length=4) for _ in range(2))
        world = GymnasiumEnvironment(make=Symbols)
        agent = RandomAgent(describe_spaces(world.observation_space, world.action_space, 1)["action"], 1, seed=0)
        interaction = Interaction(agent, world, {"recorder": recorder})
        for _ in range(saved_at):
            interaction.step()
        assert recorder.state() == {"steps": saved_at, "next_start": next_start}
        assert restore_state(resumed, collect_state(recorder)) == ([], [])
        assert resumed.state() == recorder.state()
        interaction.observers["recorder"] = resumed
        for _ in range(12):
            interaction.step()
        resumed.teardown()
        recordings = [item for item in resumed.media() if isinstance(item, Recording)]
        recorded = [[int(turn["observation.symbols"].flat[0]) for turn in each.turns] for each in recordings]
        assert recorded == stretches, saved_at
        assert [each.first_step for each in recordings] == [turns[0] for turns in stretches], saved_at


def test_recording_config_records_a_run_that_an_encoder_learns_from(command: Command, tmp_path: Path) -> None:
    source, learned = tmp_path / "source", tmp_path / "learned"
    quick = ("launcher=lockstep", "launcher.max_steps=300", "metrics=none", "environment.num_envs=2")
    outcome = command(
        "experiment=pamiq2024", "agent=random", "tracking=recording", "tracking.wandb=null",
        "tracking.terminal=null", "tracking.recording.length=60", "tracking.video.length=20",
        f"hydra.run.dir={source}", *quick,
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert len(list((source / "recordings").glob("*.jsonl"))) == 3
    assert len(list((source / "media").glob("view_*.mp4"))) == 1
    outcome = command(
        "experiment=vae_video", "environment=recorded_run", f"environment.path={source}", "agent=recorded_vae",
        "trainers.encoder.learning_starts=100", "trainers.encoder.held_out.turns=16", "tracking=jsonl_only",
        f"hydra.run.dir={learned}", "launcher.max_steps=300",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    summary = json.loads((learned / "summary.json").read_text())
    assert summary["encoder_loss_last"] < summary["encoder_loss_first"]


def test_recorded_run_refuses_a_folder_without_a_recording(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="tracking=recording"):
        RecordedRun(str(tmp_path))


def test_recorded_run_refuses_a_recording_without_its_video(tmp_path: Path) -> None:
    record(NoiseWorld(), tmp_path, 3)
    next((tmp_path / "recordings").glob("*.mp4")).unlink()
    with pytest.raises(ValueError, match=r"image\.mp4 is missing"):
        RecordedRun(str(tmp_path))
