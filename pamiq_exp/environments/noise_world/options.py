"""Options of noise and images, and their validation."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

OptionsT = TypeVar("OptionsT")


def nearest(name: object, known: Iterable[str]) -> str:
    """Return a hint for a wrong name: the nearest right one, or all of them."""
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else f" (choose from {', '.join(names)})"


def from_mapping(kind: type[OptionsT], values: Mapping[str, Any] | OptionsT | None, where: str) -> OptionsT:
    """Build options from a plain mapping; unknown keys raise ValueError with the nearest valid one."""
    if isinstance(values, kind):
        return values
    if values is not None and not isinstance(values, Mapping):
        raise ValueError(f"{where} must be a mapping of keys to values, not {values!r}")
    given = dict(values or {})
    known = [part.name for part in fields(kind)]  # type: ignore[arg-type]
    for key in given:
        if key not in known:
            raise ValueError(f"{where} has no key '{key}'{nearest(key, known)}")
    required = [part.name for part in fields(kind) if part.default is MISSING and part.default_factory is MISSING]  # type: ignore[arg-type]
    for key in required:
        if key not in given:
            raise ValueError(f"{where} needs the key '{key}'")
    return kind(**given)


def one_of(value: object, known: Iterable[str], where: str) -> None:
    names = list(known)
    if value not in names:
        raise ValueError(f"{where}: '{value}' is invalid{nearest(value, names)}")


def at_least(value: float, minimum: float, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < minimum:
        raise ValueError(f"{where} must be a number of at least {minimum:g}, not {value!r}")


MODES = ("iid", "pixel", "cycle", "static")
LAYOUTS = ("tile", "surface")
SYNCS = ("per_tile", "per_surface", "global")
PLACES = ("everywhere", "one_room", "far_room", "corridor", "behind_gates")
CONTROLS = ("none", "remote", "gaze")
OVERLAYS = ("none", "quadrant", "full", "black")
PANEL_KINDS = ("image", "blocks")
WALLS = ("north", "east", "south", "west")
MOST_BLOCKS = 64


@dataclass(frozen=True)
class Panel:
    """A noisy rectangle on a wall of one room; it covers whole square meters.

    Attributes:
        wall: `north`, `east`, `south`, `west`, or `any`: the first of east, south, west and north that the room has.
        center: Its center along the wall, from the middle of the wall, in meters; positive is to the right as seen
            from the room.
        width, height: Size in meters, at most the wall; `bottom` is the height of its lower edge.
        kind: `image` (a picture of the pool) or `blocks` (random colors).
        blocks: Colors per side of a `blocks` panel, at most 64.
        rate_hz: Changes per second; None takes that of the noise.
        room: Number of the room; None for that of the start.
    """

    wall: str
    width: float
    height: float
    center: float = 0.0
    bottom: float = 0.0
    kind: str = "image"
    blocks: int = 27
    rate_hz: float | None = None
    room: int | None = None

    def __post_init__(self) -> None:
        one_of(self.wall, (*WALLS, "any"), "noise.where: wall of a panel")
        one_of(self.kind, PANEL_KINDS, "noise.where: kind of a panel")
        at_least(self.width, 1, "noise.where: width of a panel")
        at_least(self.height, 1, "noise.where: height of a panel")
        at_least(self.bottom, 0, "noise.where: bottom of a panel")
        if not 1 <= self.blocks <= MOST_BLOCKS:
            raise ValueError(f"noise.where: a panel can have 1 to {MOST_BLOCKS} blocks a side, not {self.blocks}")
        if self.rate_hz is not None:
            at_least(self.rate_hz, 0, "noise.where: rate_hz of a panel")


@dataclass(frozen=True)
class NoiseOptions:
    """Which surfaces are noisy, and how.

    Attributes:
        fraction: Share of the floor and wall tiles that are noisy, 0 to 1. Chosen by the seed, and nested:
            the noisy tiles of a smaller fraction are noisy in a larger one too.
        rate_hz: Changes per second of world time.
        mode: `iid` (a new image), `pixel` (new random pixels), `cycle` (the images of the pool in a fixed
            order: looks the same, can be learned) or `static` (never changes).
        pool: Number of images.
        replace: Whether the same image may come twice in a row, as in the original world.
        layout: `tile` (one image for each square meter) or `surface` (one stretched over each wall and floor).
        sync: Tiles that share one draw: `per_tile`, `per_surface` or `global`.
        own_pools: Whether each surface draws from its own part of the pool.
        where: `everywhere`, `one_room` (the room nearest to the start that is not the first), `far_room`
            (the farthest), `corridor`, `behind_gates` (rooms that cannot be reached while gates are closed), or a
            list of panels.
        control: `none`, `remote` (changes when the remote action is taken) or `gaze` (changes only while seen).
        overlay: Noise on the screen instead of in the world: `quadrant` (lower right quarter), `full` (whole
            view) or `black` (the view is always black).
    """

    fraction: float = 1.0
    rate_hz: float = 10.0
    mode: str = "iid"
    pool: int = 50
    replace: bool = True
    layout: str = "tile"
    sync: str = "per_tile"
    own_pools: bool = False
    where: str | tuple[Panel, ...] = "everywhere"
    control: str = "none"
    overlay: str = "none"

    def __post_init__(self) -> None:
        at_least(self.fraction, 0, "noise.fraction")
        if self.fraction > 1:
            raise ValueError(f"noise.fraction must be from 0 to 1, not {self.fraction}")
        at_least(self.rate_hz, 0, "noise.rate_hz")
        at_least(self.pool, 1, "noise.pool")
        one_of(self.mode, MODES, "noise.mode")
        one_of(self.layout, LAYOUTS, "noise.layout")
        one_of(self.sync, SYNCS, "noise.sync")
        one_of(self.control, CONTROLS, "noise.control")
        one_of(self.overlay, OVERLAYS, "noise.overlay")
        if isinstance(self.where, str):
            one_of(self.where, PLACES, "noise.where")
        else:
            panels = tuple(from_mapping(Panel, panel, "a panel in noise.where") for panel in self.where)
            object.__setattr__(self, "where", panels)


SOURCES = ("procedural", "folder")


@dataclass(frozen=True)
class ImageOptions:
    """Where the pictures on the noisy surfaces come from.

    Attributes:
        source: `procedural` (computed pictures of dishes, nothing is downloaded) or `folder`.
        path: A folder with pictures of any size and format; needed for `folder`.
        size: Pixels a side, a power of two from 8 to 256.
    """

    source: str = "procedural"
    path: str | None = None
    size: int = 64

    def __post_init__(self) -> None:
        one_of(self.source, SOURCES, "images.source")
        if self.size not in (8, 16, 32, 64, 128, 256):
            raise ValueError(f"images.size must be 8, 16, 32, 64, 128 or 256, not {self.size!r}")
        if self.source == "folder" and not self.path:
            raise ValueError("images.source is 'folder': set images.path to a folder with pictures")

    @property
    def folder(self) -> Path:
        return Path(self.path or "").expanduser()


JUMP_HEIGHT = 0.4
"""Meters that must be free above the eyes."""


def check_world(
    materials: str,
    wall_height: int,
    eye_height: float,
    agent_radius: float,
    image_size: int,
    field_of_view: float,
    dt: float,
    num_envs: int,
    lag: float,
    sticky: float,
) -> None:
    """Raise ValueError for invalid arguments of the world."""
    one_of(materials, ("rooms", "plain"), "environment.materials")
    if wall_height != int(wall_height) or wall_height < 1:
        raise ValueError(f"environment.wall_height must be a whole number of meters, not {wall_height!r}")
    if not 0 < eye_height < wall_height - JUMP_HEIGHT:
        raise ValueError(
            f"environment.eye_height must be above 0 and below {wall_height - JUMP_HEIGHT:g} (a jump must stay "
            f"under the ceiling), not {eye_height!r}"
        )
    if not 0 < agent_radius <= 0.5:
        raise ValueError(f"environment.agent_radius must be above 0 and at most 0.5, not {agent_radius!r}")
    if not 0 < field_of_view < 170:
        raise ValueError(f"environment.field_of_view must be between 0 and 170 degrees, not {field_of_view!r}")
    if not 0 <= sticky <= 1:
        raise ValueError(f"environment.sticky must be a probability from 0 to 1, not {sticky!r}")
    if not dt > 0:
        raise ValueError(f"environment.dt must be a positive number of seconds, not {dt!r}")
    at_least(image_size, 8, "environment.image_size")
    at_least(num_envs, 1, "environment.num_envs")
    at_least(lag, 0, "environment.lag")
