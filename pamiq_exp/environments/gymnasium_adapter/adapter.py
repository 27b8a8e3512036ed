"""The adapter itself."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.current_folder import workers_forget_it
from pamiq_exp.environments.gymnasium_adapter.actions import action_map
from pamiq_exp.environments.gymnasium_adapter.lanes import (
    Env,
    Lanes,
    Outcome,
    SeparateLanes,
    VectorLanes,
    common_numbers,
    unrewarded,
)
from pamiq_exp.environments.gymnasium_adapter.observations import Part, observation_parts, picture_part
from pamiq_exp.environments.gymnasium_adapter.registry import make as make_by_id
from pamiq_exp.environments.gymnasium_adapter.registry import make_native_vector
from pamiq_exp.environments.gymnasium_adapter.snapshot import NotPlainError, Snapshot
from pamiq_exp.interaction import Array, Environment, Observation
from pamiq_exp.seeding import derive_seed

_log = logging.getLogger(__name__)

Vectorization = Literal["lanes", "async", "native"]
_VECTORIZATIONS = ("lanes", "async", "native")


class GymnasiumEnvironment(Environment):
    """Any Gymnasium environment, in as many lanes as are wanted.

    Observations become named arrays: `image` (uint8, height x width x channels) or `vector` (float32), and
    the parts of a Dict by their keys. Rewards, ends and time limits are passed on as `Observation` defines
    them; an episode's last observation is always shown.

    A checkpoint holds Gymnasium's own environments whose state is plain data (classic control, toy text)
    bit for bit. Of others it holds what they showed last: after a resume that observation is marked as
    truncated, and new episodes begin, seeded by the number of the turn (`restarts_on_resume`).

    Args:
        id: Gymnasium's id, such as `CartPole-v1`, `MiniGrid-Empty-5x5-v0` or `ALE/Pong-v5`.
        lanes: Number of copies.
        seed: Seeds the first reset of each lane; later episodes go on with the environment's own generator.
        kwargs: Arguments of `gymnasium.make`.
        make: In place of an id: what makes one environment, such as your own class.
        wrappers: Applied to each environment, the first one innermost.
        overlays: Further wrappers, around all others: noise over what is seen (the config group `overlay`).
        image_size: Resize images to this size: one number, or `[height, width]`.
        render_as_observation: Show the agent what `render` draws (`rgb_array`) in place of the observation.
        truth: Ground truth for metrics: names, and dotted paths of attributes of the innermost environment
            (`{position: agent_pos}`). Numbers in `info` are ground truth without being named.
        snapshot: Say true if all state of your own environment lies in plain attributes (numbers, arrays,
            lists, generators): then a checkpoint holds it bit for bit. Say false to save none.
        vectorization: `lanes` steps environments one after another; `async` gives each a process; `native`
            uses the vector form that some environments have.

    Raises:
        ValueError: The environment is unknown, cannot be made, or has spaces that agents cannot use.
    """

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - the name that Gymnasium's users know
        lanes: int = 1,
        seed: int = 0,
        kwargs: Mapping[str, Any] | None = None,
        make: Callable[..., Env] | None = None,
        wrappers: Sequence[Callable[[Env], Env]] = (),
        overlays: Sequence[Callable[[Env], Env]] = (),
        image_size: int | Sequence[int] | None = None,
        render_as_observation: bool = False,
        truth: Mapping[str, str] | None = None,
        snapshot: bool | None = None,
        vectorization: Vectorization = "lanes",
    ) -> None:
        if (id is None) == (make is None):
            raise ValueError("give either id (a Gymnasium id) or make (what makes an environment), not both")
        if lanes < 1:
            raise ValueError(f"lanes must be at least 1, not {lanes}")
        self.lanes = lanes
        self.name = str(id) if id is not None else getattr(make, "__name__", type(make).__name__)
        self._seed = seed
        self._truth = dict(truth or {})
        for path in self._truth.values():
            if any(name.startswith("_") for name in path.split(".")):
                raise ValueError(f"truth: '{path}' names something private")
        self._snapshot = snapshot
        self._why_not = ""
        self._render = render_as_observation
        self.private = any(getattr(overlay, "keywords", {}).get("path") for overlay in overlays)
        arguments = dict(kwargs or {}) | ({"render_mode": "rgb_array"} if render_as_observation else {})
        maker = functools.partial(make_by_id, id) if id is not None else make
        assert maker is not None
        factory = functools.partial(_wrapped, functools.partial(maker, **arguments), (*wrappers, *overlays))
        if vectorization == "native" and (wrappers or overlays):
            raise ValueError("vectorization=native makes all lanes at once, without wrappers and overlays: use lanes")
        self._lanes = _make_lanes(factory, id, lanes, arguments, vectorization)
        self.own_interval = _own_interval(self._lanes, lanes)
        self._actions = action_map(self._lanes.action_space)
        self.action_space = self._actions.space
        self._turns = 0
        self._fresh = np.ones(lanes, dtype=np.bool_)
        self._waiting: list[Any] | None = None
        self._current: Observation | None = None
        self._parts = self._make_parts(_image_size(image_size))
        self.observation_space = gymnasium.spaces.Dict({name: part.space for name, part in self._parts.items()})

    def _make_parts(self, image_size: int | tuple[int, int] | None) -> dict[str, Part]:
        if not self._render:
            return observation_parts(self._lanes.observation_space, image_size)
        self._begin()
        return {"image": picture_part(self._pictures()[0].shape, image_size)}

    @property
    def restarts_on_resume(self) -> bool:
        """Whether a resumed run starts new episodes, because the state of this environment cannot be saved."""
        return self._snapshots() is None

    def setup(self) -> None:
        self.observe()
        if self.restarts_on_resume:
            _log.info("%s: a resumed run starts new episodes (%s)", self.name, self._why_not)

    def teardown(self) -> None:
        self._lanes.close()

    def observe(self) -> Observation:
        if self._current is None:
            self._fresh = np.ones(self.lanes, dtype=np.bool_)
            self._current = self._observation(unrewarded(self._begin()))
        return self._current

    def affect(self, action: Array) -> None:
        over = self.observe().ended
        if self._waiting is not None:
            outcome = unrewarded(self._waiting)
            self._waiting = None
        else:
            outcome = self._lanes.step([self._actions.native(row) for row in action], over)
        self._turns += 1
        self._fresh = over
        self._current = self._observation(outcome)

    def ground_truth(self) -> Mapping[str, Array]:
        truth = common_numbers(self._lanes.infos())
        for name, path in self._truth.items():
            truth[name] = np.stack([np.asarray(value) for value in self._lanes.attribute(path)])
        return truth

    def _begin(self, stream: str = "") -> list[Any]:
        """Start new episodes everywhere, seeded by the root seed and `stream`."""
        # Some emulators take seeds of 31 bits only.
        seeds = [derive_seed(self._seed, f"{stream}lane {lane}") % 2**31 for lane in range(self.lanes)]
        started = self._lanes.reset(range(self.lanes), seeds)
        return [started[lane] for lane in range(self.lanes)]

    def _observation(self, outcome: Outcome) -> Observation:
        raws = self._pictures() if self._render else outcome.observations
        values: dict[str, Array] = {}
        for name, part in self._parts.items():
            values[name] = np.empty((self.lanes, *part.space.shape), dtype=part.space.dtype)
            for lane, raw in enumerate(raws):
                values[name][lane] = part.read(raw)
        return Observation(values, outcome.reward, outcome.terminated, outcome.truncated)

    def _pictures(self) -> list[NDArray[np.uint8]]:
        pictures = [np.asarray(picture) for picture in self._lanes.render()]
        if not pictures or any(picture.ndim != 3 or picture.dtype != np.uint8 for picture in pictures):
            raise ValueError(f"{self.name} does not render pictures (render_mode rgb_array)")
        return pictures

    def _snapshots(self) -> list[Snapshot] | None:
        if self._snapshot is False:
            self._why_not = "snapshot is false"
            return None
        try:
            return self._lanes.snapshots(any_class=self._snapshot is True)
        except NotPlainError as reason:
            self._why_not = str(reason)
            return None

    def state(self) -> State:
        current = self.observe()
        snapshots = self._snapshots()
        return {
            "turns": self._turns,
            "fresh": self._fresh,
            "values": dict(current.values),
            "reward": current.reward,
            "terminated": current.terminated,
            "truncated": current.truncated,
            "snapshots": None if snapshots is None else [dict(snapshot) for snapshot in snapshots],
        }

    def load_state(self, state: State) -> None:
        saved: dict[str, Any] = dict(state)
        self._turns = int(saved["turns"])
        self._fresh = np.asarray(saved["fresh"], dtype=np.bool_)
        values = {name: np.asarray(value) for name, value in saved["values"].items()}
        reward = np.asarray(saved["reward"], dtype=np.float32)
        terminated = np.asarray(saved["terminated"], dtype=np.bool_)
        truncated = np.asarray(saved["truncated"], dtype=np.bool_)
        self._waiting = None
        if saved["snapshots"] is not None:
            self._lanes.restore(saved["snapshots"])
        else:
            raws = self._begin(f"resumed at {self._turns}, ")
            started = self._observation(unrewarded(raws)).values
            restarted = np.ones_like(self._fresh)
            if self._lanes.resets_alone:
                restarted = ~self._fresh  # a lane that had just begun an episode begins another: nobody is harmed
                for name in values:
                    values[name] = np.where(_like(self._fresh, values[name]), started[name], values[name])
            else:
                self._waiting = raws
            truncated = truncated | (restarted & ~terminated)
        self._current = Observation(values, reward, terminated, truncated)


def _like(mask: NDArray[np.bool_], array: Array) -> NDArray[np.bool_]:
    return mask.reshape(-1, *(1,) * (array.ndim - 1))


def _image_size(size: int | Sequence[int] | None) -> int | tuple[int, int] | None:
    if size is None or isinstance(size, int):
        return size
    if len(size) != 2:
        raise ValueError(f"image_size must be one number or [height, width], not {list(size)}")
    return int(size[0]), int(size[1])


def _wrapped(make: Callable[[], Env], wrappers: Sequence[Callable[[Env], Env]]) -> Env:
    environment = make()
    for wrapper in wrappers:
        environment = wrapper(environment)
    return environment


def _own_interval(environments: Lanes, lanes: int) -> float | None:
    """Return the seconds of a step of an environment of rtgym, which keeps time itself; None for any other.

    Raises ValueError for several lanes of one: each would wait for its own clock in turn.
    """
    try:
        home, seconds = (environments.attribute(name)[0] for name in ("__module__", "time_step_duration"))
    except (AttributeError, ValueError):
        return None
    if not home.startswith("rtgym"):
        return None
    if lanes > 1:
        raise ValueError("an environment that keeps its own time can have one lane only: set lanes to 1")
    return float(seconds)


def _make_lanes(
    factory: Callable[[], Env], known_id: str | None, lanes: int, arguments: Mapping[str, Any], vectorization: str
) -> Lanes:
    if vectorization == "lanes":
        return SeparateLanes(factory, lanes)
    if vectorization == "async":
        autoreset = gymnasium.vector.AutoresetMode.NEXT_STEP
        with workers_forget_it():
            return VectorLanes(gymnasium.vector.AsyncVectorEnv([factory] * lanes, autoreset_mode=autoreset))
    if vectorization == "native" and known_id is not None:
        return VectorLanes(make_native_vector(known_id, lanes, **arguments))
    raise ValueError(
        f"vectorization must be one of {', '.join(_VECTORIZATIONS)} (native: with an id), not '{vectorization}'"
    )
