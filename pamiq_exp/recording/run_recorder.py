"""Recording a run so that it can be played back as an environment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.every import Every
from pamiq_exp.interaction.environment import Array
from pamiq_exp.interaction.observer import StepObserver, Turn
from pamiq_exp.media import Media, Recording
from pamiq_exp.spaces import describe_spaces

VERSION = 1
SMALLEST = 16
"""Pixels a side below which an image is taken for symbols, which a codec would spoil, and kept as numbers."""


class RunRecorder(StepObserver):
    """Records what is observed and done, in stretches: pictures as videos, everything else as JSONL.

    Each stretch becomes `recordings/NAME_STEP.jsonl` of the run folder: a header, then one line a turn with the action
    taken, the observations that are no pictures, and reward, terminated and truncated as `Observation` has them.
    Pictures lie beside it, `NAME_STEP_observation.KEY.mp4`, environments one below the other. A thread of the
    trackers encodes and writes it all. `RecordedRun` plays it back.

    Args:
        every_steps: Environment steps (of all environments together) from the start of one stretch to the next; None
            records everything.
        length: Turns in a stretch; this many are held in memory.
        frames_per_second: Speed at which a player shows the videos.
        lossless: Keep every bit of the pictures; larger files.
        name: What the recording is called.
    """

    def __init__(
        self,
        every_steps: int | None = None,
        length: int = 200,
        frames_per_second: float = 10.0,
        lossless: bool = False,
        name: str = "recording",
    ) -> None:
        if length < 1 or (every_steps is not None and every_steps < 1):
            raise ValueError("every_steps and length of a recorder must be at least 1")
        self._length, self._rate = length, frames_per_second
        self._lossless, self._name = lossless, name
        self._steps = 0
        self._starts = Every(every_steps or 1, first=0)
        self._first = 0
        self._recording = False
        self._turns: list[dict[str, NDArray[Any]]] = []
        self._header: dict[str, Any] = {}
        self._pictures: list[str] = []
        self._finished: list[Media] = []

    def on_step(self, turn: Turn) -> None:
        """See `StepObserver`."""
        num_envs = len(turn.observation.reward)
        if not self._recording and self._starts.due(self._steps):
            self._begin(turn)
        if self._recording:
            self._take(turn)
        self._steps += num_envs
        if len(self._turns) == self._length:
            self._end()

    def teardown(self) -> None:
        """End the stretch that is being recorded."""
        self._end()

    def media(self) -> list[Media]:
        """See `StepObserver`."""
        finished, self._finished = self._finished, []
        return finished

    def state(self) -> State:
        """Where the run is; a resumed one begins a new stretch where this one was in the middle of one."""
        return {"steps": self._steps, "next_start": self._steps if self._recording else self._starts.next}

    def load_state(self, state: State) -> None:
        """See `Component`."""
        self._steps, self._starts.next = int(state["steps"]), int(state["next_start"])

    def _begin(self, turn: Turn) -> None:
        self._recording, self._first = True, self._steps
        self._starts.done(self._steps)
        if not self._header:
            environment = turn.environment
            spaces = describe_spaces(environment.observation_space, environment.action_space, environment.num_envs)
            self._pictures = [name for name, value in turn.observation.values.items() if _is_picture(value)]
            self._header = {
                "recording": VERSION, **spaces, "pictures": self._pictures, "lossless": self._lossless,
                "frames_per_second": self._rate,
            }  # fmt: skip

    def _take(self, turn: Turn) -> None:
        observation = turn.observation
        self._turns.append(
            {f"observation.{name}": value for name, value in observation.values.items()}
            | {
                "action": turn.action.copy(),
                "reward": observation.reward,
                "terminated": observation.terminated,
                "truncated": observation.truncated,
            }
        )

    def _end(self) -> None:
        if self._turns:
            pictures = [f"observation.{name}" for name in self._pictures]
            self._finished.append(
                Recording(self._name, self._first, self._header, self._turns, pictures, self._rate, self._lossless)
            )
        self._recording, self._turns = False, []


def _is_picture(value: Array) -> bool:
    return (
        value.dtype == np.uint8 and value.ndim == 4 and value.shape[-1] in (1, 3) and min(value.shape[1:3]) >= SMALLEST
    )
