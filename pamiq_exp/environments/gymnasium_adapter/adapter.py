"""Gymnasium environments as environments of this package."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.environments.gymnasium_adapter.actions import action_map
from pamiq_exp.environments.gymnasium_adapter.brightness import is_brightness, may_be_symbols, symbols_warning
from pamiq_exp.environments.gymnasium_adapter.copies import (
    Copies,
    LocalCopies,
    Outcome,
    VectorCopies,
    VectorEnv,
    common_numbers,
    unrewarded,
)
from pamiq_exp.environments.gymnasium_adapter.copy import BadEnvironmentError, CopyMaker, Env, noop_action, own_interval
from pamiq_exp.environments.gymnasium_adapter.observations import (
    Channels,
    Reading,
    Space,
    observation_parts,
    picture_part,
)
from pamiq_exp.environments.gymnasium_adapter.positions import known_truth
from pamiq_exp.environments.gymnasium_adapter.processes import ProcessCopies
from pamiq_exp.environments.gymnasium_adapter.registry import find, make_native_vector
from pamiq_exp.environments.gymnasium_adapter.registry import make as make_by_id
from pamiq_exp.environments.gymnasium_adapter.snapshot import NotPlainError, Snapshot
from pamiq_exp.environments.gymnasium_adapter.wrappers import RepeatedAction
from pamiq_exp.interaction import Array, Environment, Observation
from pamiq_exp.seeding import derive_seed

_log = logging.getLogger(__name__)

Vectorization = Literal["sync", "async", "native"]
_VECTORIZATIONS = ("sync", "async", "native")


class GymnasiumEnvironment(Environment):
    """Any Gymnasium environment, in `num_envs` copies.

    Observations become named arrays: `image` (uint8, height x width x channels) or `vector` (float32), and
    the parts of a Dict by their keys, with the bounds that the environment declares. Rewards, ends and time limits
    follow `Observation`; an episode's last observation is always observed.

    To learn its spaces, one environment is made and closed at once. Those that are acted in are made by `setup`, on
    the thread that calls it, and are reset, stepped and closed there (with `vectorization=async` in processes).

    A checkpoint holds Gymnasium's own environments whose state is plain data (classic control, toy text) bit for bit.
    Of others it holds the last observation and the state of their wrappers, such as running means. After a resume that
    observation is marked as truncated, and new episodes begin, seeded by the number of the turn
    (`restarts_on_resume`).

    Args:
        id: Gymnasium's id, such as `CartPole-v1`, `MiniGrid-Empty-5x5-v0` or `ALE/Pong-v5`; with the package that
            registers it before a colon, `highway_env:highway-v0`, if that is trusted (`--allow highway_env`).
        num_envs: Number of copies.
        seed: Seeds the first reset of each copy; later episodes go on with the environment's own generator.
        kwargs: Arguments of `gymnasium.make`.
        make: In place of an id: a function or class that makes one environment.
        wrappers: Applied to each environment, the first one innermost.
        overlays: Further wrappers, around all others: noise over observations (the config group `overlay`).
        image_size: Resize images to this size: one number, or `[height, width]`.
        render_as_observation: Observe what `render` draws (`rgb_array`) in place of the environment's observation.
        truth: Ground truth for metrics: names, and dotted paths of attributes of the innermost environment
            (`{speed: body.velocity}`). Numbers in `info`, and `position` and `heading` of MiniGrid and MiniWorld, are
            ground truth without being named. What an environment does not have is left out.
        snapshot: Say true if all state of your own environment lies in plain attributes (numbers, arrays,
            lists, generators): then a checkpoint holds it bit for bit. Say false to save none.
        vectorization: `sync` steps environments one after another; `async` gives each a process; `native`
            uses the vector form that some environments have.
        channels: Where images have their channels, `last` or `first`; null reads it off their shape.
        numbered: Arguments that differ between copies, and their value for copy 0: `{port: 5000}` gives copy 3 the
            port 5003.

    Raises:
        ValueError: The environment is unknown, cannot be made, or has spaces that agents cannot use.
    """

    def __init__(
        self,
        id: str | None = None,  # noqa: A002 - the name that Gymnasium's users know
        num_envs: int = 1,
        seed: int = 0,
        kwargs: Mapping[str, Any] | None = None,
        make: Callable[..., Env] | None = None,
        wrappers: Sequence[Callable[[Env], Env]] = (),
        overlays: Sequence[Callable[[Env], Env]] = (),
        image_size: int | Sequence[int] | None = None,
        render_as_observation: bool = False,
        truth: Mapping[str, str] | None = None,
        snapshot: bool | None = None,
        vectorization: Vectorization = "sync",
        channels: Channels | None = None,
        numbered: Mapping[str, int] | None = None,
    ) -> None:
        if (id is None) == (make is None):
            raise ValueError(
                "give either id (a Gymnasium id) or make (a function or class), and not both: to use make, set "
                "environment.id=null"
            )
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, not {num_envs}")
        if vectorization not in _VECTORIZATIONS:
            raise ValueError(f"vectorization must be one of {', '.join(_VECTORIZATIONS)}, not '{vectorization}'")
        if vectorization == "native" and (make or wrappers or overlays or numbered):
            raise ValueError(
                "vectorization=native makes all copies at once, by an id, without wrappers, overlays and numbered "
                "arguments: use vectorization=sync"
            )
        self._truth = dict(truth or {})
        for path in self._truth.values():
            if any(name.startswith("_") for name in path.split(".")):
                raise ValueError(f"truth: '{path}' names a private attribute")
        arguments = dict(kwargs or {}) | ({"render_mode": "rgb_array"} if render_as_observation else {})
        if both := sorted((numbered or {}).keys() & arguments.keys()):
            raise ValueError(f"numbered: '{both[0]}' is in kwargs as well: remove it there")
        self.num_envs = num_envs
        self.name = str(id) if id is not None else _name_of(make)
        self._seed = seed
        self._snapshot = snapshot
        self._why_not = ""
        self._render = render_as_observation
        self._vectorization = vectorization
        self.private = any(getattr(overlay, "keywords", {}).get("path") for overlay in overlays)
        self._found = find(id) if id is not None else None
        maker = make if self._found is None else functools.partial(make_by_id, self._found)
        assert maker is not None
        self._maker = CopyMaker(maker, arguments, dict(numbered or {}), (*wrappers, *overlays), self.name)
        self._channels, self._image_size = channels, _image_size(image_size)
        self._copies: Copies | None = None
        self._unwarned = {"bounds", "dark", *self._truth}
        reading = self._look()
        self._parts, self._notes = reading.parts, reading.notes
        self.observation_space = gymnasium.spaces.Dict({name: part.space for name, part in self._parts.items()})
        self.action_space = self._actions.space
        self._turns = 0
        self._fresh = np.ones(num_envs, dtype=np.bool_)
        self._waiting: list[Any] | None = None
        self._current: Observation | None = None

    def _look(self) -> Reading:
        """Read the spaces off environments that are made for it and closed at once."""
        if self._vectorization == "native":
            vector = self._make_vector()
            try:
                return self._read(vector.single_observation_space, vector.single_action_space, VectorCopies(vector))
            finally:
                vector.close()
        only = LocalCopies(self._maker, 1)
        try:
            environment = only.copies[0].environment
            self.own_interval = own_interval(only.copies[0], self.num_envs)
            self.noop_action = noop_action(only.copies[0])
            self._truth = known_truth(only) | self._truth
            reading = self._read(environment.observation_space, environment.action_space, only)
            self._maker = dataclasses.replace(self._maker, space=environment.observation_space)
            return reading
        finally:
            only.close()

    def _read(self, observation_space: Space, action_space: Space, copies: Copies) -> Reading:
        self._actions = action_map(action_space)
        if not self._render:
            reading = observation_parts(observation_space, self._image_size, self._channels)
            self._note_brightness(reading, copies)
            return reading
        copies.reset(self._seeds()[: copies.count])
        return Reading({"image": picture_part(self._pictures(copies)[0].shape, self._image_size)})

    def _note_brightness(self, reading: Reading, copies: Copies) -> None:
        """Note how far the first pictures of a copy reach that is made to be looked at."""
        pictures = {name: part for name, part in reading.parts.items() if is_brightness(part.space)}
        if not pictures:
            return
        with suppress(Exception):  # it raises again in the run, where it is reported
            raw, *_ = copies.reset(self._seeds()[: copies.count])
            for name, part in pictures.items():
                most = int(np.max(part.read(raw)))
                reached = f"{name}: reaches {most} at first"
                reading.notes.append(symbols_warning(name, most) if may_be_symbols(most) else reached)

    def _make_vector(self) -> VectorEnv:
        assert self._found is not None
        return make_native_vector(self._found, self.num_envs, **self._maker.arguments)

    def _made(self) -> Copies:
        """Return the environments; make them on the first call, which has to come from the thread that uses them."""
        if self._copies is None:
            if self._vectorization == "native":
                self._copies = VectorCopies(self._make_vector())
            elif self._vectorization == "async":
                self._copies = ProcessCopies(self._maker, self.num_envs, self.name)
            else:
                self._copies = LocalCopies(self._maker, self.num_envs)
        return self._copies

    def notes(self) -> list[str]:
        return [*self._notes, *self._actions.notes]

    @property
    def restarts_on_resume(self) -> bool:
        """Whether a resumed run starts new episodes, because the state of this environment cannot be saved."""
        self.observe()
        return self._snapshots() is None

    def setup(self) -> None:
        self.observe()
        for note in self.notes():
            _log.info("%s: %s", self.name, note)
        if self.restarts_on_resume:
            _log.info("%s: a resumed run starts new episodes (%s)", self.name, self._why_not)
            lost = sorted({name for _, names in self._made().statistics() for name in names})
            if lost:
                message = "%s: a checkpoint does not hold %s, which is not plain data: a resumed run starts without it"
                _log.warning(message, self.name, ", ".join(lost))

    def teardown(self) -> None:
        copies, self._copies, self._current = self._copies, None, None
        if copies is not None:
            copies.close()

    def observe(self) -> Observation:
        if self._current is None:
            self._fresh = np.ones(self.num_envs, dtype=np.bool_)
            self._current = self._observation(unrewarded(self._begin()))
        return self._current

    def affect(self, action: Array) -> None:
        over = self.observe().ended
        if self._waiting is not None:
            outcome = unrewarded(self._waiting)
            self._waiting = None
        else:
            outcome = self._made().step([self._actions.native(row) for row in action], over)
        self._turns += 1
        self._fresh = over
        self._current = self._observation(outcome)

    def ground_truth(self) -> Mapping[str, Array]:
        self.observe()
        truth = common_numbers(self._made().infos())
        for name, path in self._truth.items():
            try:
                values = np.stack([np.asarray(value) for value in self._made().attribute(path)])
            except (AttributeError, ValueError) as error:
                self._warn_once(name, f"truth.{name} is left out: {path} cannot be read: {error}")
                continue
            if values.dtype.kind in "biuf":
                truth[name] = values
            else:
                self._warn_once(name, f"truth.{name} is left out: {path} is not a number")
        return truth

    def repeat_actions(self, times: int) -> bool:
        if self._vectorization == "native":
            return False
        repeat = functools.partial(RepeatedAction, times=times)
        self._maker = dataclasses.replace(self._maker, wrappers=(*self._maker.wrappers, repeat))
        return True

    def render(self) -> Array | None:
        if self._maker.arguments.get("render_mode") != "rgb_array":
            return None
        self.observe()
        return np.stack(self._pictures(self._made()))

    def _warn_once(self, key: str, message: str) -> None:
        if key in self._unwarned:
            self._unwarned.discard(key)
            _log.warning("%s: %s", self.name, message)

    def _seeds(self, stream: str = "") -> list[int]:
        # Some emulators take seeds of 31 bits only.
        return [derive_seed(self._seed, f"{stream}environment {index}") % 2**31 for index in range(self.num_envs)]

    def _begin(self, stream: str = "") -> list[Any]:
        """Start new episodes everywhere, seeded by the root seed and `stream`."""
        return self._made().reset(self._seeds(stream))

    def _observation(self, outcome: Outcome) -> Observation:
        raws = self._pictures(self._made()) if self._render else outcome.observations
        values: dict[str, Array] = {}
        for name, part in self._parts.items():
            values[name] = np.empty((self.num_envs, *part.space.shape), dtype=part.space.dtype)
            for index, raw in enumerate(raws):
                row = part.read(raw)
                if row.shape != part.space.shape:
                    raise BadEnvironmentError(
                        f"{self.name}, copy {index}, turn {self._turns}: the part {name} of the observation has the "
                        f"shape {row.shape}, expected {part.space.shape} as declared"
                    )
                values[name][index] = row
        if "bounds" in self._unwarned and self._turns < 2:
            self._compare_bounds(values)
        return Observation(values, outcome.reward, outcome.terminated, outcome.truncated)

    def _compare_bounds(self, values: Mapping[str, Array]) -> None:
        """Warn of numbers beyond the declared bounds, by which models scale what they see."""
        for name, part in self._parts.items():
            array, low, high = values[name], part.space.low, part.space.high
            if ((array < low) | (array > high)).any():
                self._warn_once(
                    "bounds",
                    f"the part {name} of the observation reaches from {array.min():g} to {array.max():g}, beyond the "
                    f"bounds that are declared ({low.min():g} to {high.max():g}) and by which models scale it",
                )
            elif is_brightness(part.space) and may_be_symbols(int(array.max())):
                self._warn_once("dark", symbols_warning(name, int(array.max())))

    def _pictures(self, copies: Copies) -> list[NDArray[np.uint8]]:
        pictures = [np.asarray(picture) for picture in copies.render()]
        if not pictures or any(picture.ndim != 3 or picture.dtype != np.uint8 for picture in pictures):
            raise ValueError(f"{self.name} does not render pictures (render_mode rgb_array)")
        return pictures

    def _snapshots(self) -> list[Snapshot] | None:
        if self._snapshot is False:
            self._why_not = "snapshot is false"
            return None
        try:
            return self._made().snapshots(any_class=self._snapshot is True)
        except NotPlainError as reason:
            self._why_not = str(reason)
            return None

    def state(self) -> State:
        current = self.observe()
        snapshots = self._snapshots()
        statistics = [] if snapshots is not None else [saved for saved, _ in self._made().statistics()]
        return {
            "turns": self._turns,
            "fresh": self._fresh,
            "values": dict(current.values),
            "reward": current.reward,
            "terminated": current.terminated,
            "truncated": current.truncated,
            "snapshots": None if snapshots is None else [dict(snapshot) for snapshot in snapshots],
            "statistics": [dict(saved) for saved in statistics],
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
            self._made().restore(saved["snapshots"])
        else:
            self._made().restore(saved["statistics"])  # before the resets, which begin anew what belongs to an episode
            raws = self._begin(f"resumed at {self._turns}, ")
            started = self._observation(unrewarded(raws)).values
            restarted = np.ones_like(self._fresh)
            if self._made().resets_alone:
                restarted = ~self._fresh  # a copy that had just begun an episode begins another: nothing is lost
                for name in values:
                    values[name] = np.where(_like(self._fresh, values[name]), started[name], values[name])
            else:
                self._waiting = raws
            truncated = truncated | (restarted & ~terminated)
        self._current = Observation(values, reward, terminated, truncated)


def _like(mask: NDArray[np.bool_], array: Array) -> NDArray[np.bool_]:
    return mask.reshape(-1, *(1,) * (array.ndim - 1))


def _name_of(make: object) -> str:
    return (
        _name_of(make.func) if isinstance(make, functools.partial) else getattr(make, "__name__", type(make).__name__)
    )


def _image_size(size: int | Sequence[int] | None) -> int | tuple[int, int] | None:
    if size is None or isinstance(size, int):
        return size
    if len(size) != 2:
        raise ValueError(f"image_size must be one number or [height, width], not {list(size)}")
    return int(size[0]), int(size[1])
