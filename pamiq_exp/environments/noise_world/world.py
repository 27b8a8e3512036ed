"""The noise world: a first-person world whose walls and floors may show unpredictable pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.environments.noise_world import drawing, moving, rendering, things
from pamiq_exp.environments.noise_world.actions import REMOTE, ActionSet
from pamiq_exp.environments.noise_world.bodies import env_keys, starting_bodies
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
from pamiq_exp.environments.noise_world.surfaces import Surfaces, choose_noisy_tiles
from pamiq_exp.environments.noise_world.truth import GroundTruth, share_of_noise
from pamiq_exp.environments.noise_world.turns import EnvCopies, Setting
from pamiq_exp.interaction import Array, Environment, Observation, continual

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

CELL = 0.25
"""Side of the square cells in which coverage is counted, in meters."""

JUMP_SPEED, GRAVITY, RUN_FACTOR = 2.5, 9.81, 2.0
STICKY = 0
"""Unit under which the world draws whether an action sticks."""


class NoiseWorld(Environment):
    """Rooms seen through one's own eyes, `num_envs` copies of them side by side.

    The world is continual (no reward, no end, unless asked) and moves on only in `affect`, by `dt` seconds. It observes
    `image`, `(num_envs, image_size, image_size, 3)` uint8. What every number of an action means is told by
    `ActionSet`. All environments share the map; bodies and noise of each environment are its own.

    Args:
        map: Name of a map (`rooms9`, `room`, `corridor`), path of a text file, or the drawing itself.
        noise: See `NoiseOptions`.
        images: See `ImageOptions`.
        materials: Look of what is not noisy: `rooms` (another one in each room) or `plain` (one color).
        open_sky: Clouds instead of a ceiling.
        wall_height: Whole meters.
        start: `map` (as drawn), `random` (anywhere, by seed), or x, y and heading in degrees.
        actions: `branches`, `masked` or `discrete`, see `ActionSet`.
        sticky: Probability that the last action is repeated instead of the new one.
        speed, turn_speed: Metres and degrees a second.
        lag: Time constant with which speeds follow commands, in seconds; 0 is at once.
        body_radius, eye_height: Metres; the radius is at most 0.5.
        image_size, field_of_view: Pixels a side, and degrees.
        gates_open_at: Seconds after which the gates of the map open; None keeps them closed.
        episode_steps: Steps after which an episode is over (truncated) and bodies and things start anew, for
            users who need episodes; None lets the world go on for ever. Time goes on in any case.
        dt: Seconds of world time for each step.
        renderer: `numba` (compiled, for processors) or `torch` (batched, for thousands of num_envs on a GPU).
        threads: Threads of the compiled renderer, each for some of the environments.
        device: Where the batched renderer computes.
        num_envs, seed: How many copies, and what makes them random.

    Raises ValueError for values that are not possible, with the nearest one that is.
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
        body_radius: float = 0.25,
        eye_height: float = 1.32,
        image_size: int = 64,
        field_of_view: float = 60.0,
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
            materials, wall_height, eye_height, body_radius, image_size, field_of_view, dt, num_envs, lag, sticky
        )
        at_least(threads, 1, "environment.threads")
        if episode_steps is not None:
            at_least(episode_steps, 1, "environment.episode_steps")
        self._renderer = make_renderer(renderer, threads, device)
        self.noise = from_mapping(NoiseOptions, noise, "environment.noise")
        image_options = from_mapping(ImageOptions, images, "environment.images")
        self.num_envs, self.dt, self.image_size, self.sticky = num_envs, dt, image_size, sticky
        self.private = image_options.source == "folder"
        self.map = load_map(map)
        self.surfaces = Surfaces(self.map, wall_height)
        self.gates_open_at = gates_open_at
        self.eye_height = eye_height
        self._has_remote = self.noise.control == "remote"
        self.actions = ActionSet(actions, self._has_remote)
        self.action_space = self.actions.space
        picture = gymnasium.spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)
        self.observation_space = gymnasium.spaces.Dict({"image": picture})
        ceiling = 24.0 if open_sky else float(wall_height)
        self._camera = make_camera(image_size, field_of_view, eye_height, ceiling, self.surfaces, image_options.size)
        self._stage = self._build_stage(image_options, materials == "plain", open_sky, ceiling, seed)
        remaining = round(math.exp(-dt / lag), 12) if lag > 0 else 0.0
        speeds = float(speed), float(turn_speed), RUN_FACTOR, JUMP_SPEED
        motion = moving.Motion(float(dt), *speeds, GRAVITY, remaining, float(body_radius))
        self._sticky_keys = env_keys(seed, "sticky", num_envs)
        solid = self.map.solid if gates_open_at is None else self.map.solid & ~self.map.gates
        self.reachable = reachable_cells(solid, self.map.start[:2], body_radius, CELL)
        self._step = 0
        self.episode_steps = episode_steps
        self._start, self._seed = start, seed
        self._tracks = things.ball_tracks(self.map)
        self._presses = np.zeros(num_envs, dtype=np.int64)
        self._num_envs = self._make_envs(seed)
        sources = drawing.join_sources([source.source for source in self._stage.sources])
        parts = self._num_envs, self._stage.closed, self._camera, motion, self.map.solid, self.actions.meanings
        self._closed = Setting(*parts, sources, self._stage.bases, self._stage.stride, float(eye_height))
        self._opened = replace(self._closed, scene=self._stage.opened, solid=self.map.solid & ~self.map.gates)
        self._views: rendering.Views | None = None
        self._watched = False
        self._noisy_rooms = self._find_noisy_rooms()
        self._truths = self._make_truths()

    def _make_envs(self, seed: int) -> EnvCopies:
        units = self.surfaces.tiles + 1 if self.noise.control == "gaze" else 1
        return EnvCopies(
            actions=np.zeros((self.num_envs, self.actions.choices.size), dtype=np.int64),
            commands=np.zeros((self.num_envs, 6), dtype=np.int64),
            bodies=self._starting_bodies(),
            poses=np.empty((self.num_envs, 5)),
            things=things.starting_places(self.map, self.num_envs),
            bases=np.tile(self._stage.bases, (self.num_envs, 1)),
            ticks=np.zeros((len(self._stage.sources), self.num_envs, 1), dtype=np.int32),
            glimpses=np.zeros((self.num_envs, units), dtype=np.int32),
            keys=env_keys(seed, "noise", self.num_envs),
        )

    def _starting_bodies(self) -> Floats:
        episode = self._step // (self.episode_steps + 1) if self.episode_steps is not None else 0
        return starting_bodies(self._start, self.map, self.reachable, CELL, self.num_envs, self._seed, episode)

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
        """Compile (or load) the inner loops, so that no step has to wait for that."""
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
        seen = continual({"image": self._look().frame})
        return replace(seen, truncated=np.ones(self.num_envs, dtype=np.bool_)) if self._is_over else seen

    def affect(self, action: Array) -> None:
        action = np.asarray(action, dtype=np.int64)
        self.actions.check(action, self.num_envs)
        if self._is_over:
            self._begin_episode()
            return
        if self.noise.control == "gaze":
            self._count_glimpses()
        self._num_envs.actions[:] = self._stick(action)
        if self._has_remote:
            self._presses += self.actions.commands(self._num_envs.actions)[:, REMOTE]
        setting = self._setting
        self._step += 1
        self._views = self._turn(setting, moves=True)
        self._watched = False
        if setting is not self._setting:
            self._views = None  # The gates have just opened, which the views do not show yet.

    def _begin_episode(self) -> None:
        self._step += 1
        self._rest(self._starting_bodies())
        self._num_envs.commands[:] = 0
        self._num_envs.things[:] = things.starting_places(self.map, self.num_envs)

    def _rest(self, bodies: Floats) -> None:
        """Put all bodies somewhere, at rest. What they see there is worked out when somebody asks for it."""
        self._num_envs.bodies[:] = bodies
        self._num_envs.actions[:] = 0
        self._views = None

    def place(self, poses: Array) -> bool:
        """See the base class. Raises ValueError for a pose that lies in a wall."""
        if poses.shape[0] != self.num_envs or poses.shape[1] < 3:
            raise ValueError(f"place: poses must be ({self.num_envs}, 3), not {poses.shape}")
        self._check_free(poses, "place")
        bodies = np.zeros((self.num_envs, moving.BODY_SIZE))
        bodies[:, [moving.X, moving.Y]] = poses[:, :2]
        bodies[:, moving.HEADING] = np.degrees(poses[:, 2]) % 360.0
        self._rest(bodies)
        return True

    def _check_free(self, poses: Array, who: str) -> None:
        if self._setting.solid[poses[:, 1].astype(int), poses[:, 0].astype(int)].any():
            raise ValueError(f"{who}: a pose lies in a wall")

    def stop_rendering(self) -> None:
        """See the base class. Where the noise changes when it is seen, views are still worked out."""
        if self.noise.control != "gaze":
            self._renderer.close()
            self._renderer = MotionOnly()

    def keyboard(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        return self.actions.keyboard()

    def _stick(self, action: NDArray[np.int64]) -> NDArray[np.int64]:
        if not self.sticky or self._step == 0:
            return action
        bits = np.array([int(drawing.draw(STICKY, self._step, low, high)) for low, high in self._sticky_keys])
        return np.where((bits < self.sticky * 2.0**32)[:, None], self._num_envs.actions, action)

    def _count_glimpses(self) -> None:
        for source in self._stage.sources:
            if source.ticks(self._step + 1) > source.ticks(self._step):
                unit = np.full(self.surfaces.tiles + 1, -1, dtype=np.int32)
                unit[source.source.tiles] = source.source.units
                seen = np.zeros(self._num_envs.glimpses.shape, dtype=np.bool_)
                drawing.mark_seen(self._look(measured=True).tile, unit, seen)
                np.add(self._num_envs.glimpses, seen, out=self._num_envs.glimpses)

    def _turn(self, setting: Setting, *, moves: bool) -> rendering.Views:
        """Let the environments live, and render what they see; what only metrics want to know, if they did last
        time."""
        for index, source in enumerate(self._stage.sources):
            self._num_envs.ticks[index, :, 0] = self._presses if self._has_remote else source.ticks(self._step)
        if self._tracks.size:
            things.roll(self._num_envs.things, self._tracks, self._step * self.dt)
        return self._renderer.turn(setting, moves=moves, measured=self._watched)

    def _look(self, *, measured: bool = False) -> rendering.Views:
        self._watched |= measured
        if self._views is None or (measured and not self._views.tile.size):
            self._views = self._turn(self._setting, moves=False)
        return self._views

    def render_at(self, poses: Array, noise: str = "now") -> NDArray[np.uint8]:
        """Return views from other places, `(n, image_size, image_size, 3)` uint8; changes nothing.

        Args:
            poses: x, y (meters), heading (radians) and, if there are four columns, eye height, `(n, 3 or 4)`.
            noise: `now` (what environment 0 sees now) or `clean` (the same without noise, the twin of a noisy view).

        Raises ValueError for a pose that lies in a wall.
        """
        one_of(noise, ("now", "clean"), "noise of render_at")
        self._check_free(poses, "render_at")
        height = poses[:, 3] if poses.shape[1] > 3 else np.full(len(poses), self.eye_height)
        cameras = np.stack([poses[:, 0], poses[:, 1], np.cos(poses[:, 2]), np.sin(poses[:, 2]), height], axis=1)
        self._look()
        num_envs, first = self._num_envs, np.zeros(len(poses), dtype=np.int64)
        return self._paint(cameras, num_envs.things[first], num_envs.bases[first], clean=noise == "clean")

    def _paint(self, cameras: Floats, state: Floats, bases: Ints, *, clean: bool) -> NDArray[np.uint8]:
        scene = self._setting.scene
        if clean:
            screen = scene.screen[0]
            bases = np.concatenate([np.tile(self._stage.bases[:screen], (len(bases), 1)), bases[:, screen:]], axis=1)
            scene = scene._replace(screen=(screen, -1, -1))
        return self._renderer.render(scene, self._camera, cameras, state, bases)

    def ground_truth(self) -> GroundTruth:
        """Return the truth of this moment, worked out when it is looked up.

        pose: x, y (meters), heading (radians clockwise from east), eye height, `(num_envs, 4)` float64.
        room: Number of the room, -1 outside rooms, `(num_envs,)` int32; `room_count`: how many there are, `()`.
        noisy_room: Whether that room holds something unpredictable, `(num_envs,)` bool.
        reachable: Which 0.25 m cells a body can reach, `(rows, columns)` bool; the same at all times.
        command: What the last step did: forward, right, clockwise as -1, 0, 1, jump, run, remote, `(num_envs, 6)`.
        presses: Presses of the remote so far, `(num_envs,)`; only where there is one.
        noise_mask: Pixels that show something unpredictable, `(num_envs, height, width)` bool.
        noise_share: The share of those pixels, `(num_envs,)` float64.
        flicker_mask: Pixels that show something that changes by itself.
        clean_image: The same views without noise, `(num_envs, height, width, 3)` uint8.
        things: x, y and whether it is on, of each thing in the rooms, `(num_envs, things, 3)`.
        touched: Whether the body pushes or bumps into each thing, `(num_envs, things)` bool.
        depth: Metres along the view axis, float32. tile: Number of the tile that the pixel shows, int32.
        step: Steps since the world began, `()` int64.
        """
        step = self._step
        return GroundTruth(self._truths, lambda: self._step == step)

    def _make_truths(self) -> Mapping[str, Callable[[], Array]]:
        truths: dict[str, Callable[[], Array]] = {
            "pose": lambda: moving.poses_of(self._num_envs.bodies, float(self.eye_height)),
            "room": self._room,
            "room_count": lambda: np.array(self.map.room_count),
            "noisy_room": lambda: self._noisy_rooms[self._room()],
            "reachable": lambda: self.reachable,
            "command": self._num_envs.commands.copy,
            "noise_mask": lambda: (self._flags() & rendering.UNPREDICTABLE).view(np.bool_),
            "noise_share": lambda: share_of_noise(self._look(measured=True).flags),
            "flicker_mask": lambda: self._flags() & rendering.FLICKERS != 0,
            "clean_image": self._clean_image,
            "things": lambda: self._num_envs.things[:, :, : things.TOUCHED].copy(),
            "touched": lambda: self._num_envs.things[:, :, things.TOUCHED] > 0.0,
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
        # One more at the end, where no room (-1) looks it up.
        return np.append(np.isin(np.arange(self.map.room_count), rooms), False)

    def _room(self) -> Ints:
        return moving.rooms_of(self._num_envs.bodies, self.map.rooms)

    def _clean_image(self) -> NDArray[np.uint8]:
        self._look()
        return self._paint(self._num_envs.poses, self._num_envs.things, self._num_envs.bases, clean=True)

    def _kept(self) -> dict[str, Array]:
        num_envs = self._num_envs
        return {
            "bodies": num_envs.bodies,
            "things": num_envs.things,
            "presses": self._presses,
            "glimpses": num_envs.glimpses,
            "last_action": num_envs.actions,
            "commands": num_envs.commands,
        }

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
