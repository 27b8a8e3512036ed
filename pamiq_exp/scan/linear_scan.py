"""The linear recurrence h_t = a_t h_{t-1} + u_t, with a gradient of its own."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from pamiq_exp.scan import chunked

ScanMethod: TypeAlias = Literal["auto", "compiled", "associative", "chunked"]
METHODS: tuple[ScanMethod, ...] = get_args(ScanMethod)
"""Ways to compute a scan. `auto` is `compiled` on a CPU; elsewhere `associative` with Triton, otherwise `chunked`."""

CHUNK = 64
"""Steps of a chunk of the method `chunked`."""


def linear_scan(
    decay: Tensor,
    values: Tensor,
    initial: Tensor | None = None,
    *,
    reverse: bool = False,
    method: ScanMethod = "auto",
    chunk: int = CHUNK,
) -> Tensor:
    """Return h_t = a_t h_{t-1} + u_t for all t, beginning from h_{-1} = `initial`.

    With `reverse`, time runs backwards: h_t = a_t h_{t+1} + u_t, from h_T = `initial`. That is a discounted sum:
    returns, lambda-returns and generalized advantages.

    The computation is in float64 if any argument is, otherwise in float32, because rounding errors of a long memory
    add up. All three arguments have gradients of any order, with memory linear in time. `torch.func` transforms and
    `torch.compile` work.

    Args:
        decay: a, `(*batch, time, heads)`. A head is `width / heads` neighboring channels: heads = 1 is one decay for
            all, heads = width one for each. Batch axes and time may be 1 or missing.
        values: u, `(*batch, time, width)`.
        initial: Initial state, `(*batch, width)`, where batch axes may be missing; None for zeros.
        reverse: Scan backwards in time.
        method: See `METHODS`; results differ by rounding only. `compiled` is for a CPU, `associative` for a GPU with
            Triton, `chunked` for any device.
        chunk: Steps of a chunk, for the method `chunked`.

    Returns:
        The states, `(*batch, time, width)`, in float32 or float64.

    Raises:
        ValueError: For shapes that do not fit each other, an unknown method, or a chunk below 1.
    """
    _check(decay, values, initial, method, chunk)
    dtype = torch.promote_types(torch.promote_types(decay.dtype, values.dtype), torch.float32)
    if initial is not None:
        dtype = torch.promote_types(dtype, initial.dtype)
    *batch, length = _broadcast(decay.shape[:-1], values.shape[:-1])
    rows, heads, width = math.prod(batch), decay.shape[-1], values.shape[-1]
    flat_decay = decay.to(dtype).expand(*batch, length, heads).reshape(rows, length, heads)
    flat_values = values.to(dtype).expand(*batch, length, width).reshape(rows, length, heads, -1)
    if initial is None:
        flat_initial = flat_values.new_zeros(rows, heads, width // heads)
    else:
        flat_initial = initial.to(dtype).expand(*batch, width).reshape(rows, heads, -1)
    if reverse:
        flat_decay, flat_values = flat_decay.flip(1), flat_values.flip(1)
    if method == "auto":
        method = _suitable_method(values.device.type)
    states = _apply(flat_decay, flat_values, flat_initial, method, chunk)
    return (states.flip(1) if reverse else states).reshape(*batch, length, width)


def scan_step(decay: Tensor, value: Tensor, state: Tensor) -> Tensor:
    """One step of `linear_scan`: `decay (*batch, heads)`, `value` and `state (*batch, width)`."""
    heads = (*value.shape[:-1], decay.shape[-1], -1)
    return (decay.unsqueeze(-1) * state.reshape(heads) + value.reshape(heads)).reshape(value.shape)


def _broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    return tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


@functools.cache
def _suitable_method(device: str) -> ScanMethod:
    if device == "cpu":
        from pamiq_exp.compiling import HAS_NUMBA  # importing numba is slow

        return "compiled" if HAS_NUMBA else "chunked"
    return "associative" if device == "cuda" and find_spec("triton") is not None else "chunked"


@functools.cache
def warm_up() -> None:
    """Compile the code for the CPU now instead of at the first use.

    The first time on a machine this takes seconds and holds the interpreter lock, which would delay a run. Layers that
    scan call it when they are built.
    """
    if _suitable_method("cpu") != "compiled":
        return
    from pamiq_exp.scan import kernels

    for dtype in (torch.float32, torch.float64):
        for inner in (1, 2):
            decay = torch.zeros(1, 1, 1, dtype=dtype, device="cpu")
            values = torch.zeros(1, 1, 1, inner, dtype=dtype, device="cpu")
            states = kernels.scan(decay, values, values[:, 0])
            kernels.scan_gradient(decay, states, values[:, 0], values)


def _check(decay: Tensor, values: Tensor, initial: Tensor | None, method: str, chunk: int) -> None:
    if method not in METHODS:
        raise ValueError(f"unknown scan method {method!r}; choose one of {', '.join(METHODS)}")
    if chunk < 1:
        raise ValueError(f"a chunk must hold at least 1 step, not {chunk}")
    if values.ndim < 2 or decay.ndim < 1 or 0 in values.shape[-2:]:
        raise ValueError(
            f"a scan goes over values (*batch, time, width) with decays (*batch, time, heads), "
            f"not over {tuple(values.shape)} with {tuple(decay.shape)}"
        )
    if decay.shape[-1] == 0 or values.shape[-1] % decay.shape[-1]:
        raise ValueError(f"{values.shape[-1]} channels cannot be divided into {decay.shape[-1]} heads of equal width")
    if initial is not None and initial.shape[-1:] != values.shape[-1:]:
        raise ValueError(
            f"the initial state must be (*batch, {values.shape[-1]}) for values {tuple(values.shape)}, "
            f"not {tuple(initial.shape)}"
        )


@torch.library.custom_op("pamiq_exp::linear_scan", mutates_args=())
def _scan(decay: Tensor, values: Tensor, initial: Tensor, method: str, chunk: int) -> Tensor:
    """`decay (rows, time, heads)`, `values (rows, time, heads, inner)`, `initial (rows, heads, inner)`."""
    if method == "compiled":
        from pamiq_exp.scan import kernels

        return kernels.scan(decay, values, initial)
    if method == "associative":
        from pamiq_exp.scan import gpu

        return gpu.scan(decay, values, initial)
    return chunked.scan(decay, values, initial, chunk)


@torch.library.custom_op("pamiq_exp::linear_scan_gradient", mutates_args=())
def _scan_gradient(
    decay: Tensor, states: Tensor, initial: Tensor, upstream: Tensor, method: str, chunk: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of decay, values and initial state."""
    if method == "compiled":
        from pamiq_exp.scan import kernels

        return kernels.scan_gradient(decay, states, initial, upstream)
    if method == "associative":
        from pamiq_exp.scan import gpu

        return gpu.scan_gradient(decay, states, initial, upstream)
    return _gradient(_scan, decay, states, initial, upstream, method, chunk)


def _gradient(
    scan: Callable[..., Tensor],
    decay: Tensor,
    states: Tensor,
    initial: Tensor,
    upstream: Tensor,
    method: str,
    chunk: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of decay, values and initial state.

    With G_t the derivative by h_t on all paths, G_t = g_t + a_{t+1} G_{t+1} is a scan against time;
    the derivatives by u_t, a_t and h_{-1} are G_t, G_t h_{t-1} and a_0 G_0.
    """
    following = torch.cat([torch.zeros_like(decay[:, :1]), decay[:, 1:].flip(1)], 1)
    total = scan(following, upstream.flip(1), torch.zeros_like(initial), method, chunk).flip(1)
    before = torch.cat([initial.unsqueeze(1), states[:, :-1]], 1)
    return (total * before).sum(-1), total, decay[:, 0].unsqueeze(-1) * total[:, 0]


@_scan.register_fake
def _(decay: Tensor, values: Tensor, initial: Tensor, method: str, chunk: int) -> Tensor:
    return torch.empty_like(values, memory_format=torch.contiguous_format)


@_scan_gradient.register_fake
def _(
    decay: Tensor, states: Tensor, initial: Tensor, upstream: Tensor, method: str, chunk: int
) -> tuple[Tensor, Tensor, Tensor]:
    contiguous = torch.contiguous_format
    like_decay, like_states = (torch.empty_like(tensor, memory_format=contiguous) for tensor in (decay, states))
    return like_decay, like_states, torch.empty_like(initial, memory_format=contiguous)


class _LinearScan(torch.autograd.Function):
    """Connects the gradient with the scan. The operators are opaque to compilers and registered with `torch.func`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(decay: Tensor, values: Tensor, initial: Tensor, method: str, chunk: int) -> Tensor:
        """See `linear_scan`."""
        states: Tensor = _scan(decay, values, initial, method, chunk)
        return states

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, str, int], output: Tensor) -> None:
        """Save the tensors for the gradient."""
        decay, _, initial, ctx.method, ctx.chunk = inputs
        ctx.save_for_backward(decay, output, initial)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Return the gradients of all arguments."""
        arguments = *ctx.saved_tensors, upstream, ctx.method, ctx.chunk
        if torch.is_grad_enabled():
            return *_gradient(_apply, *arguments), None, None
        return *_scan_gradient(*arguments), None, None


_apply: Callable[[Tensor, Tensor, Tensor, str, int], Tensor] = _LinearScan.apply


def _vectorized(operator: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """Run all members of `torch.func.vmap` as rows of one call."""

    def run(info: Any, in_dims: Sequence[int | None], *arguments: Any) -> tuple[Any, Any]:
        count = info.batch_size
        rows = [
            argument if not isinstance(argument, Tensor) else _members_first(argument, dim, count).flatten(0, 1)
            for argument, dim in zip(arguments, in_dims, strict=True)
        ]
        result = operator(*rows)
        if isinstance(result, Tensor):
            return result.view(count, -1, *result.shape[1:]), 0
        return tuple(tensor.view(count, -1, *tensor.shape[1:]) for tensor in result), (0,) * len(result)

    return run


def _members_first(tensor: Tensor, dim: int | None, count: int) -> Tensor:
    return tensor.expand(count, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


_scan.register_vmap(_vectorized(_scan))
_scan_gradient.register_vmap(_vectorized(_scan_gradient))
