from __future__ import annotations

import errno
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pamiq_exp.buffers import RingBuffer
from pamiq_exp.interaction import FixedIntervalInteraction, Interaction, Observation, StepObserver, Turn, continual
from pamiq_exp.run_folder import list_checkpoints
from pamiq_exp.runtime import CheckpointConfig, LaunchConfig, Summary, launch
from pamiq_exp.runtime.parts import Parts
from pamiq_exp.runtime.trace import blocks
from pamiq_exp.runtime.trace.blocks import BlockFile, TraceError
from pamiq_exp.runtime.trace.reading import RecordedTrace, find_traces
from pamiq_exp.runtime.trace.replay import Replay, ReplayedEnvironment
from tests.runtime.parts import FIELDS, CollectingAgent, NoisyWorld, SmallTrainer, launch_small, linear_model

CONFIG = LaunchConfig(mode="realtime", max_steps=120, record_every_steps=20, trace=True)


def run(folder: Path, config: LaunchConfig = CONFIG, **options: Any) -> Summary:
    options.setdefault("interval", 0.002)
    return launch_small(config, folder=folder, **options)


def replay_of(folder: Path, index: int = -1, **parts: Any) -> Replay:
    trace = RecordedTrace(find_traces(folder)[index])
    agent = parts.get("agent") or CollectingAgent()
    interaction = Interaction(agent, ReplayedEnvironment(trace.header["spaces"]), parts.get("observers"))
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    first = trace.steps
    return Replay(
        trace,
        Parts(
            interaction,
            {"linear": parts.get("model") or linear_model()},
            {"experience": RingBuffer(parts.get("capacity", 64), 1, FIELDS)},
            {"linear": parts.get("trainer") or SmallTrainer()},
        ),
        parts.get("config") or CONFIG,
        [record for record in records if record["environment_step"] > first],
    )


def test_replay_reproduces_a_run_bit_for_bit(tmp_path: Path) -> None:
    model = linear_model()
    summary = run(tmp_path, model=model)
    with replay_of(tmp_path) as replay:
        result = replay.run()
        assert (result.turns, result.difference, result.ended) == (120, None, True)
        assert result.publications == summary["model_version"] > 0
        assert replay.engine.statistics.training_steps == summary["training_steps"]
        for name, value in replay.engine.models["linear"].state_dict().items():
            assert torch.equal(value, model.state_dict()[name]), name


class WorldInColumns(NoisyWorld):
    """Also shows a position that lies column by column in memory, as `array[:, [0, 1]]` makes it."""

    observation_space = gymnasium.spaces.Dict(
        {**NoisyWorld.observation_space.spaces, "position": gymnasium.spaces.Box(-10, 10, (4, 2))}
    )

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[NDArray[np.float32]] = []

    def observe(self) -> Observation:
        position = np.asfortranarray(self.generator.standard_normal((4, 2)).astype(np.float32))[None]
        self.shown.append(position)
        return continual({**super().observe().values, "position": position})


def test_trace_keeps_observations_of_any_order_in_memory(tmp_path: Path) -> None:
    world = WorldInColumns()
    run(tmp_path, world=world)
    kept = [turn.observation.values["position"] for turn in RecordedTrace(find_traces(tmp_path)[-1]).turns()]
    assert len(kept) == 120
    np.testing.assert_array_equal(kept, world.shown)


def test_replay_reproduces_a_run_with_a_learner_process(tmp_path: Path) -> None:
    config = replace(CONFIG, learner="process", checkpoint=CheckpointConfig(every_steps=30))
    summary = run(tmp_path, config, trainer=SmallTrainer(lambda _: time.sleep(0.004)))
    with replay_of(tmp_path, config=config) as replay:
        result = replay.run()
        assert (result.turns, result.difference, result.ended) == (120, None, True)
        assert result.publications == summary["model_version"] > 0
    with replay_of(tmp_path, config=config, trainer=SmallTrainer(seed=8)) as replay:
        assert replay.run().difference is not None


def test_replay_reproduces_a_run_resumed_with_a_learner_process(tmp_path: Path) -> None:
    run(tmp_path, replace(CONFIG, max_steps=50))
    newest = list_checkpoints(tmp_path / "checkpoints")[-1]
    config = replace(CONFIG, learner="process")
    run(tmp_path, config, resume_from=newest)
    with replay_of(tmp_path, config=config) as replay:
        result = replay.run()
        assert (result.turns, result.difference, result.ended) == (70, None, True)


def test_replay_reproduces_a_sequential_run_with_saves(tmp_path: Path) -> None:
    config = replace(CONFIG, mode="sequential", checkpoint=CheckpointConfig(every_steps=30))
    run(tmp_path, config)
    with replay_of(tmp_path, config=config) as replay:
        assert replay.run().difference is None


def test_replay_reproduces_saves_between_two_batches(tmp_path: Path) -> None:
    config = replace(CONFIG, checkpoint=CheckpointConfig(every_steps=7))
    trainer = SmallTrainer(lambda _: time.sleep(0.004))
    run(tmp_path, config, trainer=trainer)
    events = list(RecordedTrace(find_traces(tmp_path)[0]).events())
    assert any(event[0] == "fetch" and event[1] > 0 for event in events), "a save came between two batches"
    with replay_of(tmp_path, config=config) as replay:
        result = replay.run()
        assert (result.difference, result.ended) == (None, True)


def test_replay_drops_what_the_run_dropped(tmp_path: Path) -> None:
    trainer = SmallTrainer(lambda _: time.sleep(0.03))
    config = replace(CONFIG, max_steps=1500)
    summary = launch(
        FixedIntervalInteraction(CollectingAgent(), NoisyWorld(), 0.0002),
        {"linear": linear_model()},
        {"experience": RingBuffer(12, 1, FIELDS)},
        {"linear": trainer},
        config,
        folder=tmp_path,
    )
    assert summary["dropped"] > 0
    with replay_of(tmp_path, config=config, capacity=12) as replay:
        result = replay.run()
        assert (result.difference, result.ended) == (None, True)
        assert replay.engine.statistics.dropped == summary["dropped"]


def test_replay_names_the_first_turn_that_differs(tmp_path: Path) -> None:
    run(tmp_path)
    with replay_of(tmp_path, agent=CollectingAgent(seed=8)) as replay:
        difference = replay.run().difference
    assert difference is not None
    assert difference.turn < 10
    assert "the action is" in difference.what
    with replay_of(tmp_path, trainer=SmallTrainer(seed=8)) as replay:
        difference = replay.run().difference
    assert difference is not None
    assert 10 <= difference.turn < 120
    assert "linear" in difference.what


def test_replay_stops_before_a_given_turn_and_continues(tmp_path: Path) -> None:
    agent = CollectingAgent()
    run(tmp_path, agent=agent)
    with replay_of(tmp_path) as replay:
        assert replay.run(until=50).turns == 50
        again = replay.engine.interaction.agent
        assert isinstance(again, CollectingAgent)
        assert again.versions == agent.versions[:50]
        assert replay.run().turns == 120, "and continues from there"
        assert replay.result.ended


def test_replay_of_a_resumed_run_starts_at_its_checkpoint(tmp_path: Path) -> None:
    run(tmp_path, replace(CONFIG, max_steps=50))
    newest = list_checkpoints(tmp_path / "checkpoints")[-1]
    run(tmp_path, resume_from=newest)
    for checkpoint in list_checkpoints(tmp_path / "checkpoints"):
        for file in checkpoint.iterdir():
            file.unlink()  # the trace keeps what it needs
    assert [path.name for path in find_traces(tmp_path)] == ["000000000", "000000050"]
    with replay_of(tmp_path) as replay:
        result = replay.run()
        assert (result.turns, result.difference, result.ended) == (70, None, True)
        assert replay.next_turn == 120


class Drawing(NoisyWorld):
    """Draws from the global generators, as some environments do."""

    def observe(self) -> Observation:
        np.random.random()
        torch.rand(1)
        return super().observe()


def test_replay_restores_global_generators_that_an_environment_uses(tmp_path: Path) -> None:
    config = replace(CONFIG, mode="sequential")
    run(tmp_path, config, world=Drawing())
    with replay_of(tmp_path, config=config) as replay:
        assert replay.run().difference is None


class Truthful(NoisyWorld):
    def ground_truth(self) -> dict[str, np.ndarray]:
        return {"step": np.array([self.step_number]), "map": np.ones((3, 3))}


class Sum(StepObserver):
    """Sums up what is true, in some turns only."""

    def __init__(self) -> None:
        self.total = 0.0

    def on_step(self, turn: Turn) -> None:
        if turn.observation.values["vector"][0, 0] > 0:
            self.total += float(turn.ground_truth["step"][0] + turn.ground_truth["map"].sum())

    def report(self) -> dict[str, float]:
        return {"total": self.total}


def test_replay_shows_observers_the_same_ground_truth(tmp_path: Path) -> None:
    launch(
        FixedIntervalInteraction(CollectingAgent(), Truthful(), 0.001, {"sum": Sum()}),
        {"linear": linear_model()},
        {"experience": RingBuffer(64, 1, FIELDS)},
        {"linear": SmallTrainer()},
        CONFIG,
        folder=tmp_path,
    )
    with replay_of(tmp_path, observers={"sum": Sum()}) as replay:
        assert replay.run().difference is None
        total = replay.engine.interaction.observers["sum"]
        assert isinstance(total, Sum)
        assert total.total > 0


class FailsAt(CollectingAgent):
    def step(self, observation: Observation) -> np.ndarray:
        action = super().step(observation)
        if len(self.versions) == 40:
            raise ArithmeticError("at the fortieth turn")
        return action


def test_replay_ends_with_the_same_error(tmp_path: Path) -> None:
    with pytest.raises(ArithmeticError):
        run(tmp_path, agent=FailsAt())
    with replay_of(tmp_path, agent=FailsAt()) as replay:
        result = replay.run()
    assert result.turns == 39
    assert isinstance(result.failure, ArithmeticError)
    assert result.difference is None


def test_trace_ends_on_a_full_disk_and_the_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pamiq_exp.runtime.trace.recording.BLOCK_TURNS", 20)
    write, blocks_written = BlockFile.write_arrays, []

    def full(self: BlockFile, arrays: Any) -> None:
        blocks_written.append(len(arrays))
        if len(blocks_written) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, arrays)

    monkeypatch.setattr(BlockFile, "write_arrays", full)
    summary = run(tmp_path)
    assert (summary["state"], summary["steps"], summary["failed_writes"]) == ("finished", 120, 1)
    assert "the trace ends here" in (tmp_path / "log.txt").read_text()
    with replay_of(tmp_path) as replay:
        result = replay.run()
    assert result.difference is None
    assert not result.ended
    assert result.turns < 120


def test_replay_of_a_truncated_trace_ends_at_its_last_whole_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pamiq_exp.runtime.trace.recording.BLOCK_TURNS", 20)
    run(tmp_path)
    turns = find_traces(tmp_path)[0] / "turns"
    turns.write_bytes(turns.read_bytes()[:-10])
    with replay_of(tmp_path) as replay:
        result = replay.run()
    assert result.turns == 100
    assert result.difference is None


def test_trace_that_is_damaged_or_of_another_version_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    folder = find_traces(tmp_path)[0]
    turns, good = folder / "turns", (folder / "turns").read_bytes()
    turns.write_bytes(good[:-10] + bytes([good[-10] ^ 1]) + good[-9:])
    with replay_of(tmp_path) as replay, pytest.raises(TraceError, match="checksum differs"):
        replay.run()
    turns.write_bytes(b"something else, which is long enough to be read")
    with pytest.raises(TraceError, match="no trace of this version"):
        RecordedTrace(folder)
    turns.unlink()
    with pytest.raises(TraceError, match="No such file"):
        RecordedTrace(folder)
    file = BlockFile(turns)
    file.write_json({"trace": 99})
    file.close()
    with pytest.raises(TraceError, match="replay it with the version that wrote it"):
        RecordedTrace(folder)


def test_blocks_of_another_length_than_declared_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zlib

    def forged(content: bytes, length: int) -> Path:
        path = tmp_path / "turns"
        path.unlink(missing_ok=True)
        file = BlockFile(path)
        data = zlib.compress(content)
        file._write(blocks._HEAD.pack(b"J", True, len(data), length, zlib.crc32(data)) + data)
        file.close()
        return path

    for length in (10, 10_000):
        with pytest.raises(TraceError, match="not as long as it says"):
            list(blocks.read_blocks(forged(b"[" + b" " * 1000 + b"]", length), tmp_path))
    with pytest.raises(TraceError, match="a block of"):
        list(blocks.read_blocks(forged(b"[]", 1 << 30), tmp_path))


def test_trace_needs_a_run_folder_and_is_not_kept_in_lockstep(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pass folder="):
        launch_small(CONFIG)
    launch_small(replace(CONFIG, mode="lockstep"), folder=tmp_path)
    assert find_traces(tmp_path) == []


def test_replayed_environment_names_a_missing_observation(tmp_path: Path) -> None:
    run(tmp_path)
    with replay_of(tmp_path) as replay:
        (turn, *_) = RecordedTrace(find_traces(tmp_path)[0]).turns()
        environment = replay.engine.interaction.environment
        assert isinstance(environment, ReplayedEnvironment)
        empty = Observation({}, turn.observation.reward, turn.observation.terminated, turn.observation.truncated)
        environment.begin(replace(turn, observation=empty))
        with pytest.raises(TraceError, match="an observation lacks 'vector'"):
            environment.observe()
