"""Recurrent cores: stacks of recurrent blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from pamiq_exp.models.cores.block import Block, Mixer


class RecurrentCore(nn.Module):
    """A stack of recurrent blocks of one kind.

    The memory of all blocks is one tensor, `(*batch, depth, state_width)`, of float32 (float64 for a core in
    float64), and zeros at the start of an episode. `x` may have any batch axes, also none.

    Args:
        mixer: Makes the mixer of a block from the width: `Gru`, `QGru`, `QLstm`, `SioConv`, `SioConvPS`, or one of them
            with arguments (`functools.partial(SioConv, heads=8)`).
        width: Size of an input, an output, and the memory of a block.
        depth: Number of blocks.
        expansion: Hidden size of the feed-forward layers, as a multiple of `width`.
        dropout: Dropout probability in training; must be 0 for a policy.

    Attributes:
        state_width: Size of the memory of each block.

    Raises:
        ValueError: For a depth below 1.
    """

    def __init__(
        self,
        mixer: Callable[[int], Mixer],
        width: int = 128,
        depth: int = 2,
        expansion: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError("a core needs a depth of at least 1")
        blocks = [Block(mixer(width), expansion * width, dropout) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.width, self.depth = int(width), int(depth)
        self.state_width = blocks[0].mixer.state_width

    def initial_state(
        self,
        batch_shape: Sequence[int] = (),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """The memory at the start of an episode, zeros, `(*batch_shape, depth, state_width)`.

        Device and data type are those of the core, if not given.
        """
        shape = (*batch_shape, self.depth, self.state_width)
        return torch.zeros(shape, device=device or self._weight.device, dtype=dtype or self.state_dtype)

    @property
    def state_dtype(self) -> torch.dtype:
        """The data type of the memory: float32 also for a core in half precision."""
        return torch.promote_types(self._weight.dtype, torch.float32)

    def step(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take one input.

        Args:
            x: `(*batch, width)`.
            state: The memory before it, `(*batch, depth, state_width)`; None for zeros.

        Returns:
            The output, `(*batch, width)`, in the data type of `x`, and the memory after it.

        Raises:
            ValueError: For a wrong rank, shape, device or type.
        """
        batch = x.shape[:-1]
        self._check_input(x, 1)
        state = self._checked_state(state, batch, x.device)
        states = []
        for index, block in enumerate(self._blocks):
            x, after = block.step(x, state[..., index, :])
            states.append(after)
        return x, torch.stack(states, -2)

    def scan(self, x: Tensor, state: Tensor | None = None, reset: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take a sequence; equal to one `step` for each input, and faster.

        Args:
            x: `(*batch, time, width)`.
            state: The memory before the sequence, `(*batch, depth, state_width)`; None for zeros.
            reset: Where the memory that enters a step is cleared, `(*batch, time)` bool.

        Returns:
            The outputs, `(*batch, time, width)`, in the data type of `x`, and the memory after each step,
            `(*batch, time, depth, state_width)`.

        Raises:
            ValueError: For a wrong rank, shape, device or type.
        """
        self._check_input(x, 2)
        state = self._checked_state(state, x.shape[:-2], x.device)
        if reset is not None and (reset.shape != x.shape[:-1] or reset.dtype != torch.bool):
            raise ValueError(
                f"reset must be bool {tuple(x.shape[:-1])} for inputs {tuple(x.shape)}, not {_describe(reset)}"
            )
        states = []
        for index, block in enumerate(self._blocks):
            x, after = block.scan(x, state[..., index, :], reset)
            states.append(after)
        return x, torch.stack(states, -2)

    def forward(self, x: Tensor, state: Tensor, reset: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`step` where `x` has one axis less than `state`, `scan` where it has as many."""
        if x.ndim == state.ndim - 1 and reset is None:
            return self.step(x, state)
        if x.ndim == state.ndim:
            return self.scan(x, state, reset)
        raise ValueError(
            f"with a state {tuple(state.shape)}, x must be (*batch, {self.width}) for one step without reset, or "
            f"(*batch, time, {self.width}) for a sequence, where *batch is {tuple(state.shape[:-2])}; "
            f"x is {tuple(x.shape)}{'' if reset is None else ' with reset'}"
        )

    @property
    def _blocks(self) -> Iterable[Block]:
        return cast("Iterable[Block]", self.blocks)

    @property
    def _weight(self) -> Tensor:
        return next(iter(self._blocks)).mixer_norm.weight

    def _check_input(self, x: Tensor, min_axes: int) -> None:
        axes = "*batch" if min_axes == 1 else "*batch, time"
        if x.ndim < min_axes or x.shape[-1] != self.width or 0 in x.shape[-min_axes:]:
            raise ValueError(f"x must be ({axes}, {self.width}), not {tuple(x.shape)}")
        weight = self._weight
        casts = x.is_floating_point() and torch.is_autocast_enabled(weight.device.type)
        if x.device != weight.device or (x.dtype != weight.dtype and not casts):
            raise ValueError(f"x must be {weight.dtype} on {weight.device} like the core, not {_describe(x)}")

    def _checked_state(self, state: Tensor | None, batch: torch.Size, device: torch.device) -> Tensor:
        if state is None:
            return self.initial_state(batch)
        expected = (*batch, self.depth, self.state_width)
        if state.shape != expected or state.dtype != self.state_dtype or state.device != device:
            raise ValueError(f"the state must be {self.state_dtype} {expected} on {device}, not {_describe(state)}")
        return state


def _describe(tensor: Tensor) -> str:
    return f"{tensor.dtype} {tuple(tensor.shape)} on {tensor.device}"
