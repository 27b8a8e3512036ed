"""One turn of the world as one compiled call: bodies move, noise is drawn, views are rendered.

All of it happens lane by lane, so that threads can share the lanes and nothing is left to do for one of them
alone. What a call needs lies in sixty arrays; they are packed once and handed over as one reference, as handing
them over one by one takes as long as rendering half a picture.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple, cast

import numpy as np
from numba import types
from numba.experimental import structref
from numpy.typing import NDArray

from pamiq_exp.compiling import compiled
from pamiq_exp.environments.noise_world.actions import obey
from pamiq_exp.environments.noise_world.drawing import Sources, draw_images, one_source
from pamiq_exp.environments.noise_world.moving import Motion, look, move
from pamiq_exp.environments.noise_world.rendering import Camera, Scene, Views, render
from pamiq_exp.environments.noise_world.things import meet, show

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Numbers = NDArray[np.int64]


class Lanes(NamedTuple):
    """What changes while the world runs, a row for each lane.

    Attributes:
        actions: What was done last, `(lanes, branches)`; `commands` is what that means, `(lanes, 6)`.
        bodies: `(lanes, BODY_SIZE)`; `poses` is where their eyes are, `(lanes, 5)`, see `moving.look`.
        things: State of all things, `(lanes, things, THING_SIZE)`.
        bases: Where the image of each tile begins in the texels, `(lanes, tiles)`.
        ticks: Time of each source of noise, `(sources, lanes, 1)`.
        glimpses: Time of each unit, `(lanes, units)`, where each has its own; else one column.
        keys: Seed of the noise, `(lanes, 2)`.
    """

    actions: Numbers
    commands: Numbers
    bodies: Floats
    poses: Floats
    things: Floats
    bases: Ints
    ticks: Ints
    glimpses: Ints
    keys: NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Setting:
    """All that a turn needs.

    Attributes:
        lanes: What changes.
        scene, camera, motion: How the world looks, is looked at and is moved in.
        solid: Where walls are, `(rows, columns)`.
        meanings: What each choice of each branch adds to a command, `(branches, choices, 6)`.
        sources: Where noise comes from.
        plain: What each tile shows where there is no noise, `(tiles,)`; `stride` is the size of one image.
        eye_height: Metres above the feet.
    """

    lanes: Lanes
    scene: Scene
    camera: Camera
    motion: Motion
    solid: NDArray[np.bool_]
    meanings: Numbers
    sources: Sources
    plain: Ints
    stride: int
    eye_height: float


class Packed(structref.StructRefProxy):
    """A reference to everything in a `Setting`, for compiled functions."""


@structref.register
class PackedType(types.StructRef):
    """The type of `Packed` in compiled functions."""


structref.define_proxy(Packed, PackedType, [field.name for field in fields(Setting)])  # type: ignore[no-untyped-call]


@compiled
def pack_parts(
    lanes: Lanes,
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
    """Make the reference: compiled, so that it is compiled once and not anew in each process."""
    return Packed(lanes, scene, camera, motion, solid, meanings, sources, plain, stride, eye_height)  # type: ignore[no-untyped-call]


def pack(setting: Setting) -> Setting:
    """Return a reference that compiled functions read as they would read the setting.

    Threads take one each, as they would get in each other's way at its reference counts.
    """
    return cast("Setting", pack_parts(*(getattr(setting, field.name) for field in fields(setting))))


def empty_views(lanes: int, size: int, *, measured: bool) -> Views:
    """Return arrays to render into, those for measurements only if they are wanted."""
    shape = (lanes if measured else 0, size, size)
    return Views(
        np.empty((lanes, size, size, 3), np.uint8),
        np.empty(shape, np.int32),
        np.empty(shape, np.float32),
        np.empty(shape, np.uint8),
    )


@compiled
def act(world: Setting, first: int, last: int) -> None:
    """Let the lanes from `first` to `last - 1` of a packed setting obey and move; nothing is drawn."""
    lanes = world.lanes
    bodies, commands = lanes.bodies[first:last], lanes.commands[first:last]
    obey(lanes.actions[first:last], world.meanings, commands)
    move(world.solid, bodies, commands, world.motion)
    meet(world.solid, bodies, lanes.things[first:last], world.scene.things, world.motion.radius)


@compiled
def live(
    world: Setting,
    first: int,
    last: int,
    moves: bool,
    frame: NDArray[np.uint8],
    tile: Ints,
    depth: NDArray[np.float32],
    flags: NDArray[np.uint8],
) -> None:
    """Let the lanes from `first` to `last - 1` of a packed setting live through one turn, and render what they see.

    Without `moves` only what follows from their state is worked out anew. `frame`, `tile`, `depth` and `flags`
    are those of `Views`, for all lanes; without lanes nothing is rendered.
    """
    lanes, scene, sources = world.lanes, world.scene, world.sources
    bodies, things, bases = lanes.bodies[first:last], lanes.things[first:last], lanes.bases[first:last]
    keys = lanes.keys[first:last]
    if moves:
        act(world, first, last)
    look(bodies, world.eye_height, lanes.poses[first:last])
    show(things, scene.things, world.plain, world.stride, bases)
    for index in range(sources.rule.size):
        source = one_source(sources, index)
        if lanes.glimpses.shape[1] > 1:
            draw_images(bases, lanes.glimpses[first:last], keys, source)
        else:
            draw_images(bases, lanes.ticks[index, first:last], keys, source)
    if frame.shape[0] > 0:
        views = Views(frame, tile, depth, flags)
        render(scene, world.camera, lanes.poses, lanes.things, lanes.bases, first, last, views)
