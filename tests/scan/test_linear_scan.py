"""The scan against a loop in float64 that autograd goes through."""

from __future__ import annotations

import threading
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor

from pamiq_exp.scan import ScanMethod, linear_scan, scan_step, warm_up
from tests.scan.methods import METHODS, loop

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 2e-5}
"""On the largest difference over max(1, largest number). Inputs in bfloat16 are exact in float32."""


def difference(result: Tensor, expected: Tensor) -> float:
    return float(
        (result.detach().double() - expected.detach()).abs().max() / expected.detach().abs().max().clamp(min=1)
    )


def problem(seed: int, batch: tuple[int, ...], length: int, heads: int, inner: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    width = heads * inner
    decay = (2 * draw(*batch, length, heads)).sigmoid()
    decay[torch.rand(decay.shape, generator=generator) < 0.05] = 0.0
    return [decay, draw(*batch, length, width), draw(*batch, width)]


def gradients(states: Tensor, arguments: list[Tensor]) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 1, states.numel(), dtype=torch.float64).view(states.shape).to(states.dtype)
    return torch.autograd.grad((states * weights).sum(), arguments)


@given(
    seed=st.integers(0, 2**31),
    batch=st.sampled_from([(), (1,), (3,), (2, 2)]),
    length=st.sampled_from([1, 2, 3, 17, 64, 129]),
    heads=st.sampled_from([1, 2, 5]),
    inner=st.sampled_from([1, 3, 9]),
    dtype=st.sampled_from(list(TOLERANCE)),
    method=st.sampled_from(METHODS),
    chunk=st.integers(1, 140),
)
def test_linear_scan_matches_the_loop_in_states_and_gradients_for_every_method(
    seed: int,
    batch: tuple[int, ...],
    length: int,
    heads: int,
    inner: int,
    dtype: torch.dtype,
    method: ScanMethod,
    chunk: int,
) -> None:
    arguments = [each.requires_grad_() for each in problem(seed, batch, length, heads, inner, dtype)]
    exact = [each.detach().double().requires_grad_() for each in arguments]
    states, expected = linear_scan(*arguments, method=method, chunk=chunk), loop(*exact)
    assert states.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert difference(states, expected) < TOLERANCE[dtype]
    # A gradient is returned in the type of its argument, rounded once.
    rounding = torch.finfo(torch.bfloat16).eps if dtype == torch.bfloat16 else 0
    for result, right in zip(gradients(states, arguments), gradients(expected, exact), strict=True):
        assert result.dtype == dtype
        assert difference(result, right) < TOLERANCE[dtype] + rounding


@pytest.mark.parametrize("heads", [1, 4, 32])
def test_linear_scan_in_float32_is_accurate_to_1e_6_over_long_sequences(heads: int) -> None:
    decay, values, initial = problem(0, (2,), 4096, heads, 32 // heads, torch.float32)
    decay = 1 - 0.01 * decay
    exact = loop(decay.double(), values.double(), initial.double())
    assert difference(linear_scan(decay, values, initial), exact) < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_linear_scan_decay_of_zero_forgets_huge_earlier_values(method: ScanMethod) -> None:
    decay, values, initial = problem(1, (2,), 40, 3, 4, torch.float32)
    decay[:, 20] = 0.0
    loud = values.clone()
    loud[:, :20] *= 1e30
    quiet, after_noise = (linear_scan(decay, each, initial, method=method, chunk=7)[:, 20:] for each in (values, loud))
    assert torch.equal(quiet, after_noise)
    assert after_noise.isfinite().all()


@pytest.mark.parametrize("method", METHODS)
def test_linear_scan_in_reverse_gives_discounted_returns(method: ScanMethod) -> None:
    reward = torch.randn(30, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    bootstrap, gamma = torch.tensor([3.0, -1.0], dtype=torch.float64), 0.9
    returns = linear_scan(
        torch.tensor([gamma], dtype=torch.float64), reward, bootstrap, reverse=True, method=method, chunk=4
    )
    for t in range(30):
        powers = gamma ** torch.arange(30 - t, dtype=torch.float64)
        expected = (powers[:, None] * reward[t:]).sum(0) + gamma ** (30 - t) * bootstrap
        torch.testing.assert_close(returns[t], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("decay", "values", "initial"),
    [((1,), (2, 7, 6), None), ((7, 3), (2, 7, 6), (6,)), ((2, 1, 6), (2, 7, 6), (2, 6)), ((2, 7, 2), (7, 6), (2, 6))],
)
def test_linear_scan_broadcasts_missing_axes_and_axes_of_one(decay: Any, values: Any, initial: Any) -> None:
    a, u = (torch.rand(shape, dtype=torch.float64, requires_grad=True) for shape in (decay, values))
    start = torch.zeros(6, dtype=torch.float64) if initial is None else torch.rand(initial, dtype=torch.float64)
    states = linear_scan(a, u, None if initial is None else start)
    expected = loop(a.expand(2, 7, decay[-1]), u.expand(2, 7, 6), start.expand(2, 6))
    torch.testing.assert_close(states, expected)
    for result, right in zip(gradients(states, [a, u]), gradients(expected, [a, u]), strict=True):
        torch.testing.assert_close(result, right)


def test_scan_step_gives_the_same_bits_as_the_scan() -> None:
    decay, values, initial = problem(2, (3,), 50, 2, 5, torch.float32)
    states, state = linear_scan(decay, values, initial), initial
    for t in range(50):
        state = scan_step(decay[:, t], values[:, t], state)
        assert torch.equal(state, states[:, t])


@pytest.mark.parametrize("method", METHODS)
def test_linear_scan_second_derivatives_are_correct(method: ScanMethod) -> None:
    arguments = [each.requires_grad_() for each in problem(3, (2,), 5, 2, 2, torch.float64)]
    assert torch.autograd.gradgradcheck(lambda *each: linear_scan(*each, method=method, chunk=2), arguments)


@pytest.mark.parametrize("heads", [2, 6])
def test_linear_scan_vmap_over_an_ensemble_matches_each_member(heads: int) -> None:
    def loss(decay: Tensor, values: Tensor, initial: Tensor) -> Tensor:
        return linear_scan(decay, values, initial).square().sum()

    decay, values, initial = problem(4, (4,), 9, heads, 6 // heads, torch.float64)
    together = torch.func.vmap(torch.func.grad(loss, (0, 1, 2)), in_dims=(0, None, 0))(decay, values[0], initial)
    for member in range(4):
        alone = torch.func.grad(loss, (0, 1, 2))(decay[member], values[0], initial[member])
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(all_of_them[member], one)


def test_linear_scan_compiles_without_graph_breaks() -> None:
    def loss(decay: Tensor, values: Tensor) -> Tensor:
        return linear_scan(decay.sigmoid(), values).square().sum()

    arguments = [each.requires_grad_() for each in problem(5, (2,), 9, 2, 3, torch.float64)[:2]]
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for result, right in zip(
        torch.autograd.grad(compiled(*arguments), arguments),
        torch.autograd.grad(loss(*arguments), arguments),
        strict=True,
    ):
        torch.testing.assert_close(result, right)


def test_linear_scan_memory_for_gradients_grows_linearly_with_length() -> None:
    def kept(length: int, method: ScanMethod) -> int:
        storages: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        arguments = [each.requires_grad_() for each in problem(6, (2,), length, 2, 4, torch.float32)]
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            states = linear_scan(*arguments, method=method)
        assert states.requires_grad
        return sum(storages.values())

    for method in METHODS:
        assert kept(1024, method) < 4.2 * kept(256, method)


def test_linear_scan_gives_the_same_results_in_concurrent_threads() -> None:
    inputs = [problem(seed, (2,), 200, 4, 4, torch.float32) for seed in range(4)]
    results: dict[int, Tensor] = {}
    threads = [
        threading.Thread(target=lambda index=index: results.update({index: linear_scan(*inputs[index])}))
        for index in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, each in enumerate(inputs):
        assert torch.equal(results[index], linear_scan(*each))


def test_warm_up_leaves_nothing_to_compile() -> None:
    from pamiq_exp.scan import kernels

    def compiled() -> int:
        names = ("scan_channels", "scan_channels_back", "scan_heads", "scan_heads_back")
        return sum(len(getattr(kernels, name).signatures) for name in names)

    warm_up()
    before = compiled()
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for heads, inner in ((1, 6), (6, 1), (2, 3)):
            arguments = [each.requires_grad_() for each in problem(0, (2,), 5, heads, inner, dtype)]
            gradients(linear_scan(*arguments), arguments)
    assert compiled() == before


def test_linear_scan_refuses_invalid_arguments() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"decay": torch.ones(4, 4)}, "6 channels cannot be divided into 4 heads"),
        ({"values": torch.ones(6)}, r"values \(\*batch, time, width\)"),
        ({"values": torch.ones(0, 6)}, r"not over \(0, 6\)"),
        ({"initial": torch.ones(5)}, r"must be \(\*batch, 6\) .* not \(5,\)"),
        ({"method": "fast"}, "choose one of auto, compiled"),
        ({"chunk": 0}, "at least 1 step"),
    ]
    for change, message in cases:
        arguments: dict[str, Any] = {"decay": torch.ones(4, 2), "values": torch.ones(4, 6), **change}
        with pytest.raises(ValueError, match=message):
            linear_scan(**arguments)
