"""Worlds that do not wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.interaction.environment import Array, Environment, Observation

PATIENCE = 10.0
"""Seconds that one step of the world may take when the world is to stand still or to end."""


@dataclass(frozen=True)
class Frame:
    """One moment of the world: how many there were before it, what it shows, the rewards so far, and when it was."""

    number: int
    observation: Observation
    rewards: NDArray[np.float64]
    at: float


class FreeRunning(Environment):
    """Lets an environment run on a thread of its own, at its own rate, whatever the agent does meanwhile.

    The world is stepped every `interval` seconds of the wall clock with the newest action; an observation is
    the newest frame. Frames that were never seen count as `skipped_frames`, frames that were seen twice as
    `repeated_frames`; both are among the run's figures. Rewards of skipped frames are added to that of the
    next one; at the end of an episode the world waits until it has been seen.

    It stands still during pauses and while it is being saved. Such a world does not repeat: use it in realtime.

    Args:
        environment: The world; it begins to run with the first action, and only the thread uses it from then on.
        interval: Seconds from one frame to the next.
    """

    def __init__(self, environment: Environment, interval: float) -> None:
        if not interval > 0:
            raise ValueError(f"interval must be a positive number of seconds, not {interval!r}")
        self.environment = environment
        self.lanes, self.live, self.private = environment.lanes, environment.live, environment.private
        self.action_space = environment.action_space
        self.observation_space = environment.observation_space
        self.skipped_frames = 0
        """Frames that the agent never saw."""
        self.repeated_frames = 0
        """Observations that showed a frame again."""
        self._interval = interval
        self._action: Array | None = None
        self._frame: Frame | None = None
        self._seen: Frame | None = None
        self._error: BaseException | None = None
        self._seen_event = threading.Event()
        self._may_run = threading.Event()
        self._stands_still = threading.Event()
        self._stands_still.set()
        self._ends = False
        self._thread: threading.Thread | None = None

    def observe(self) -> Observation:
        if self._error is not None:
            raise self._error
        if self._frame is None:
            first = self.environment.observe()
            self._frame = Frame(0, first, first.reward.astype(np.float64), time.perf_counter())
        frame, before = self._frame, self._seen
        reward = frame.observation.reward
        if before is not None:
            passed = frame.number - before.number
            self.repeated_frames += passed == 0
            self.skipped_frames += max(passed - 1, 0)
            reward = (frame.rewards - before.rewards).astype(np.float32)
        self._seen, self.observed_at = frame, frame.at
        self._seen_event.set()
        return Observation(frame.observation.values, reward, frame.observation.terminated, frame.observation.truncated)

    def affect(self, action: Array) -> None:
        self._action = action
        if not self._may_run.is_set():
            self._run()

    def ground_truth(self) -> Mapping[str, Array]:
        """Nothing: the world has moved on since the frame that was seen."""
        return {}

    def report(self) -> dict[str, float]:
        return {f"time/{name}": value for name, value in self.summary().items()}

    def summary(self) -> dict[str, float]:
        counted = {"skipped_frames": self.skipped_frames, "repeated_frames": self.repeated_frames}
        return self.environment.summary() | counted

    def on_pause(self) -> None:
        self._halt()

    def teardown(self) -> None:
        self._ends = True
        thread = self._thread
        self._may_run.set()
        self._seen_event.set()
        if thread is not None:
            thread.join(PATIENCE)
        self._thread = None
        self._may_run.clear()

    def state(self) -> State:
        """The world stands still from here to the next action, so that its own state can be read."""
        self._halt()
        return {"skipped": self.skipped_frames, "repeated": self.repeated_frames}

    def load_state(self, state: State) -> None:
        self.skipped_frames = int(np.asarray(state["skipped"]))
        self.repeated_frames = int(np.asarray(state["repeated"]))
        self._frame = self._seen = None

    def _run(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="world", daemon=True)
            self._thread.start()
        self._stands_still.clear()
        self._may_run.set()

    def _halt(self) -> None:
        self._may_run.clear()
        self._seen_event.set()
        if self._thread is not None and not self._stands_still.wait(PATIENCE):
            raise TimeoutError(f"the world did not stand still within {PATIENCE:g} s")

    def _live(self) -> None:
        try:
            while self._wait_for_leave():
                due = time.perf_counter() + self._interval
                while self._may_run.is_set() and not self._ends:
                    time.sleep(max(due - time.perf_counter(), 0.0))
                    due = max(due + self._interval, time.perf_counter())
                    self._step()
        except BaseException as error:
            self._error = error
            self._stands_still.set()

    def _wait_for_leave(self) -> bool:
        self._stands_still.set()
        self._may_run.wait()
        self._stands_still.clear()
        return not self._ends

    def _step(self) -> None:
        before, action = self._frame, self._action
        assert before is not None
        assert action is not None
        if before.observation.ended.any() and self._seen is not before:
            self._seen_event.clear()
            if self._seen is not before:
                self._seen_event.wait()
            return
        self.environment.affect(action)
        shown = self.environment.observe()
        self._frame = Frame(before.number + 1, shown, before.rewards + shown.reward, time.perf_counter())
