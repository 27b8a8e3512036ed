"""A wrapper that runs an environment on its own thread at its own rate."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State, collect_state, components, restore_state, set_up, tear_down
from pamiq_exp.interaction.environment import Array, Environment, Observation
from pamiq_exp.spaces import describe_action

Hold = Literal["previous", "noop", "zero"]

PATIENCE = 10.0
"""Seconds that one step of the environment may take when it is to stand still or to end."""

ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Frame:
    """One moment of the environment: how many there were before, what it shows, the rewards so far, and when it was."""

    number: int
    observation: Observation
    rewards: NDArray[np.float64]
    at: float


class FreeRunning(Environment):
    """Runs an environment on a thread of its own, at its own rate, whatever the agent does meanwhile.

    It is stepped every `interval` seconds of the wall clock with the newest action; an observation is
    the newest frame. Frames that were never observed count as `skipped_frames`, frames that were observed twice as
    `repeated_frames`; both are among the run's metrics. Rewards of skipped frames are added to that of the
    next one; at the end of an episode the environment waits until it has been observed.

    It stops during pauses and while it is being saved. Such an environment does not repeat: use it in real time.

    Args:
        make: Makes the environment, such as `functools.partial(NoiseWorld, image_size=32)`. It is made, set up, used
            and torn down on the thread of its own. It begins to run with the first action.
        interval: Seconds from one frame to the next.
        hold: The action in a frame for which no new one has come: `previous` repeats the newest one, `zero` takes
            zeros (Box: the numbers nearest to 0, choices: the first), `noop` what the environment names as its action
            that does nothing (Atari's NOOP).

    Raises:
        ValueError: For an interval that is not positive, an unknown `hold`, or `noop` where there is no such action.
        TypeError: For an environment in place of what makes one.
    """

    free_running = True

    def __init__(self, make: Callable[[], Environment], interval: float, hold: Hold = "previous") -> None:
        if not interval > 0:
            raise ValueError(f"interval must be a positive number of seconds, not {interval!r}")
        if hold not in get_args(Hold):
            raise ValueError(f"hold must be one of {', '.join(get_args(Hold))}, not {hold!r}")
        if isinstance(make, Environment):
            raise TypeError(
                f"FreeRunning makes the environment on its own thread: pass functools.partial({type(make).__name__}, "
                f"...) in place of {type(make).__name__}(...); in a config add _partial_: true to its node"
            )
        self._running = _Running(make, interval)  # no component: its hooks are called on its own thread
        try:
            self._running.idle_action = self._running.call(lambda environment: _idle_action(environment, hold))
        except BaseException:
            self._running.end()
            raise
        environment = self._running.environment
        self.num_envs, self.live, self.private = environment.num_envs, environment.live, environment.private
        self.has_episodes, self.has_rewards = environment.has_episodes, environment.has_rewards
        self.action_space = environment.action_space
        self.observation_space = environment.observation_space
        self.skipped_frames = 0
        """Frames that the agent never observed."""
        self.repeated_frames = 0
        """Observations that showed a frame again."""

    def setup(self) -> None:
        self._running.call(set_up)

    def teardown(self) -> None:
        self._running.end()

    def observe(self) -> Observation:
        frame, before = self._running.newest()
        reward = frame.observation.reward
        if before is not None:
            passed = frame.number - before.number
            self.repeated_frames += passed == 0
            self.skipped_frames += max(passed - 1, 0)
            reward = (frame.rewards - before.rewards).astype(np.float32)
        self.observed_at = frame.at
        return Observation(frame.observation.values, reward, frame.observation.terminated, frame.observation.truncated)

    def affect(self, action: Array) -> None:
        self._running.act(action)

    def ground_truth(self) -> Mapping[str, Array]:
        """Nothing: the environment has moved on since the frame that was seen."""
        return {}

    def notes(self) -> list[str]:
        return self._running.environment.notes()

    def report(self) -> dict[str, float]:
        return {f"time/{name}": value for name, value in self._counted().items()}

    def summary(self) -> dict[str, float]:
        return self._running.call(lambda environment: environment.summary()) | self._counted()

    def on_pause(self) -> None:
        self._running.stand_still()
        self._running.call(_pause)

    def on_resume(self) -> None:
        self._running.call(_resume)

    def state(self) -> State:
        """The environment stands still from here to the next action."""
        self._running.stand_still()
        saved = self._running.call(collect_state)
        return {"skipped": self.skipped_frames, "repeated": self.repeated_frames, "environment": saved}

    def load_state(self, state: State) -> None:
        self.skipped_frames = int(np.asarray(state["skipped"]))
        self.repeated_frames = int(np.asarray(state["repeated"]))
        unclaimed, missing = self._running.call(lambda environment: restore_state(environment, state["environment"]))
        if unclaimed or missing:
            raise ValueError(f"the saved environment had other parts: {', '.join([*unclaimed, *missing])}")
        self._running.forget()

    def _counted(self) -> dict[str, float]:
        return {"skipped_frames": self.skipped_frames, "repeated_frames": self.repeated_frames}


class _Running:
    """An environment and the thread on which alone it is made and used.

    Attributes:
        environment: The environment, once it is made.
        idle_action: The action in a frame for which no new one has come; None repeats the newest one.
    """

    environment: Environment

    def __init__(self, make: Callable[[], Environment], interval: float) -> None:
        self.error: BaseException | None = None
        self.frame: Frame | None = None
        self.idle_action: Array | None = None
        self._seen: Frame | None = None
        self._interval = interval
        self._action: Array | None = None
        self._new_actions: deque[Array] = deque()
        self._moves = False
        self._due = 0.0
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        context = copy_context()  # packages that the user allowed stay allowed there
        try:
            self.environment = self._call(lambda: context.run(make))
        except BaseException:
            self._jobs.put(None)
            raise

    def call(self, function: Callable[[Environment], ResultT], timeout: float | None = None) -> ResultT:
        """Run a function of the environment on its thread, between two steps, and return or raise what it does."""
        return self._call(lambda: function(self.environment), timeout)

    def _call(self, function: Callable[[], ResultT], timeout: float | None = None) -> ResultT:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="environment", daemon=True)
            self._thread.start()
        future: Future[ResultT] = Future()

        def job() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._jobs.put(job)
        return future.result(timeout)

    def newest(self) -> tuple[Frame, Frame | None]:
        """Return the newest frame and the one that was seen before; this one is seen now."""
        if self.error is not None:
            raise self.error
        if self.frame is None:
            first = self.call(lambda environment: environment.observe())
            self.frame = Frame(0, first, first.reward.astype(np.float64), time.perf_counter())
        before, self._seen = self._seen, self.frame
        return self._seen, before

    def act(self, action: Array) -> None:
        """Step with this action from the next frame on."""
        self._new_actions.append(action)
        if not self._moves and self.error is None:
            self.call(self._move)

    def stand_still(self) -> None:
        """Take no steps until the next action. Raises TimeoutError if a step does not end."""
        try:
            self.call(self._stop, PATIENCE)
        except TimeoutError:
            raise TimeoutError(f"the environment did not stand still within {PATIENCE:g} s") from None

    def forget(self) -> None:
        """Begin anew with what the environment shows: it was given another state."""
        self.frame = self._seen = None

    def end(self) -> None:
        """Tear the environment down and end the thread. Raises TimeoutError if a step does not end."""
        thread, self._moves = self._thread, False
        if thread is None:
            return
        try:
            self.call(tear_down, PATIENCE)
        finally:
            self._jobs.put(None)
            thread.join(PATIENCE)
            self._thread = None

    def _move(self, environment: Environment) -> None:
        self._moves, self._due = True, time.perf_counter() + self._interval

    def _stop(self, environment: Environment) -> None:
        self._moves = False

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=max(self._due - time.perf_counter(), 0.0) if self._moves else None)
            except Empty:
                self._step()
                continue
            if job is None:
                return
            job()

    def _step(self) -> None:
        self._due = max(self._due + self._interval, time.perf_counter())
        before = self.frame
        if before is None or (before.observation.ended.any() and self._seen is not before):
            return
        action = self._next_action()
        if action is None:
            return
        try:
            self.environment.affect(action)
            shown = self.environment.observe()
        except BaseException as error:
            self.error, self._moves = error, False
            return
        self.frame = Frame(before.number + 1, shown, before.rewards + shown.reward, time.perf_counter())

    def _next_action(self) -> Array | None:
        """Return the newest action, or what is done without a new one; None before the first."""
        is_new = bool(self._new_actions)
        while self._new_actions:
            self._action = self._new_actions.popleft()
        return self._action if is_new or self.idle_action is None or self._action is None else self.idle_action


def _pause(environment: Environment) -> None:
    for _, part in components(environment):
        part.on_pause()


def _resume(environment: Environment) -> None:
    for _, part in components(environment):
        part.on_resume()


def _idle_action(environment: Environment, hold: Hold) -> Array | None:
    """Return the action of all copies for a frame without a new one; None repeats the newest one."""
    if hold == "previous":
        return None
    space = describe_action(environment.action_space)
    row: Array = np.zeros(space["shape"], dtype=space["dtype"])
    if hold == "noop":
        if environment.noop_action is None:
            raise ValueError(
                "hold=noop: this environment names no action that does nothing; use hold=previous or hold=zero"
            )
        row = np.asarray(environment.noop_action, dtype=space["dtype"])
    elif space["kind"] == "box":
        row = np.clip(row, space["low"], space["high"]).astype(space["dtype"])
    return np.tile(row, (environment.num_envs, 1))
