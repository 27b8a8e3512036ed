"""The noise world: a first-person world whose walls and floors may show unpredictable pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.environments.noise_world import drawing, moving, rendering, things
from pamiq_exp.environments.noise_world.actions import REMOTE, ActionSet
from pamiq_exp.environments.noise_world.maps import load_map, reachable_cells
from pamiq_exp.environments.noise_world.options import (
    ImageOptions,
    NoiseOptions,
    at_least,
    check_world,
    from_mapping,
    one_of,
)
from pamiq_exp.environments.noise_world.renderers import MotionOnly, make_renderer
from pamiq_exp.environments.noise_world.scene import Stage, build_stage, make_camera, with_screen
from pamiq_exp.environments.noise_world.starts import env_keys, starting_agents
from pamiq_exp.environments.noise_world.sticky import StickyActions
from pamiq_exp.environments.noise_world.surfaces import Surfaces, choose_noisy_tiles
from pamiq_exp.environments.noise_world.truth import GroundTruth, share_of_noise
from pamiq_exp.environments.noise_world.turns import EnvStates, Setting
from pamiq_exp.interaction import Array, Environment, Observation, continual

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

CELL = 0.25
"""Side of the square cells in which coverage is counted, in meters."""


class NoiseWorld(Environment):
    """First-person world of rooms, in `num_envs` independent copies.

    The world is continual (no reward, and no end without `episode_steps`) and changes only in `affect`, by `dt`
    seconds. It observes `image`, `(num_envs, image_size, image_size, 3)` uint8, and with `odometry` also `odometry`,
    `(num_envs, 2)` float32. `ActionSet` defines the actions. All environments share the map; each has its own agent,
    things and noise.

    Args:
        map: Name of a map (`rooms9`, `room`, `corridor`), path of a text file, or the drawing itself.
        noise: See `NoiseOptions`.
        images: See `ImageOptions`.
        materials: Look of surfaces without noise: `rooms` (different in each room) or `plain` (one color).
        open_sky: Clouds instead of a ceiling.
        wall_height: Whole meters.
        start: `map` (as drawn), `random` (anywhere, by seed), or x, y and heading in degrees.
        actions: `branches`, `masked` or `discrete`, see `ActionSet`.
        sticky: Probability that the last action is repeated instead of the new one.
        speed, turn_speed: Meters and degrees per second.
        lag: Time constant with which speeds follow commands, in seconds; 0 is at once.
        agent_radius, eye_height: Meters; the radius is at most 0.5.
        image_size, field_of_view: Pixels per side, and degrees.
        odometry: Observe also how far the agent has come from where its episode started, by its own steps: to the east
            and south in meters, without drift.
        gates_open_at: Seconds after which the gates of the map open; None keeps them closed.
        episode_steps: Steps after which an episode is truncated and agents and things start anew; None for no
            episodes. World time continues across episodes.
        dt: Seconds of world time for each step.
        renderer: `numba` (compiled, for processors) or `torch` (batched, for thousands of environments on a GPU).
        threads: Threads of the compiled renderer, which share the environments.
        device: Device of the batched renderer.
        num_envs: Number of copies.
        seed: Of everything random.

    Raises ValueError for invalid values, with the nearest valid one.
    """

    observation_space: gymnasium.spaces.Dict

    def __init__(
        self,
        map: str = "rooms9",  # noqa: A002 (the natural name of the config key)
        noise: Mapping[str, Any] | NoiseOptions | None = None,
        images: Mapping[str, Any] | ImageOptions | None = None,
        materials: str = "rooms",
        open_sky: bool = False,
        wall_height: int = 3,
        start: str | Sequence[float] = "map",
        actions: str = "branches",
        sticky: float = 0.0,
        speed: float = 2.5,
        turn_speed: float = 150.0,
        lag: float = 0.0,
        agent_radius: float = 0.25,
        eye_height: float = 1.32,
        image_size: int = 64,
        field_of_view: float = 60.0,
        odometry: bool = False,
        gates_open_at: float | None = None,
        episode_steps: int | None = None,
        dt: float = 0.1,
        renderer: str = "numba",
        threads: int = 1,
        device: str = "cpu",
        num_envs: int = 1,
        seed: int = 0,
    ) -> None:
        check_world(
            materials, wall_height, eye_height, agent_radius, image_size, field_of_view, dt, num_envs, lag, sticky
        )
        at_least(threads, 1, "environment.threads")
        if episode_steps is not None:
            at_least(episode_steps, 1, "environment.episode_steps")
        self._renderer = make_renderer(renderer, threads, device)
        self.noise = from_mapping(NoiseOptions, noise, "environment.noise")
        image_options = from_mapping(ImageOptions, images, "environment.images")
        self.num_envs, self.dt, self.image_size = num_envs, dt, image_size
        self.private = image_options.source == "folder"
        self.has_rewards, self.has_episodes = False, episode_steps is not None
        self.map = load_map(map)
        self.surfaces = Surfaces(self.map, wall_height)
        self.gates_open_at = gates_open_at
        self.eye_height = eye_height
        self._has_remote = self.noise.control == "remote"
        self.actions = ActionSet(actions, self._has_remote)
        self.action_space = self.actions.space
        picture = gymnasium.spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
        self.observation_space = gymnasium.spaces.Dict({"image": picture})
        if odometry:
            self.observation_space["odometry"] = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
        ceiling = 24.0 if open_sky else float(wall_height)
        self._camera = make_camera(image_size, field_of_view, eye_height, ceiling, self.surfaces, image_options.size)
        self._stage = self._build_stage(image_options, materials == "plain", open_sky, ceiling, seed)
        motion = moving.motion_of(dt, speed, turn_speed, lag, agent_radius)
        self._stick = StickyActions(sticky, seed, num_envs)
        solid = self.map.solid if gates_open_at is None else self.map.solid & ~self.map.gates
        self.reachable = reachable_cells(solid, self.map.start[:2], agent_radius, CELL)
        self._step = 0
        self.episode_steps = episode_steps
        self._start, self._seed = start, seed
        self._tracks = things.ball_tracks(self.map)
        self._presses = np.zeros(num_envs, dtype=np.int64)
        self._envs = self._make_envs(seed)
        self._origins = self._positions() if odometry else None
        sources = drawing.join_sources([source.source for source in self._stage.sources])
        parts = self._envs, self._stage.closed, self._camera, motion, self.map.solid, self.actions.meanings
        self._closed = Setting(*parts, sources, self._stage.bases, self._stage.stride, float(eye_height))
        self._opened = replace(self._closed, scene=self._stage.opened, solid=self.map.solid & ~self.map.gates)
        self._views: rendering.Views | None = None
        self._measured = False
        self._noisy_rooms = self._find_noisy_rooms()
        self._truths = self._make_truths()

    def _make_envs(self, seed: int) -> EnvStates:
        units = self.surfaces.tiles + 1 if self.noise.control == "gaze" else 1
        return EnvStates(
            actions=np.zeros((self.num_envs, self.actions.choices.size), dtype=np.int64),
            commands=np.zeros((self.num_envs, 6), dtype=np.int64),
            agents=self._starting_agents(),
            poses=np.empty((self.num_envs, 5)),
            things=things.starting_places(self.map, self.num_envs),
            bases=np.tile(self._stage.bases, (self.num_envs, 1)),
            ticks=np.zeros((len(self._stage.sources), self.num_envs, 1), dtype=np.int32),
            glimpses=np.zeros((self.num_envs, units), dtype=np.int32),
            keys=env_keys(seed, "noise", self.num_envs),
        )

    def _starting_agents(self) -> Floats:
        episode = self._step // (self.episode_steps + 1) if self.episode_steps is not None else 0
        return starting_agents(self._start, self.map, self.reachable, CELL, self.num_envs, self._seed, episode)

    def _build_stage(self, images: ImageOptions, plain: bool, open_sky: bool, ceiling: float, seed: int) -> Stage:
        stage = build_stage(
            self.surfaces,
            choose_noisy_tiles(self.surfaces, self.noise, seed),
            self.noise,
            images,
            plain=plain,
            ceiling_height=ceiling,
            open_sky=open_sky,
            pixel_angle=float(self._camera.column[1] - self._camera.column[0]),
            time_step=self.dt,
            seed=seed,
        )
        return with_screen(stage, self.noise.overlay, self.image_size)

    def setup(self) -> None:
        """Compile (or load) the inner loops, so that no step waits for that."""
        self._look()

    def teardown(self) -> None:
        self._renderer.close()

    @property
    def gates_are_open(self) -> bool:
        return self.gates_open_at is not None and self._step * self.dt >= self.gates_open_at

    @property
    def _setting(self) -> Setting:
        self._stage.paint()
        return self._opened if self.gates_are_open else self._closed

    @property
    def _is_over(self) -> bool:
        return self.episode_steps is not None and self._step % (self.episode_steps + 1) == self.episode_steps

    def observe(self) -> Observation:
        values: dict[str, Array] = {"image": self._look().frame}
        if self._origins is not None:
            values["odometry"] = (self._positions() - self._origins).astype(np.float32)
        seen = continual(values)
        return replace(seen, truncated=np.ones(self.num_envs, dtype=np.bool_)) if self._is_over else seen

    def affect(self, action: Array) -> None:
        action = np.asarray(action, dtype=np.int64)
        self.actions.check(action, self.num_envs)
        if self._is_over:
            self._begin_episode()
            return
        if self.noise.control == "gaze":
            self._count_glimpses()
        self._envs.actions[:] = self._stick(action, self._envs.actions, self._step)
        if self._has_remote:
            self._presses += self.actions.commands(self._envs.actions)[:, REMOTE]
        setting = self._setting
        self._step += 1
        self._views = self._turn(setting, moves=True)
        self._measured = False
        if setting is not self._setting:
            self._views = None  # The gates have just opened; the views show them closed.

    def _begin_episode(self) -> None:
        self._step += 1
        self._place_at_rest(self._starting_agents())
        self._envs.commands[:] = 0
        self._envs.things[:] = things.starting_places(self.map, self.num_envs)

    def _positions(self) -> Floats:
        """East and south of the north-west corner, in meters, `(num_envs, 2)`."""
        return self._envs.agents[:, [moving.X, moving.Y]]

    def _place_at_rest(self, agents: Floats) -> None:
        """Set the state of all agents, at rest. Their views are rendered when they are needed."""
        self._envs.agents[:] = agents
        if self._origins is not None:
            self._origins = self._positions()
        self._envs.actions[:] = 0
        self._views = None

    def place(self, poses: Array) -> bool:
        """See the base class. Raises ValueError for a pose in a wall."""
        if poses.shape[0] != self.num_envs or poses.shape[1] < 3:
            raise ValueError(f"place: poses must be ({self.num_envs}, 3), not {poses.shape}")
        self._check_free(poses, "place")
        agents = np.zeros((self.num_envs, moving.AGENT_SIZE))
        agents[:, [moving.X, moving.Y]] = poses[:, :2]
        agents[:, moving.HEADING] = np.degrees(poses[:, 2]) % 360.0
        self._place_at_rest(agents)
        return True

    def _check_free(self, poses: Array, who: str) -> None:
        if self._setting.solid[poses[:, 1].astype(int), poses[:, 0].astype(int)].any():
            raise ValueError(f"{who}: a pose is in a wall")

    def stop_rendering(self) -> None:
        """See the base class. Where noise changes only while seen, views are still rendered."""
        if self.noise.control != "gaze":
            self._renderer.close()
            self._renderer = MotionOnly()

    def keyboard(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        return self.actions.keyboard()

    def _count_glimpses(self) -> None:
        for source in self._stage.sources:
            if source.ticks(self._step + 1) > source.ticks(self._step):
                unit = np.full(self.surfaces.tiles + 1, -1, dtype=np.int32)
                unit[source.source.tiles] = source.source.units
                seen = np.zeros(self._envs.glimpses.shape, dtype=np.bool_)
                drawing.mark_seen(self._look(measured=True).tile, unit, seen)
                np.add(self._envs.glimpses, seen, out=self._envs.glimpses)

    def _turn(self, setting: Setting, *, moves: bool) -> rendering.Views:
        """Take one turn in all environments and render their views, in full if metrics read the last ones."""
        for index, source in enumerate(self._stage.sources):
            self._envs.ticks[index, :, 0] = self._presses if self._has_remote else source.ticks(self._step)
        if self._tracks.size:
            things.roll(self._envs.things, self._tracks, self._step * self.dt)
        return self._renderer.turn(setting, moves=moves, measured=self._measured)

    def _look(self, *, measured: bool = False) -> rendering.Views:
        self._measured |= measured
        if self._views is None or (measured and not self._views.tile.size):
            self._views = self._turn(self._setting, moves=False)
        return self._views

    def render_at(self, poses: Array, noise: str = "now") -> NDArray[np.uint8]:
        """Return views from any poses, `(n, image_size, image_size, 3)` uint8; the world does not change.

        Args:
            poses: x, y (meters), heading (radians) and, if there are four columns, eye height, `(n, 3 or 4)`.
            noise: `now` (the noise of environment 0 now) or `clean` (the same views without noise).

        Raises ValueError for a pose in a wall.
        """
        one_of(noise, ("now", "clean"), "noise of render_at")
        self._check_free(poses, "render_at")
        height = poses[:, 3] if poses.shape[1] > 3 else np.full(len(poses), self.eye_height)
        cameras = np.stack([poses[:, 0], poses[:, 1], np.cos(poses[:, 2]), np.sin(poses[:, 2]), height], axis=1)
        self._look()
        envs, first = self._envs, np.zeros(len(poses), dtype=np.int64)
        return self._render(cameras, envs.things[first], envs.bases[first], clean=noise == "clean")

    def _render(self, cameras: Floats, state: Floats, bases: Ints, *, clean: bool) -> NDArray[np.uint8]:
        scene = self._setting.scene
        if clean:
            screen = scene.screen[0]
            bases = np.concatenate([np.tile(self._stage.bases[:screen], (len(bases), 1)), bases[:, screen:]], axis=1)
            scene = scene._replace(screen=(screen, -1, -1))
        return self._renderer.render(scene, self._camera, cameras, state, bases)

    def ground_truth(self) -> GroundTruth:
        """Return the ground truth before the next action, computed when it is read.

        pose: x, y (meters), heading (radians clockwise from east), eye height, `(num_envs, 4)` float64.
        room: Number of the room, -1 outside rooms, `(num_envs,)` int32; `room_count`: how many there are, `()`.
        noisy_room: Whether that room holds unpredictable noise, `(num_envs,)` bool.
        reachable: Which 0.25 m cells an agent can reach, `(rows, columns)` bool; constant.
        command: Command of the last step: forward, right, clockwise as -1, 0, 1, jump, run, remote, `(num_envs, 6)`.
        presses: Presses of the remote so far, `(num_envs,)`; only where there is one.
        noise_mask: Unpredictable pixels, `(num_envs, height, width)` bool.
        noise_share: The share of those pixels, `(num_envs,)` float64.
        flicker_mask: Pixels whose image changes by itself, `(num_envs, height, width)` bool.
        clean_image: The same views without noise, `(num_envs, height, width, 3)` uint8.
        things: x, y and whether it is on, of each thing in the rooms, `(num_envs, things, 3)`.
        touched: Whether the agent touches each thing, `(num_envs, things)` bool.
        depth: Meters along the view axis, `(num_envs, height, width)` float32; `tile`: number of each pixel's tile.
        step: Steps since the world began, `()` int64.
        """
        step = self._step
        return GroundTruth(self._truths, lambda: self._step == step)

    def _make_truths(self) -> Mapping[str, Callable[[], Array]]:
        truths: dict[str, Callable[[], Array]] = {
            "pose": lambda: moving.poses_of(self._envs.agents, float(self.eye_height)),
            "room": self._room,
            "room_count": lambda: np.array(self.map.room_count),
            "noisy_room": lambda: self._noisy_rooms[self._room()],
            "reachable": lambda: self.reachable,
            "command": self._envs.commands.copy,
            "noise_mask": lambda: (self._flags() & rendering.UNPREDICTABLE).view(np.bool_),
            "noise_share": lambda: share_of_noise(self._look(measured=True).flags),
            "flicker_mask": lambda: self._flags() & rendering.FLICKERS != 0,
            "clean_image": self._clean_image,
            "things": lambda: self._envs.things[:, :, : things.TOUCHED].copy(),
            "touched": lambda: self._envs.things[:, :, things.TOUCHED] > 0.0,
            "depth": lambda: self._look(measured=True).depth.transpose(0, 2, 1),
            "tile": lambda: self._look(measured=True).tile.transpose(0, 2, 1),
            "step": lambda: np.array(self._step),
        }
        if self._has_remote:
            truths["presses"] = self._presses.copy
        return truths

    def _flags(self) -> NDArray[np.uint8]:
        return self._look(measured=True).flags.transpose(0, 2, 1)

    def _find_noisy_rooms(self) -> NDArray[np.bool_]:
        flags = self._stage.closed.flags[: self.surfaces.tiles]
        rooms = self.surfaces.room[flags & rendering.UNPREDICTABLE != 0]
        # One more at the end, for no room (-1).
        return np.append(np.isin(np.arange(self.map.room_count), rooms), False)

    def _room(self) -> Ints:
        return moving.rooms_of(self._envs.agents, self.map.rooms)

    def _clean_image(self) -> NDArray[np.uint8]:
        self._look()
        return self._render(self._envs.poses, self._envs.things, self._envs.bases, clean=True)

    def _kept(self) -> dict[str, Array]:
        envs = self._envs
        origins = {} if self._origins is None else {"origins": self._origins}
        return {
            "agents": envs.agents, "things": envs.things, "presses": self._presses, "glimpses": envs.glimpses,
            "last_action": envs.actions, "commands": envs.commands, **origins,
        }  # fmt: skip

    def state(self) -> State:
        return {"step": self._step} | {name: array.copy() for name, array in self._kept().items()}

    def load_state(self, state: State) -> None:
        for name, array in self._kept().items():
            saved = np.asarray(state[name])
            if saved.shape != array.shape:
                raise ValueError(f"'{name}' was saved as {saved.shape}, but this world needs {array.shape}")
            array[...] = saved
        self._step = int(np.asarray(state["step"]))
        self._views = None
