"""One turn of the world as one compiled call: agents move, noise is drawn, views are rendered.

The call works environment by environment, so that threads can share the environments. It needs sixty arrays: they are
packed once and passed as one reference, as passing them one by one takes as long as rendering half a picture.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.compiling import HAS_NUMBA, compiled
from pamiq_exp.environments.noise_world.actions import obey
from pamiq_exp.environments.noise_world.drawing import Sources, draw_images, one_source
from pamiq_exp.environments.noise_world.moving import Motion, look, move
from pamiq_exp.environments.noise_world.rendering import Camera, Scene, Views, render
from pamiq_exp.environments.noise_world.things import meet, show

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Numbers = NDArray[np.int64]


class EnvStates(NamedTuple):
    """The state of all environments, a row for each.

    Attributes:
        actions: The last actions, `(num_envs, branches)`; `commands` is their meaning, `(num_envs, 6)`.
        agents: `(num_envs, AGENT_SIZE)`; `poses` are their cameras, `(num_envs, 5)`, see `moving.look`.
        things: State of all things, `(num_envs, things, THING_SIZE)`.
        bases: Where the image of each tile begins in the texels, `(num_envs, tiles)`.
        ticks: Time of each source of noise, `(sources, num_envs, 1)`.
        glimpses: Time of each unit, `(num_envs, units)`, where each has its own; else one column.
        keys: Seed of the noise, `(num_envs, 2)`.
    """

    actions: Numbers
    commands: Numbers
    agents: Floats
    poses: Floats
    things: Floats
    bases: Ints
    ticks: Ints
    glimpses: Ints
    keys: NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Setting:
    """Everything that a turn needs.

    Attributes:
        envs: What changes, for each environment.
        scene, camera, motion: The world's surfaces, the camera and the rules of motion.
        solid: Where walls are, `(rows, columns)`.
        meanings: What each choice of each branch adds to a command, `(branches, choices, 6)`.
        sources: Where noise comes from.
        plain: What each tile shows where there is no noise, `(tiles,)`; `stride` is the size of one image.
        eye_height: Meters above the feet.
    """

    envs: EnvStates
    scene: Scene
    camera: Camera
    motion: Motion
    solid: NDArray[np.bool_]
    meanings: Numbers
    sources: Sources
    plain: Ints
    stride: int
    eye_height: float


if HAS_NUMBA:
    from numba import types
    from numba.experimental import structref

    class Packed(structref.StructRefProxy):
        """A reference to everything in a `Setting`, for compiled functions."""

    @structref.register
    class PackedType(types.StructRef):
        """The type of `Packed` in compiled functions."""

    structref.define_proxy(Packed, PackedType, [field.name for field in fields(Setting)])  # type: ignore[no-untyped-call]

    @compiled
    def pack_parts(
        envs: EnvStates,
        scene: Scene,
        camera: Camera,
        motion: Motion,
        solid: NDArray[np.bool_],
        meanings: Numbers,
        sources: Sources,
        plain: Ints,
        stride: int,
        eye_height: float,
    ) -> Packed:
        """Make the reference; compiled, as only compiled functions are cached across processes."""
        return Packed(envs, scene, camera, motion, solid, meanings, sources, plain, stride, eye_height)  # type: ignore[no-untyped-call]


def pack(setting: Setting) -> Setting:
    """Return a reference that compiled functions read as they would read the setting.

    Threads take one each, as they would get in each other's way at its reference counts.
    """
    if not HAS_NUMBA:
        return setting
    return cast("Setting", pack_parts(*(getattr(setting, field.name) for field in fields(setting))))


def empty_views(num_envs: int, size: int, *, measured: bool) -> Views:
    """Return arrays to render into, those for measurements only if they are wanted."""
    shape = (num_envs if measured else 0, size, size)
    return Views(
        np.empty((num_envs, size, size, 3), np.uint8),
        np.empty(shape, np.int32),
        np.empty(shape, np.float32),
        np.empty(shape, np.uint8),
    )


@compiled
def act(world: Setting, first: int, last: int) -> None:
    """Carry out the actions in the environments from `first` to `last - 1` of a packed setting; nothing is drawn."""
    envs = world.envs
    agents, commands = envs.agents[first:last], envs.commands[first:last]
    obey(envs.actions[first:last], world.meanings, commands)
    move(world.solid, agents, commands, world.motion)
    meet(world.solid, agents, envs.things[first:last], world.scene.things, world.motion.radius)


@compiled
def run_turn(
    world: Setting,
    first: int,
    last: int,
    moves: bool,
    frame: NDArray[np.uint8],
    tile: Ints,
    depth: NDArray[np.float32],
    flags: NDArray[np.uint8],
) -> None:
    """Take one turn in the environments from `first` to `last - 1` of a packed setting, and render their views.

    Without `moves` only what follows from their state is computed. `frame`, `tile`, `depth` and `flags` are those of
    `Views`, for all environments; an empty `frame` renders nothing.
    """
    envs, scene, sources = world.envs, world.scene, world.sources
    agents, things, bases = envs.agents[first:last], envs.things[first:last], envs.bases[first:last]
    keys = envs.keys[first:last]
    if moves:
        act(world, first, last)
    look(agents, world.eye_height, envs.poses[first:last])
    show(things, scene.things, world.plain, world.stride, bases)
    for index in range(sources.rule.size):
        source = one_source(sources, index)
        if envs.glimpses.shape[1] > 1:
            draw_images(bases, envs.glimpses[first:last], keys, source)
        else:
            draw_images(bases, envs.ticks[index, first:last], keys, source)
    if frame.shape[0] > 0:
        views = Views(frame, tile, depth, flags)
        render(scene, world.camera, envs.poses, envs.things, envs.bases, first, last, views)
