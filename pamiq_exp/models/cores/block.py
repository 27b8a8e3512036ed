"""Blocks of recurrent cores, and the base classes of their mixers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.scan import METHODS, ScanMethod, linear_scan, scan_step, warm_up


class Mixer(nn.Module, ABC):
    """Base class of layers that mix a sequence over time, with a memory vector.

    Attributes:
        width: Size of an input and of an output.
        state_width: Size of the memory.
    """

    def __init__(self, width: int, state_width: int) -> None:
        super().__init__()
        self.width = int(width)
        self.state_width = int(state_width)

    @abstractmethod
    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Take one input, `(*batch, width)`, with the memory before it, `(*batch, state_width)`.

        Returns the output, `(*batch, width)`, and the memory after it.
        """

    @abstractmethod
    def scan(self, x: Tensor, state: Tensor, reset: Tensor | None) -> tuple[Tensor, Tensor]:
        """Take a sequence, `(*batch, time, width)`, with the memory before it, `(*batch, state_width)`.

        Where `reset`, `(*batch, time)` bool, is true, the memory that enters the step is zero. Returns the
        outputs, `(*batch, time, width)`, and the memory after each step, `(*batch, time, state_width)`.
        """


class LinearRecurrence(Mixer):
    """Base class of mixers whose memory is h_t = a_t h_{t-1} + u_t, where a_t and u_t depend only on x_t.

    Gates do not read the memory, so a whole sequence is one scan. A subclass defines a, u and the output. The memory
    is float32 (or float64), whatever the data type of the inputs.

    Args:
        width: Size of an input, an output, and the memory.
        method: How to scan; see `linear_scan`.
        chunk: Steps of a chunk, for the method `chunked`.
    """

    def __init__(self, width: int, method: ScanMethod, chunk: int) -> None:
        super().__init__(width, state_width=width)
        if method not in METHODS:
            raise ValueError(f"unknown scan method {method!r}; choose one of {', '.join(METHODS)}")
        self.method = method
        self.chunk = int(chunk)
        if method in ("auto", "compiled"):
            warm_up()

    @abstractmethod
    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the decay a, `(..., heads)`, and u, `(..., width)`, for inputs `(..., width)`.

        Both in the data type of the memory; see `to_float32`.
        """

    @abstractmethod
    def read(self, x: Tensor, state: Tensor) -> Tensor:
        """Return the output, `(..., width)`, for inputs and the memory after them, both `(..., width)`."""

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        decay, values = self.gates(x)
        state = scan_step(decay, values, state)
        return self.read(x, state), state

    def scan(self, x: Tensor, state: Tensor, reset: Tensor | None) -> tuple[Tensor, Tensor]:
        """See the base class."""
        decay, values = self.gates(x)
        if reset is not None:
            decay = decay.masked_fill(reset.unsqueeze(-1), 0.0)
        states = linear_scan(decay, values, state, method=self.method, chunk=self.chunk)
        return self.read(x, states), states


class RootMeanSquareNorm(nn.Module):
    """x / sqrt(mean x^2 + 1e-6), times a weight for each channel.

    Source: Zhang and Sennrich 2019, Root mean square layer normalization, equation 4.

    Args:
        width: Size of an input.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """`(..., width)` -> the same shape and type."""
        numbers = to_float32(x)
        return (numbers * (numbers.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * self.weight).to(x.dtype)


class GatedFeedForward(nn.Module):
    """W3 [(W1 x) * SiLU(W2 x)], with biases.

    Source: Shazeer 2020, GLU variants improve transformer, equation 6 (SwiGLU).

    Args:
        width: Size of an input and an output.
        hidden: Size of the hidden layer.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, 2 * hidden)
        self.outer = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., width)` -> `(..., width)`."""
        value, gate = self.inner(x).chunk(2, -1)
        output: Tensor = self.outer(value * nn.functional.silu(gate))
        return output


class Block(nn.Module):
    """A mixer over time and a feed-forward layer, each with a norm before it and a residual connection.

    Args:
        mixer: Mixes over time.
        hidden: Size of the hidden layer of the feed-forward layer.
        dropout: Dropout probability of the output of either.
    """

    def __init__(self, mixer: Mixer, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.mixer = mixer
        self.mixer_norm = RootMeanSquareNorm(mixer.width)
        self.feed_forward = GatedFeedForward(mixer.width, hidden)
        self.feed_forward_norm = RootMeanSquareNorm(mixer.width)
        self.dropout = nn.Dropout(dropout)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `Mixer.step`."""
        mixed, state = self.mixer.step(self.mixer_norm(x), state)
        return self._add(x, mixed), state

    def scan(self, x: Tensor, state: Tensor, reset: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `Mixer.scan`."""
        mixed, states = self.mixer.scan(self.mixer_norm(x), state, reset)
        return self._add(x, mixed), states

    def _add(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + self.dropout(mixed).to(x.dtype)
        added: Tensor = self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return x + added.to(x.dtype)
