from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.environments import FreeRunning, delayed
from pamiq_exp.environments.wrappers.free_running import Hold
from pamiq_exp.interaction import Array, FixedIntervalInteraction, Interaction, Observation
from pamiq_exp.runtime import LaunchConfig, launch
from tests.interaction.worlds import Counter, Diary

STILL = np.zeros((1, 2), dtype=np.int64)


class Gated(Diary):
    """A world whose every step waits for the test to allow it, and signals when it is done."""

    def __init__(self, episode: int | None = None) -> None:
        super().__init__(episode=episode)
        self.allowed, self.taken = threading.Semaphore(0), threading.Semaphore(0)

    def affect(self, action: Array) -> None:
        self.allowed.acquire()
        super().affect(action)

    def observe(self) -> Observation:
        if self.step:
            self.taken.release()
        return super().observe()

    def run(self, steps: int) -> None:
        """Let the world take some steps, until the last frame is there to be seen."""
        self.allowed.release(steps)
        for _ in range(steps):
            assert self.taken.acquire(timeout=10)


def step_of(seen: Observation) -> int:
    return int(seen.values["x"][0, 0])


def newest(world: FreeRunning, step: int) -> Observation:
    """Wait until a frame has been handed over, then see it."""
    deadline = time.monotonic() + 10
    while world._running.frame is None or step_of(world._running.frame.observation) < step:
        assert time.monotonic() < deadline
    return world.observe()


def test_free_running_shows_the_newest_frame_and_counts_missed_ones() -> None:
    inner = Gated()
    world = FreeRunning(lambda: inner, 1e-4)
    assert step_of(world.observe()) == 0
    world.affect(STILL)
    inner.run(3)
    seen = newest(world, 3)
    assert step_of(seen) == 3
    assert float(seen.reward[0]) == 1 + 2 + 3, "what skipped frames paid is not lost"
    assert (world.skipped_frames, world.repeated_frames) == (2, 0)
    again = world.observe()
    assert step_of(again) == 3
    assert float(again.reward[0]) == 0, "nothing is paid twice"
    assert (world.skipped_frames, world.repeated_frames) == (2, 1)
    assert world.report() == {"time/skipped_frames": 2, "time/repeated_frames": 1}
    inner.allowed.release(100)
    world.teardown()


def test_free_running_keeps_an_episode_end_until_it_is_observed() -> None:
    inner = Gated(episode=2)
    world = FreeRunning(lambda: inner, 1e-4)
    world.observe()
    world.affect(STILL)
    inner.run(2)
    inner.allowed.release(100)
    seen = newest(world, 2)
    assert step_of(seen) == 2
    assert seen.terminated.all()
    newest(world, 3)
    world.teardown()


def test_free_running_stops_while_saving_and_in_pauses() -> None:
    inner = Diary()
    world = FreeRunning(lambda: inner, 1e-4)
    world.observe()
    world.affect(STILL)
    newest(world, 3)
    saved = collect_state(world)
    assert saved[""]["environment"][""]["step"] == inner.step
    other = FreeRunning(Diary, 1e-4)
    restore_state(other, saved)
    assert step_of(other.observe()) == inner.step
    world.affect(STILL)
    newest(world, inner.step + 2)
    world.on_pause()
    stands = inner.step
    assert step_of(world.observe()) == stands == inner.step
    world.teardown()


def test_free_running_observe_raises_errors_of_the_environment() -> None:
    class Broken(Diary):
        def affect(self, action: Array) -> None:
            raise RuntimeError("the camera is gone")

    world = FreeRunning(Broken, 1e-4)
    world.observe()
    world.affect(STILL)
    deadline = time.monotonic() + 10
    while world._running.error is None:
        assert time.monotonic() < deadline
    with pytest.raises(RuntimeError, match="the camera is gone"):
        world.observe()
    world.teardown()


def test_free_running_summary_reports_skipped_frames_and_observation_age() -> None:
    world = FreeRunning(Diary, 0.002)
    interaction = FixedIntervalInteraction(Counter(), world, 0.01)
    summary = launch(interaction, config=LaunchConfig(mode="realtime", max_steps=30))
    assert summary["skipped_frames"] > 60  # type: ignore[operator]
    assert 0 < summary["observation_age_milliseconds_p50"] < 10  # type: ignore[operator]


def test_free_running_counts_repeated_frames_of_a_slow_environment() -> None:
    world = FreeRunning(Diary, 0.02)
    summary = launch(FixedIntervalInteraction(Counter(), world, 0.002), config=LaunchConfig(max_steps=60))
    assert summary["repeated_frames"] > 30  # type: ignore[operator]


def test_delayed_refuses_substeps_of_a_free_running_environment() -> None:
    with pytest.raises(ValueError, match="runs by itself"):
        delayed(FreeRunning(Diary, 0.1), 0.5, substeps=2)


def test_fixed_interval_interaction_refuses_an_environment_with_its_own_clock() -> None:
    world = Diary()
    world.own_interval = 0.05
    with pytest.raises(ValueError, match=r"0\.05 s a turn.*two clocks.*interaction=unpaced"):
        FixedIntervalInteraction(Counter(), world, 0.1)
    assert Interaction(Counter(), world).interval is None


class Threads(Diary):
    """Notes on which threads it was used."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: dict[str, str] = {}

    def _note(self, call: str) -> None:
        self.threads[call] = threading.current_thread().name

    def setup(self) -> None:
        self._note("setup")

    def observe(self) -> Observation:
        self._note("observe")
        return super().observe()

    def affect(self, action: Array) -> None:
        self._note("affect")
        super().affect(action)

    def state(self) -> dict[str, Any]:
        self._note("state")
        return super().state()

    def teardown(self) -> None:
        self._note("teardown")


def test_free_running_uses_the_environment_only_on_its_own_thread(tmp_path: Path) -> None:
    inner = Threads()
    launch(
        FixedIntervalInteraction(Counter(), FreeRunning(lambda: inner, 0.002), 0.01),
        config=LaunchConfig(mode="realtime", max_steps=3),
        folder=tmp_path,
    )
    assert inner.threads == dict.fromkeys(("setup", "observe", "affect", "state", "teardown"), "environment")


def test_free_running_makes_the_environment_on_its_thread_and_raises_its_errors() -> None:
    makers: list[str] = []
    before = set(threading.enumerate())

    def make() -> Diary:
        makers.append(threading.current_thread().name)
        return Diary()

    world = FreeRunning(make, 1e-4)
    world.teardown()
    assert makers == ["environment"]

    def fail() -> Diary:
        raise OSError("no such device")

    with pytest.raises(OSError, match="no such device"):
        FreeRunning(fail, 1e-4)
    with pytest.raises(TypeError, match=r"functools\.partial\(Diary"):
        FreeRunning(Diary(), 1e-4)  # type: ignore[arg-type]
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize(("hold", "second"), [("previous", [7, 1]), ("zero", [0, 0]), ("noop", [3, 2])])
def test_free_running_hold_sets_the_action_of_frames_without_a_new_one(hold: Hold, second: list[int]) -> None:
    inner = Gated()
    inner.noop_action = (3, 2)
    world = FreeRunning(lambda: inner, 1e-4, hold)
    world.observe()
    world.affect(np.array([[7, 1]]))
    inner.run(2)
    newest(world, 2)
    world.affect(np.array([[8, 1]]))
    inner.run(2)
    inner.allowed.release(100)
    world.teardown()
    done = [action.tolist() for action in inner.actions]
    assert done[:2] == [[[7, 1]], [second]]
    assert [[8, 1]] in done[2:4], "the third frame may have begun before the new action came"


def test_free_running_hold_noop_needs_a_noop_action() -> None:
    with pytest.raises(ValueError, match="hold=previous or hold=zero"):
        FreeRunning(Diary, 1e-4, "noop")
    with pytest.raises(ValueError, match="one of previous, noop, zero"):
        FreeRunning(Diary, 1e-4, "stop")  # type: ignore[arg-type]


def test_free_running_hold_zero_is_clipped_to_the_bounds() -> None:
    class Positive(Diary):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = gymnasium.spaces.Box(np.float32([0.5, -1]), np.float32([1, 1]), dtype=np.float32)

    world = FreeRunning(Positive, 1e-4, "zero")
    assert world._running.idle_action is not None
    assert world._running.idle_action.tolist() == [[0.5, 0.0]]
    world.teardown()
