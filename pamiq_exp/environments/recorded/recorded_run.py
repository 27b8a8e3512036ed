"""A recorded run as an environment."""

from __future__ import annotations

from collections.abc import Mapping

from pamiq_exp.component import State
from pamiq_exp.environments.recorded.reader import VideoReader
from pamiq_exp.interaction import Array, Environment, Observation
from pamiq_exp.recording.reader import read_recording
from pamiq_exp.spaces import ArraySpec, action_space_of, observation_space_of


class RecordedRun(Environment):
    """Plays back what `RunRecorder` recorded of a run: the same observations, rewards and ends, in the same
    environments.

    What is done has no effect: let `PlaybackAgent` do what was done then, so that observations and actions belong
    together. After the last turn, and where the recording has a gap, the episode is truncated; then it goes on with
    the next stretch, at the end with the first.

    Args:
        path: The run folder, or the folder that the recording lies in.
        name: What the recording is called.

    Raises:
        ValueError: There is no recording, or it is damaged.
    """

    private = True

    def __init__(self, path: str, name: str = "recording") -> None:
        self._life = read_recording(path, name)
        self.num_envs = self._life.num_envs
        self.observation_space = observation_space_of(self._life.observation)
        self.action_space = action_space_of(self._life.action)
        self._readers: dict[str, VideoReader] = {}
        self._stretch, self._turn = 0, 0
        self._current: Observation | None = None

    @property
    def turns(self) -> int:
        """Number of turns that were recorded."""
        return sum(stretch.turns for stretch in self._life.stretches)

    def observe(self) -> Observation:
        """See `Environment`."""
        if self._current is None:
            self._current = self._read()
        return self._current

    def affect(self, action: Array) -> None:
        """Go on to the next turn, whatever the action."""
        self._turn += 1
        if self._turn == self._life.stretches[self._stretch].turns:
            self._turn = 0
            self._stretch = (self._stretch + 1) % len(self._life.stretches)
            self._close()
        self._current = None

    def ground_truth(self) -> Mapping[str, Array]:
        """The action that was taken then, `recorded_action`."""
        return {"recorded_action": self._life.stretches[self._stretch].fields["action"][self._turn]}

    def teardown(self) -> None:
        """Let the files go."""
        self._close()

    def state(self) -> State:
        """Which turn is shown."""
        return {"stretch": self._stretch, "turn": self._turn}

    def load_state(self, state: State) -> None:
        """See `Component`."""
        self._stretch, self._turn = int(state["stretch"]), int(state["turn"])
        self._current = None
        self._close()

    def _close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers = {}

    def _read(self) -> Observation:
        stretch, turn = self._life.stretches[self._stretch], self._turn
        values = {
            name: self._picture(name, spec) if name in stretch.videos else stretch.fields[f"observation.{name}"][turn]
            for name, spec in self._life.observation.items()
        }
        terminated, truncated = (stretch.fields[name][turn] for name in ("terminated", "truncated"))
        if turn + 1 == stretch.turns and not self._life.complete[self._stretch]:
            truncated = ~terminated
        return Observation(values, stretch.fields["reward"][turn], terminated, truncated)

    def _picture(self, name: str, spec: ArraySpec) -> Array:
        path = self._life.stretches[self._stretch].videos[name]
        if name not in self._readers:
            self._readers[name] = VideoReader(path)
        frame = self._readers[name].frame(self._turn)
        height, width, channels = spec["shape"]
        if frame is None or frame.shape[0] < self.num_envs * height or frame.shape[1] < width:
            raise ValueError(
                f"{path} does not hold what its recording says: frame {self._turn} is missing or too small"
            )
        # Codecs want even sizes: what was added at the edges is cut off.
        return frame[: self.num_envs * height, :width, :channels].reshape(self.num_envs, height, width, channels).copy()
