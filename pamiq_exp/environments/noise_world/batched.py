"""The raycaster in torch: thousands of environments at once on an accelerator.

The same steps as in `rendering`, in the same order and precision, on `(num_envs, width, height)` tensors, with masks in
place of branches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pamiq_exp.environments.noise_world.renderer import Renderer
from pamiq_exp.environments.noise_world.rendering import DARKNESS, STRETCHED, Camera, Scene, Views
from pamiq_exp.environments.noise_world.things import AT_X, AT_Y, BALL, BOX
from pamiq_exp.environments.noise_world.turns import Setting, empty_views, pack, run_turn

WORD = 0xFFFFFFFF


@dataclass
class Pixels:
    """What each pixel shows, `(num_envs, width, height)`."""

    tile: Tensor
    texel: Tensor
    shade: Tensor
    depth: Tensor

    def put(self, where: Tensor, tile: Tensor, texel: Tensor, shade: Tensor, depth: Tensor | None) -> None:
        """Replace the pixels `where` a mask is true; without a depth their depth stays."""
        self.tile = torch.where(where, tile, self.tile)
        self.texel = torch.where(where, texel, self.texel)
        self.shade = torch.where(where, shade, self.shade)
        self.depth = self.depth if depth is None else torch.where(where, depth, self.depth)


class TorchRenderer(Renderer):
    """The batched raycaster.

    Args:
        device: Where it computes: `cpu`, `cuda`, `cuda:1`, ...
    """

    def __init__(self, device: str) -> None:
        try:
            self._device = torch.device(device)
            torch.zeros(1, device=self._device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"environment.device: '{device}' cannot be used here ({error})") from None
        self._packed: dict[Setting, Setting] = {}
        self._scene: Scene | None = None
        self._tensors: dict[str, Tensor] = {}

    def turn(self, setting: Setting, *, moves: bool, measured: bool) -> Views:
        if setting not in self._packed:
            self._packed[setting] = pack(setting)
        envs, none = setting.envs, empty_views(0, 1, measured=False)
        run_turn(self._packed[setting], 0, len(envs.agents), moves, none.frame, none.tile, none.depth, none.flags)
        frame, pixels = self._paint(setting.scene, setting.camera, envs.poses, envs.things, envs.bases)
        flags = self._tensors["flags"][pixels.tile]
        shown = pixels.tile.to(torch.int32), pixels.depth.to(torch.float32), flags
        tile, depth, flag = (part if measured else part[:0] for part in shown)
        return Views(*(part.cpu().numpy() for part in (frame, tile, depth, flag)))

    def render(
        self,
        scene: Scene,
        camera: Camera,
        poses: NDArray[np.float64],
        things: NDArray[np.float64],
        bases: NDArray[np.int32],
    ) -> NDArray[np.uint8]:
        picture: NDArray[np.uint8] = self._paint(scene, camera, poses, things, bases)[0].cpu().numpy()
        return picture

    def _paint(self, scene: Scene, camera: Camera, *state: NDArray[Any]) -> tuple[Tensor, Pixels]:
        if scene is not self._scene:
            self._scene, self._tensors = scene, self._load(scene, camera)
        return self.render_tensors(*(self._tensor(part) for part in state))

    @torch.no_grad()
    def render_tensors(self, poses: Tensor, things: Tensor, bases: Tensor) -> tuple[Tensor, Pixels]:
        """Render without leaving the device: pictures, `(num_envs, height, width, 3)` uint8, and what they show."""
        scene = self._scene
        assert scene is not None
        x, y, cosine, sine, eye = (part[:, None] for part in poses.unbind(1))
        column = self._tensors["column"]
        ray = cosine - sine * column, sine + cosine * column
        wall = self._cast(x, y, *ray)
        pixels = self._planes(scene, x, y, eye, ray)
        height = eye[..., None] + self._tensors["slope"] * wall[0][..., None]
        if scene.sky_tile >= 0:
            self._sky(scene, x, y, ray, height >= scene.wall_height, pixels)
        is_wall = (height >= 0.0) & (height < scene.wall_height)
        self._walls(scene, wall, height, is_wall, pixels)
        if scene.stretched:
            self._stretch(scene, (x, y), ray, wall[2], height, is_wall, pixels)
        for index in range(things.shape[1]):
            self._thing(scene, index, things[:, index], poses, ray, wall[0], pixels)
        if scene.screen[1] >= 0:
            self._screen(scene, pixels)
        return self._colors(bases, pixels), pixels

    def _load(self, scene: Scene, camera: Camera) -> dict[str, Tensor]:
        arrays: dict[str, NDArray[Any]] = {
            "face": scene.face,
            "mapping": scene.mapping,
            "flags": scene.flags,
            "texels": scene.texels.astype(np.int64),
            "start": scene.level_start,
            "level_distance": scene.level_distance,
            "light": scene.light,
            "column": camera.column,
            "slope": camera.slope,
            "reach": camera.reach,
            "first_tile": camera.first_tile,
            "level": camera.level,
            "row_start": camera.level_start,
            "row_bits": camera.level_bits,
            "row_shade": camera.shade.astype(np.int64),
        }
        return {name: self._tensor(array) for name, array in arrays.items()}

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
        return tensor.to(torch.int64) if tensor.dtype == torch.int32 else tensor

    def _cast(self, x: Tensor, y: Tensor, dx: Tensor, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return distance, wall face and place along the wall for each column, `(num_envs, width)`."""
        face = self._tensors["face"]
        rows, columns = face.shape[:2]
        far = torch.full_like(dx, 1e30)
        column, row = x.long().expand(dx.shape), y.long().expand(dx.shape)
        across_x = torch.where(dx != 0.0, (1.0 / dx).abs(), far)
        across_y = torch.where(dy != 0.0, (1.0 / dy).abs(), far)
        next_x = torch.where(dx != 0.0, torch.where(dx > 0.0, column + 1 - x, x - column) * across_x, far)
        next_y = torch.where(dy != 0.0, torch.where(dy > 0.0, row + 1 - y, y - row) * across_y, far)
        east, south = torch.where(dx > 0.0, 0, 2), torch.where(dy > 0.0, 1, 3)
        for _ in range(rows + columns):
            along_x = next_x < next_y
            found = face[row, column, torch.where(along_x, east, south)]
            going = found < 0
            go_x, go_y = going & along_x, going & ~along_x
            column = column + go_x * (1 - east)
            row = row + go_y * (2 - south)
            next_x = torch.where(go_x, next_x + across_x, next_x)
            next_y = torch.where(go_y, next_y + across_y, next_y)
        along_x = next_x < next_y
        distance = torch.where(along_x, next_x, next_y)
        hit_x, hit_y = x + distance * dx, y + distance * dy
        along = torch.where(
            along_x,
            torch.where(dx > 0.0, hit_y, rows - hit_y),
            torch.where(dy > 0.0, columns - hit_x, hit_x),
        )
        return distance, found, along

    def _planes(self, scene: Scene, x: Tensor, y: Tensor, eye: Tensor, ray: tuple[Tensor, Tensor]) -> Pixels:
        get = self._tensors
        distance = get["reach"] * torch.where(get["slope"] < 0.0, eye, scene.ceiling_height - eye)
        east = x[..., None] + distance[:, None] * ray[0][..., None]
        south = y[..., None] + distance[:, None] * ray[1][..., None]
        size = 1 << scene.bits
        across, down = ((part * size).to(torch.int32).long() & (size - 1) for part in (east, south))
        tile = get["first_tile"] + south.to(torch.int32).long() * scene.face.shape[1] + east.to(torch.int32).long()
        texel = get["row_start"] + ((down >> get["level"]) << get["row_bits"]) + (across >> get["level"])
        shade = get["row_shade"].expand(tile.shape)
        return Pixels(tile, texel, shade, distance[:, None].expand(tile.shape))

    def _sky(
        self, scene: Scene, x: Tensor, y: Tensor, ray: tuple[Tensor, Tensor], above: Tensor, pixels: Pixels
    ) -> None:
        scale, mask = (1 << scene.bits) / 16.0, (1 << scene.bits) - 1
        across, down = (
            ((place * scale)[..., None] + pixels.depth * (part * scale)[..., None]).to(torch.int32).long() & mask
            for place, part in ((x, ray[0]), (y, ray[1]))
        )
        tile, shade = torch.full_like(across, scene.sky_tile), torch.full_like(across, 256)
        pixels.put(above, tile, (down << scene.bits) + across, shade, None)

    def _walls(
        self, scene: Scene, wall: tuple[Tensor, Tensor, Tensor], height: Tensor, where: Tensor, pixels: Pixels
    ) -> None:
        distance, found, along = wall
        size = 1 << scene.bits
        level = (distance[..., None] > self._tensors["level_distance"]).sum(-1)
        start = self._tensors["start"][level] + (((along * size).long() & (size - 1)) >> level)
        shade = (256.0 * self._tensors["light"][found] / (1.0 + DARKNESS * distance)).long()
        inside = height.clamp(0.0, scene.wall_height)
        first = 2 * scene.face.shape[0] * scene.face.shape[1] + found * scene.wall_height
        down = (~(inside * size).long() & (size - 1)) >> level[..., None]
        texel = start[..., None] + (down << (scene.bits - level)[..., None])
        pixels.put(where, first[..., None] + inside.long(), texel, shade[..., None], distance[..., None])

    def _stretch(
        self,
        scene: Scene,
        place: tuple[Tensor, Tensor],
        ray: tuple[Tensor, Tensor],
        along: Tensor,
        height: Tensor,
        is_wall: Tensor,
        pixels: Pixels,
    ) -> None:
        tile = pixels.tile.clamp(0, len(scene.flags) - 1)
        where = (self._tensors["flags"][tile] & STRETCHED > 0) & (height < scene.wall_height)
        across, down = (
            torch.where(is_wall, on_wall, at[..., None] + pixels.depth * part[..., None])
            for on_wall, at, part in ((along[..., None], place[0], ray[0]), (height, place[1], ray[1]))
        )
        mapping = self._tensors["mapping"][tile]
        across = (across * mapping[..., 0] + mapping[..., 1]).to(torch.int32).long()
        down = (down * mapping[..., 2] + mapping[..., 3]).to(torch.int32).long()
        pixels.texel = torch.where(where, (down << scene.bits) + across, pixels.texel)

    def _thing(
        self,
        scene: Scene,
        index: int,
        state: Tensor,
        poses: Tensor,
        ray: tuple[Tensor, Tensor],
        wall: Tensor,
        pixels: Pixels,
    ) -> None:
        """Draw one thing before whatever is farther away."""
        kind, radius = int(scene.things.kind[index]), float(scene.things.radius[index])
        x, y = (state[:, AT_X] - poses[:, 0])[:, None], (state[:, AT_Y] - poses[:, 1])[:, None]
        distance, across, light = (_hit_box if kind == BOX else _hit_disc)(x, y, *ray, radius)
        top, bottom = torch.full_like(across, float(scene.things.height[index])), torch.zeros_like(across)
        if kind == BALL:
            half = radius * (1.0 - (2.0 * across - 1.0) ** 2).clamp(min=0.0).sqrt()
            top, bottom = radius + half, radius - half
        size = 1 << scene.bits
        height = poses[:, 4, None, None] + self._tensors["slope"] * distance[..., None]
        seen = ((distance > 0.0) & (distance < wall))[..., None] & (height < top[..., None])
        seen = seen & (height >= bottom[..., None]) & (distance[..., None] < pixels.depth)
        down = ((1.0 - height / float(scene.things.height[index])) * size).clamp(0, size - 1).long()
        texel = (down << scene.bits) + (across * size).clamp(0, size - 1).long()[..., None]
        shade = (256.0 * light / (1.0 + DARKNESS * distance.clamp(min=0.0))).long()[..., None]
        pixels.put(seen, torch.full_like(down, scene.screen[0] + 1 + index), texel, shade, distance[..., None])

    def _screen(self, scene: Scene, pixels: Pixels) -> None:
        tile, first_row, first_column = scene.screen
        width, height = pixels.tile.shape[1:]
        size = 1 << scene.bits
        across = (torch.arange(width, device=self._device) - first_column) * size // (width - first_column)
        down = (torch.arange(height, device=self._device) - first_row) * size // (height - first_row)
        texel = ((down << scene.bits) + across[:, None]).expand(pixels.tile.shape)
        where = ((across >= 0)[:, None] & (down >= 0)).expand(pixels.tile.shape)
        pixels.put(where, torch.full_like(texel, tile), texel, torch.full_like(texel, 256), None)

    def _colors(self, bases: Tensor, pixels: Pixels) -> Tensor:
        base = torch.gather(bases, 1, pixels.tile.flatten(1)).view(pixels.tile.shape)
        texels = self._tensors["texels"]
        picture = texels[(base + pixels.texel).clamp(0, len(texels) - 1)]
        color = torch.where(base >= 0, picture, _mix((base & WORD) ^ pixels.texel))
        channels = torch.stack([(color >> shift) & 255 for shift in (0, 8, 16)], dim=-1)
        return ((channels * pixels.shade[..., None]) >> 8).to(torch.uint8).transpose(1, 2).contiguous()


def _mix(value: Tensor) -> Tensor:
    """The scrambling of `drawing.mix`, in 64-bit numbers."""
    value = value ^ (value >> 16)
    value = (value * 0x21F0AAAD) & WORD
    value = value ^ (value >> 15)
    value = (value * 0x735A2D97) & WORD
    return value ^ (value >> 15)


def _hit_disc(x: Tensor, y: Tensor, dx: Tensor, dy: Tensor, radius: float) -> tuple[Tensor, Tensor, Tensor]:
    """See `sprites.hit_disc`."""
    a, b = dx * dx + dy * dy, x * dx + y * dy
    root = b * b - a * (x * x + y * y - radius * radius)
    deep = root.clamp(min=0.0).sqrt()
    across = 0.5 + 0.5 * (x * dy - y * dx) / (a.sqrt() * radius)
    light = 0.55 + 0.45 * deep / (a.sqrt() * radius)
    return torch.where(root > 0.0, (b - deep) / a, -1.0), across, light


def _hit_box(x: Tensor, y: Tensor, dx: Tensor, dy: Tensor, radius: float) -> tuple[Tensor, Tensor, Tensor]:
    """See `sprites.hit_box`."""
    across_x, across_y = (torch.where(part != 0.0, 1.0 / part, 1e30) for part in (dx, dy))
    ends_x, ends_y = (
        ((x - radius) * across_x, (x + radius) * across_x),
        ((y - radius) * across_y, (y + radius) * across_y),
    )
    near_x, far_x = torch.minimum(*ends_x), torch.maximum(*ends_x)
    near_y, far_y = torch.minimum(*ends_y), torch.maximum(*ends_y)
    near = torch.maximum(near_x, near_y)
    hit = (near > 0.0) & (near <= torch.minimum(far_x, far_y))
    on_x, on_y = (near * dy - y + radius) / (2.0 * radius), (near * dx - x + radius) / (2.0 * radius)
    by_x = near_x > near_y
    across = torch.where(by_x, torch.where(dx > 0.0, on_x, 1.0 - on_x), torch.where(dy < 0.0, on_y, 1.0 - on_y))
    return torch.where(hit, near, -1.0), across, torch.where(by_x, 1.0, 0.85)
