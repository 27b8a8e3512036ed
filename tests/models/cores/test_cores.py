"""Properties of every recurrent core, against single steps in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from pamiq_exp.models.cores import Gru, Mixer, QGru, QLstm, RecurrentCore, SioConv, SioConvPS
from pamiq_exp.scan import ScanMethod
from tests.scan.methods import METHODS

Scanned: TypeAlias = tuple[Tensor, Tensor]

WIDTH, DEPTH = 12, 2

MIXERS: dict[str, Callable[..., Mixer]] = {
    # A larger gain than usual, so that the memory has an effect on the output.
    "sioconv": partial(SioConv, heads=3, gain=1.0),
    "sioconv_ps": SioConvPS,
    "qlstm": QLstm,
    "qgru": QGru,
    "gru": Gru,
}
SCANNING = [name for name in MIXERS if name != "gru"]

every_core = pytest.mark.parametrize("name", list(MIXERS))


def make(name: str, seed: int = 0, dropout: float = 0.0, **given: Any) -> RecurrentCore:
    torch.manual_seed(seed)
    return RecurrentCore(partial(MIXERS[name], **given), WIDTH, DEPTH, dropout=dropout)


def steps(core: RecurrentCore, x: Tensor, state: Tensor, reset: Tensor | None) -> Scanned:
    """One step after another."""
    outputs, states = [], []
    for t in range(x.shape[-2]):
        if reset is not None:
            state = state.masked_fill(reset[..., t, None, None], 0.0)
        output, state = core.step(x[..., t, :], state)
        outputs.append(output)
        states.append(state)
    return torch.stack(outputs, -2), torch.stack(states, -3)


def difference(result: Tensor, expected: Tensor) -> float:
    result, expected = result.detach().double(), expected.detach()
    return float((result - expected).abs().max() / expected.abs().max().clamp(min=1))


def problem(core: RecurrentCore, seed: int, length: int, batch: Sequence[int] = (2,)) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, a state that is not zero, and resets, in float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*batch, length, core.width, generator=generator, dtype=torch.float64)
    state = torch.rand(*batch, core.depth, core.state_width, generator=generator, dtype=torch.float64)
    return x, state, torch.rand(*batch, length, generator=generator) < 0.1


def gradients(core: RecurrentCore, results: Scanned, arguments: Sequence[Tensor]) -> tuple[Tensor, ...]:
    total = torch.zeros((), dtype=torch.float64)
    for result in results:
        weights = torch.linspace(-1, 1, result.numel(), dtype=torch.float64).view(result.shape) / result.numel()
        total = total + (result.double() * weights).sum()
    return torch.autograd.grad(total, [*arguments, *core.parameters()])


def options(name: str, method: ScanMethod, chunk: int) -> dict[str, Any]:
    return {} if name == "gru" else {"method": method, "chunk": chunk}


@every_core
@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**31),
    length=st.sampled_from([1, 2, 3, 20]),
    method=st.sampled_from(METHODS),
    chunk=st.integers(1, 24),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    with_reset=st.booleans(),
)
def test_recurrent_core_scan_matches_steps_in_outputs_and_gradients(
    name: str, seed: int, length: int, method: ScanMethod, chunk: int, dtype: torch.dtype, with_reset: bool
) -> None:
    core = make(name, **options(name, method, chunk)).to(dtype)
    exact = copy.deepcopy(core).double()
    x, state, reset = problem(core, seed, length)
    x, state = (each.to(dtype).requires_grad_() for each in (x, state))
    exact_x, exact_state = (each.detach().double().requires_grad_() for each in (x, state))
    cleared = reset if with_reset else None
    results, expected = core.scan(x, state, cleared), steps(exact, exact_x, exact_state, cleared)
    right = [*expected, *gradients(exact, expected, [exact_x, exact_state])]
    check([*results, *gradients(core, results, [x, state])], right, dtype)


@every_core
def test_recurrent_core_long_scan_matches_steps_for_every_method_and_chunk(name: str) -> None:
    exact = make(name).double()
    x, state, reset = problem(exact, 0, 257)
    expected = steps(exact, x.requires_grad_(), state.requires_grad_(), reset)
    right = [*expected, *gradients(exact, expected, [x, state])]
    ways: list[tuple[ScanMethod, int]] = [("chunked", 1), ("chunked", 7), ("chunked", 64), ("chunked", 257)]
    for method, chunk in [*ways, ("compiled", 1)] if name != "gru" else ways[:1]:
        for dtype in (torch.float64, torch.float32):
            core = make(name, **options(name, method, chunk)).to(dtype)
            own_x, own_state = (each.detach().to(dtype).requires_grad_() for each in (x, state))
            results = core.scan(own_x, own_state, reset)
            check([*results, *gradients(core, results, [own_x, own_state])], right, dtype)


def check(results: Sequence[Tensor], right: Sequence[Tensor], dtype: torch.dtype) -> None:
    """Outputs, states and gradients within the tolerance of their type."""
    for result, expected in zip(results, right, strict=True):
        assert result.dtype == dtype
        assert difference(result, expected) < (1e-10 if dtype == torch.float64 else 2e-5)


# The norm of SioConv divides by deviations that may be small, and so enlarges what bfloat16 rounds off.
CLOSE = {name: (5e-2, 5e-2) if name == "sioconv" else (2e-2, 1e-2) for name in MIXERS}


@every_core
@pytest.mark.parametrize("length", [3, 64])
def test_recurrent_core_keeps_float32_states_close_to_float64_under_autocast(name: str, length: int) -> None:
    core = make(name)
    x, state, reset = problem(core, length, length)
    exact = steps(copy.deepcopy(core).double(), x, state, reset)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        whole = core.scan(x.bfloat16(), state.float(), reset)
        stepwise = steps(core, x.bfloat16(), state.float(), reset)
    for results in (whole, stepwise):
        assert [result.dtype for result in results] == [torch.bfloat16, torch.float32]
        assert all(difference(*each) < bound for *each, bound in zip(results, exact, CLOSE[name], strict=True))
    assert all(difference(result, other.double()) < 1e-2 for result, other in zip(whole, stepwise, strict=True))


@every_core
def test_recurrent_core_in_bfloat16_is_close_to_float64_with_finite_gradients(name: str) -> None:
    core = make(name)
    x, state, reset = problem(core, 0, 64)
    with torch.no_grad():
        exact = steps(copy.deepcopy(core).double(), x, state, reset)
    half = core.bfloat16()
    results = half.scan(x.bfloat16(), state.float(), reset)
    assert [result.dtype for result in results] == [torch.bfloat16, torch.float32]
    assert half.initial_state().dtype == torch.float32
    assert all(difference(*each) < bound for *each, bound in zip(results, exact, CLOSE[name], strict=True))
    (results[0].float().sum() + results[1].sum()).backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in half.parameters())


@every_core
@pytest.mark.parametrize("cut", [1, 17, 39])
def test_recurrent_core_scan_in_two_pieces_matches_one_scan(name: str, cut: int) -> None:
    core = make(name).double()
    x, state, reset = problem(core, 1, 40)
    outputs, states = core.scan(x, state, reset)
    first, first_states = core.scan(x[:, :cut], state, reset[:, :cut])
    second, second_states = core.scan(x[:, cut:], first_states[:, -1], reset[:, cut:])
    torch.testing.assert_close(torch.cat([first, second], 1), outputs)
    torch.testing.assert_close(torch.cat([first_states, second_states], 1), states)


@every_core
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_recurrent_core_accepts_any_number_of_batch_axes(name: str, batch: tuple[int, ...]) -> None:
    core = make(name).double()
    x, state, reset = problem(core, 2, 5, (2, 3))
    outputs, states = core.scan(x, state, reset)
    index = (0,) * (2 - len(batch))
    results = core(x[index], state[index], reset[index])
    torch.testing.assert_close(results, (outputs[index], states[index]))
    one = core(x[index][..., 0, :], state[index].masked_fill(reset[index][..., 0, None, None], 0.0))
    torch.testing.assert_close(one, (outputs[index][..., 0, :], states[index][..., 0, :, :]))
    assert core.initial_state(batch).shape == state[index].shape == one[1].shape


@every_core
def test_recurrent_core_state_defaults_to_zeros(name: str) -> None:
    core = make(name)
    x = torch.randn(3, 4, WIDTH)
    zeros = core.initial_state((3,))
    assert not zeros.any()
    assert all(map(torch.equal, core.scan(x), core.scan(x, zeros)))
    assert all(map(torch.equal, core.step(x[:, 0]), core.step(x[:, 0], zeros)))


@every_core
def test_recurrent_core_outputs_and_later_states_depend_on_the_given_state(name: str) -> None:
    core = make(name)
    x, state, _ = problem(core, 3, 6)
    x, state = x.float(), state.float()
    pairs = [*zip(core.step(x[:, 0], state), core.step(x[:, 0]), strict=True)]
    pairs += zip(core.scan(x, state), core.scan(x), strict=True)
    for with_state, without in pairs:
        assert not torch.allclose(with_state, without, atol=1e-4)


@every_core
def test_recurrent_core_is_causal(name: str) -> None:
    core = make(name)
    x = torch.randn(2, 30, WIDTH)
    changed = x.clone()
    changed[:, 17] += 1.0
    before, after = core.scan(x), core.scan(changed)
    for result, other in zip(before, after, strict=True):
        assert torch.equal(result[:, :17], other[:, :17])
        assert not torch.equal(result[:, 17:], other[:, 17:])


@every_core
def test_recurrent_core_reset_removes_dependence_on_earlier_steps(name: str) -> None:
    core = make(name)
    x, other = torch.randn(2, 30, WIDTH), torch.randn(2, 30, WIDTH)
    other[:, 17:] = x[:, 17:]
    reset = torch.zeros(2, 30, dtype=torch.bool)
    reset[0, 17] = True
    results, others = core.scan(x, None, reset), core.scan(other, None, reset)
    for result, right in zip(results, others, strict=True):
        assert torch.equal(result[0, 17:], right[0, 17:])
        assert not torch.equal(result[1, 17:], right[1, 17:])


@every_core
def test_recurrent_core_stays_finite_for_large_inputs_over_long_sequences(name: str) -> None:
    core = make(name)
    x = (1e3 * torch.randn(1, 4096, WIDTH)).clamp(-1e3, 1e3).requires_grad_()
    outputs, states = core.scan(x)
    (outputs.sum() + states.sum()).backward()  # type: ignore[no-untyped-call]
    assert outputs.isfinite().all()
    assert states.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in core.parameters())


@every_core
def test_recurrent_core_loaded_or_copied_gives_identical_outputs(name: str) -> None:
    core, other = make(name, seed=0), make(name, seed=1)
    x = torch.randn(2, 9, WIDTH)
    outputs, _ = core.scan(x)
    assert not torch.equal(other.scan(x)[0], outputs)
    assert torch.equal(copy.deepcopy(core).scan(x)[0], outputs)
    other.load_state_dict(core.state_dict())
    assert torch.equal(other.scan(x)[0], outputs)
    copied = copy.deepcopy(core)
    with torch.no_grad():
        for weight in copied.parameters():
            weight.add_(1.0)
    assert torch.equal(core.scan(x)[0], outputs)


@every_core
def test_recurrent_core_dropout_is_active_only_in_training(name: str) -> None:
    core = make(name, dropout=0.5)
    x = torch.randn(2, 9, WIDTH)
    assert not torch.equal(core.scan(x)[0], core.scan(x)[0])
    core.eval()
    assert torch.equal(core.scan(x)[0], core.scan(x)[0])


@every_core
def test_recurrent_core_has_two_separate_norms_per_block(name: str) -> None:
    core = make(name)
    norms = [weight for name, weight in core.named_parameters(remove_duplicate=False) if "_norm.weight" in name]
    assert len(norms) == len({id(weight) for weight in norms}) == 2 * DEPTH


@every_core
def test_recurrent_core_memory_for_gradients_grows_linearly_with_length(name: str) -> None:
    core = make(name)

    def kept(length: int) -> int:
        storages: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            results = core.scan(torch.randn(1, length, WIDTH))
        assert results[0].requires_grad
        return sum(storages.values())

    assert kept(2048) < 4.1 * kept(512)


@pytest.mark.parametrize("name", SCANNING)
def test_recurrent_core_vmap_over_an_ensemble_matches_each_member(name: str) -> None:
    members = [make(name, seed).double() for seed in range(3)]
    x, state, reset = problem(members[0], 4, 7)
    parameters, buffers = torch.func.stack_module_state(members)

    def run(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Scanned:
        results: Scanned = torch.func.functional_call(members[0], (parameters, buffers), (x, state, reset))
        return results

    together = torch.func.vmap(run)(parameters, buffers)
    for index, member in enumerate(members):
        torch.testing.assert_close((together[0][index], together[1][index]), member.scan(x, state, reset))


def test_recurrent_core_gives_the_same_outputs_when_compiled() -> None:
    core = make("sioconv")
    x, state, reset = problem(core, 5, 9)
    compiled = torch.compile(core.scan, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x.float(), state.float(), reset), core.scan(x.float(), state.float(), reset))


def wrong_calls(core: RecurrentCore) -> dict[str, Callable[[], object]]:
    x, state = torch.zeros(2, 5, WIDTH), core.initial_state((2,))
    return {
        r"x must be \(\*batch, 12\), not \(3, 11\)": lambda: core.step(torch.zeros(3, 11)),
        r"x must be \(\*batch, time, 12\), not \(12,\)": lambda: core.scan(x[0, 0]),
        r"x must be \(\*batch, time, 12\), not \(2, 0, 12\)": lambda: core.scan(x[:, :0]),
        r"the state must be torch.float32 \(2, 2, 12\).*not torch.float32 \(3, 2, 12\)": lambda: core.scan(
            x, core.initial_state((3,))
        ),
        r"the state must be .*not torch.float64": lambda: core.scan(x, state.double()),
        r"the state must be .*not .*\(2, 1, 12\)": lambda: core.step(x[:, 0], state[:, :1]),
        r"x must be torch.float32 on cpu .*not torch.float64": lambda: core.scan(x.double(), state),
        r"x must be torch.float32 on cpu .*not torch.float32 \(2, 5, 12\) on meta": lambda: core.scan(x.to("meta")),
        r"reset must be bool \(2, 5\) .*not torch.bool \(5,\)": lambda: core.scan(x, state, torch.ones(5).bool()),
        r"reset must be bool \(2, 5\) .*not torch.float32": lambda: core.scan(x, state, torch.ones(2, 5)),
        r"x is \(12,\)": lambda: core(x[0, 0], state),
        r"x is \(2, 12\) with reset": lambda: core(x[:, 0], state, torch.ones(2).bool()),
        r"x is \(1, 2, 5, 12\)": lambda: core(x[None], state),
    }


def test_recurrent_core_refuses_wrong_shapes_dtypes_and_devices() -> None:
    for message, call in wrong_calls(make("qgru")).items():
        with pytest.raises(ValueError, match=message):
            call()
