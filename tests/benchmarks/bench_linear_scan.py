"""What a scan costs, forward and backward, and how exact it is: `python -m tests.benchmarks.bench_linear_scan`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pamiq_exp.models.cores import Gru, QGru, QLstm, RecurrentCore, SioConv, SioConvPS
from pamiq_exp.runtime.memory import tune_malloc
from pamiq_exp.scan import linear_scan, scan_step
from tests.benchmarks.table import Row, markdown, median_seconds

Scan = Callable[[Tensor, Tensor, Tensor], Tensor]

SHAPES = (((1, 256, 1024), "<= 0.5"), ((8, 1024, 512), "<= 8.6"))
BYTES_MOVED = 10
"""Tensors of the full size that are read or written at least: 3 forward, 5 backward, and 2 by what uses them."""


def steps(decay: Tensor, values: Tensor, initial: Tensor) -> Tensor:
    """The naive way: autograd through a step after another."""
    state, states = initial, []
    for t in range(values.shape[-2]):
        state = scan_step(decay[..., t, :], values[..., t, :], state)
        states.append(state)
    return torch.stack(states, -2)


def log_space(decay: Tensor, values: Tensor, initial: Tensor) -> Tensor:
    """The cumulative form in logarithms, for positive values."""
    log_decay = decay.log().cumsum(-2)
    sums = torch.logcumsumexp(values.log() - log_decay, -2)
    return (sums + log_decay).exp() + log_decay.exp() * initial.unsqueeze(-2)


def problem(shape: tuple[int, int, int], heads: int, device: str) -> list[Tensor]:
    """Decays, values and an initial state as in a minimal gated unit."""
    generator = torch.Generator().manual_seed(0)
    batch, length, width = shape
    gate = torch.randn(batch, length, heads, generator=generator).sigmoid()
    values = torch.rand(shape, generator=generator) * gate.repeat_interleave(width // heads, -1)
    arguments = [1 - gate, values, torch.rand(batch, width, generator=generator)]
    return [each.to(device).requires_grad_() for each in arguments]


def milliseconds(scan: Scan, arguments: list[Tensor], repeats: int) -> tuple[float, float]:
    """Median and least time of one pass there and back."""
    upstream = torch.ones_like(arguments[1]).normal_()

    def there_and_back() -> None:
        torch.autograd.grad(scan(*arguments), arguments, upstream)
        if upstream.is_cuda:
            torch.cuda.synchronize()

    there_and_back()
    times = sorted(1e3 * median_seconds(there_and_back, 1) for _ in range(repeats))
    return times[repeats // 2], times[0]


def error(scan: Scan, arguments: list[Tensor]) -> float:
    """Largest difference of states and gradients to steps in float64, over the largest number."""
    exact = [each.detach().double().requires_grad_() for each in arguments]
    results, right = scan(*arguments), steps(*exact)
    upstream = torch.linspace(-1, 1, right.shape[-1], device=right.device, dtype=torch.float64).expand_as(right)
    pairs = zip(
        [results, *torch.autograd.grad(results, arguments, upstream.to(results.dtype))],
        [right, *torch.autograd.grad(right, exact, upstream)],
        strict=True,
    )
    return max(((result - expected).abs().max() / expected.abs().max()).item() for result, expected in pairs)


def scan_rows(device: str, repeats: int) -> Iterator[Row]:
    """Time and error of the scan, with the two ways that need no code."""
    for shape, aim in SHAPES:
        for heads in (shape[-1], 8):
            arguments = problem(shape, heads, device)
            per = "channel" if heads == shape[-1] else "head"
            what = f"a decay per {per}, (batch, time, width) = {shape}"
            few = max(2, repeats // 10)
            median, least = milliseconds(linear_scan, arguments, repeats)
            detail = f"least {least:.3g} ms"
            if heads == shape[-1]:
                logarithms, _ = milliseconds(log_space, arguments, few)
                detail += f"; in logarithms {logarithms:.3g} ms, error {error(log_space, arguments):.1e}"
            yield Row(f"ms for {what}", median, aim, milliseconds(steps, arguments, few)[0], detail)
            yield Row(f"error for {what}, in millionths", 1e6 * error(linear_scan, arguments), "<= 1")


def bandwidth_rows(repeats: int) -> Iterator[Row]:
    """On a GPU: against moving the bytes."""
    for shape, _ in SHAPES:
        arguments = problem(shape, shape[-1], "cuda")
        source = torch.empty(BYTES_MOVED // 2 * arguments[1].numel(), device="cuda")
        target = torch.empty_like(source)

        def move(target: Tensor = target, source: Tensor = source) -> None:
            target.copy_(source)
            torch.cuda.synchronize()

        floor = 1e3 * median_seconds(move, repeats)
        ours, _ = milliseconds(linear_scan, arguments, repeats)
        yield Row(f"time for {shape} / time of moving its bytes", ours / floor, "<= 3", detail=f"{ours:.3f} ms")


def core_table(repeats: int) -> str:
    """Parameters, one step, and a sequence there and back, of each kind of core at width 128 and depth 2."""
    lines = ["| core | parameters | us a step | ms for 8 sequences of 64 |", "|---|---|---|---|"]
    for kind in (SioConv, SioConvPS, QLstm, QGru, Gru):
        core = RecurrentCore(kind, width=128)
        x, state = torch.randn(8, 64, 128), core.initial_state((1,))

        def step(core: RecurrentCore = core, x: Tensor = x, state: Tensor = state) -> None:
            with torch.no_grad():
                core.step(x[:1, 0], state)

        def train(core: RecurrentCore = core, x: Tensor = x) -> None:
            core.scan(x)[0].sum().backward()  # type: ignore[no-untyped-call]

        count = sum(weight.numel() for weight in core.parameters())
        one, sequences = 1e6 * median_seconds(step, repeats, inner=20), 1e3 * median_seconds(train, repeats)
        lines.append(f"| {kind.__name__} | {count:,} | {one:.0f} | {sequences:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tune_malloc()  # as in every run: see docs/notes/performance.md, "The trainer loop"
    print(markdown([*scan_rows("cpu", options.repeats)]))
    print()
    print(core_table(options.repeats))
    if torch.cuda.is_available():
        print()
        print(markdown([*bandwidth_rows(options.repeats)]))


if __name__ == "__main__":
    main()
