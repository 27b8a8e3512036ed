"""The scan for a GPU: on one where there is one, and run by Triton's interpreter where Triton is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from pamiq_exp.scan import linear_scan
from tests.scan.methods import loop

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton comes with torch for a GPU")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def largest_differences(length: int, heads: int, inner: int, dtype: torch.dtype) -> list[float]:
    """Of states and gradients to a loop in float64, over the largest number."""
    generator = torch.Generator().manual_seed(length)
    decay = torch.randn(3, length, heads, generator=generator, dtype=torch.float64).mul(2).sigmoid()
    decay[torch.rand(decay.shape, generator=generator) < 0.05] = 0.0
    values, weight = (torch.randn(3, length, heads * inner, generator=generator).double() for _ in range(2))
    initial = torch.randn(3, heads * inner, generator=generator).double()

    def states_and_gradients(scan: Callable[..., Tensor], dtype: torch.dtype, device: str) -> list[Tensor]:
        given = [each.to(device, dtype).requires_grad_() for each in (decay, values, initial)]
        states = scan(*given)
        return [states, *torch.autograd.grad((states * weight.to(states)).sum(), given)]

    found = states_and_gradients(partial(linear_scan, method="associative"), dtype, DEVICE)
    right = states_and_gradients(loop, torch.float64, "cpu")
    return [
        float((each.detach().cpu() - expected.detach()).abs().max() / expected.detach().abs().max())
        for each, expected in zip(found, right, strict=True)
    ]


def check_everything() -> None:
    """Lengths below, at and above a stretch, widths that fill their programs or do not, decays of 0."""
    for dtype, tolerance in ((torch.float32, 2e-6), (torch.float64, 1e-13)):
        for length, heads, inner in ((1, 1, 1), (128, 20, 1), (131, 2, 9)):
            worst = max(largest_differences(length, heads, inner, dtype))
            assert worst < tolerance, (length, heads, inner, dtype, worst)


@needs_triton
@pytest.mark.slow
def test_linear_scan_associative_method_matches_the_loop_in_states_and_gradients() -> None:
    """Without a GPU in a process of its own: the interpreter has to be on before Triton is imported."""
    words = [sys.executable, "-c", "from tests.scan.test_gpu import check_everything; check_everything()"]
    settings = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}
    done = subprocess.run(words, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("name", ["_scan", "_scan_back"])
@pytest.mark.parametrize("number", ["fp32", "fp64"])
def test_linear_scan_associative_kernels_compile_for_a_gpu(name: str, number: str) -> None:
    """Down to what the device runs, which needs no device."""
    import triton
    from triton.backends.compiler import GPUTarget

    from pamiq_exp.scan import gpu

    kernel = getattr(gpu, name)
    constants = {"TIME": gpu.TIME, "CHANNELS": gpu.CHANNELS}
    kinds = dict.fromkeys(constants, "constexpr") | dict.fromkeys(("length", "heads", "inner"), "i32")
    signature = {argument: kinds.get(argument, f"*{number}") for argument in kernel.arg_names}
    source = triton.compiler.ASTSource(kernel, signature, constants)
    built = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    assert built.asm["cubin"]


def test_linear_scan_associative_method_requires_a_gpu() -> None:
    if torch.cuda.is_available() or find_spec("triton") is None:
        pytest.skip("there is a GPU, or no Triton")
    with pytest.raises(ValueError, match="on a GPU, not on cpu"):
        linear_scan(torch.ones(3, 2), torch.ones(3, 4), method="associative")
