"""Each kind of memory against its formula, written out for one number at a time."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from pamiq_exp.models.cores import Gru, QGru, QLstm, RecurrentCore, SioConv, SioConvPS
from pamiq_exp.models.cores.block import GatedFeedForward, Mixer, RootMeanSquareNorm

WIDTH = 6


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def sigmoid(number: float) -> float:
    return 1 / (1 + math.exp(-number))


def silu(number: float) -> float:
    return number * sigmoid(number)


def outputs_of(layer: nn.Linear, x: Tensor) -> list[float]:
    numbers: list[float] = (layer.weight @ x + layer.bias).tolist()
    return numbers


def apply(layer: nn.Linear, numbers: list[float]) -> list[float]:
    return outputs_of(layer, torch.tensor(numbers, dtype=torch.float64))


def one_step(mixer: Mixer) -> tuple[Tensor, Tensor, list[float], list[float]]:
    x, state = torch.randn(WIDTH, dtype=torch.float64), torch.rand(WIDTH, dtype=torch.float64)
    output, after = mixer.double().step(x, state)
    return x, state, output.tolist(), after.tolist()


def test_q_lstm_step_matches_its_formula() -> None:
    mixer = QLstm(WIDTH)
    x, state, output, after = one_step(mixer)
    numbers, gate = outputs_of(mixer.input, x), outputs_of(mixer.gate, x)
    for k in range(WIDTH):
        forget, value, inner_gate = numbers[k], numbers[WIDTH + k], numbers[2 * WIDTH + k]
        expected = sigmoid(forget) * float(state[k]) + math.tanh(value) * sigmoid(inner_gate)
        assert after[k] == pytest.approx(expected, abs=1e-12)
        assert output[k] == pytest.approx(math.tanh(expected) * sigmoid(gate[k]), abs=1e-12)


def test_q_gru_step_matches_its_formula() -> None:
    mixer = QGru(WIDTH, slowest=100.0)
    x, state, output, after = one_step(mixer)
    numbers = outputs_of(mixer.input, x)
    expected = []
    for k in range(WIDTH):
        rate = 100.0 ** (-k / (WIDTH - 1)) * sigmoid(numbers[k])
        expected.append((1 - rate) * float(state[k]) + rate * math.tanh(numbers[WIDTH + k]))
    assert after == pytest.approx(expected, abs=1e-6)
    assert output == pytest.approx(apply(mixer.output, after), abs=1e-12)


def test_sio_conv_ps_step_matches_its_formula() -> None:
    mixer = SioConvPS(WIDTH)
    x, state, output, after = one_step(mixer)
    numbers = outputs_of(mixer.input, x)
    expected = []
    for k in range(WIDTH):
        value, rate = sigmoid(numbers[k]), sigmoid(numbers[WIDTH + k])
        expected.append((1 - rate) * float(state[k]) + rate * value)
    assert after == pytest.approx(expected, abs=1e-12)
    gated = [y * silu(g) for y, g in zip(apply(mixer.output, after), outputs_of(mixer.gate, x), strict=True)]
    assert output == pytest.approx(gated, abs=1e-12)


def test_sio_conv_step_matches_its_formula() -> None:
    heads, inner = 2, WIDTH // 2
    mixer = SioConv(WIDTH, heads, gain=1.0)
    nn.init.normal_(mixer.norm_weight)
    nn.init.normal_(mixer.norm_bias)
    x, state, output, after = one_step(mixer)
    numbers, time_step = outputs_of(mixer.input, x), outputs_of(mixer.time_step, x)
    normal = []
    for head in range(heads):
        decay = math.exp(-math.exp(mixer.log_rate[head].item()) * math.log1p(math.exp(time_step[head])))
        channels = range(head * inner, (head + 1) * inner)
        expected = [decay * float(state[k]) + numbers[k] * silu(numbers[WIDTH + k]) for k in channels]
        assert [after[k] for k in channels] == pytest.approx(expected, abs=1e-12)
        mean = sum(expected) / inner
        deviation = math.sqrt(sum((each - mean) ** 2 for each in expected) / inner + 1e-5)
        scale, shift = mixer.norm_weight[head].item(), mixer.norm_bias[head].item()
        normal += [(each - mean) / deviation * scale + shift for each in expected]
    gated = [y * silu(g) for y, g in zip(apply(mixer.output, normal), outputs_of(mixer.gate, x), strict=True)]
    assert output == pytest.approx(gated, abs=1e-12)


def test_gru_step_matches_the_gru_cell_of_torch() -> None:
    mixer = Gru(WIDTH)
    x, state, output, after = one_step(mixer)
    cell = nn.GRUCell(WIDTH, WIDTH).double()
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in mixer.layer.state_dict().items()})
    assert output == after == pytest.approx(cell(x, state).tolist(), abs=1e-12)


def test_root_mean_square_norm_and_gated_feed_forward_match_their_formulas() -> None:
    norm, layer = RootMeanSquareNorm(WIDTH).double(), GatedFeedForward(WIDTH, 4).double()
    nn.init.normal_(norm.weight)
    x = torch.randn(WIDTH, dtype=torch.float64)
    root = math.sqrt(sum(float(each) ** 2 for each in x) / WIDTH + 1e-6)
    assert norm(x).tolist() == pytest.approx(
        [a / root * w for a, w in zip(x.tolist(), norm.weight.tolist(), strict=True)]
    )
    numbers = outputs_of(layer.inner, x)
    hidden = [numbers[k] * silu(numbers[4 + k]) for k in range(4)]
    assert layer(x).tolist() == pytest.approx(apply(layer.outer, hidden))


@pytest.mark.parametrize("bias", [-4.0, 0.0, 4.0])
def test_sio_conv_ps_scan_matches_its_published_log_space_form(bias: float) -> None:
    mixer = SioConvPS(WIDTH).double()
    nn.init.constant_(mixer.input.bias[WIDTH:], bias)
    x, state = torch.randn(2, 40, WIDTH, dtype=torch.float64), torch.rand(2, WIDTH, dtype=torch.float64)
    value, rate = mixer.input(x).chunk(2, -1)
    log_kept = nn.functional.logsigmoid(-rate).cumsum(1)
    log_values = nn.functional.logsigmoid(value) + nn.functional.logsigmoid(rate)
    published = torch.exp(torch.logcumsumexp(log_values - log_kept, 1) + log_kept) + log_kept.exp() * state[:, None]
    torch.testing.assert_close(mixer.scan(x, state, None)[1], published, rtol=1e-8, atol=1e-8)


def test_sio_conv_scan_matches_its_matrix_form() -> None:
    mixer = SioConv(WIDTH, 2, gain=1.0).double()
    x, state = torch.randn(40, WIDTH, dtype=torch.float64), torch.rand(WIDTH, dtype=torch.float64)
    decay, values = mixer.gates(x)
    for head in range(2):
        exponents = torch.tril(decay.log()[:, head, None].expand(40, 40), -1).cumsum(0)
        matrix = torch.tril(exponents.exp())
        channels = slice(3 * head, 3 * head + 3)
        from_start = decay[:, head].cumprod(0)[:, None] * state[channels]
        expected = matrix @ values[:, channels] + from_start
        torch.testing.assert_close(mixer.scan(x, state, None)[1][:, channels], expected, rtol=1e-9, atol=1e-12)


def test_sio_conv_initial_time_constants_range_from_short_to_long() -> None:
    mixer = SioConv(512, 256)
    decay, _ = mixer.gates(torch.zeros(512))
    time_constants = -1 / decay.detach().log()
    assert float(time_constants.min()) >= 0.6
    assert float(time_constants.min()) < 2
    assert float(time_constants.max()) <= 1000.5
    assert float(time_constants.max()) > 50


def test_q_gru_rates_cover_the_range_and_every_channel_has_a_gradient() -> None:
    mixer = QGru(WIDTH, slowest=1000.0)
    assert (1 / mixer.fastest_rate).tolist() == pytest.approx(
        [1000 ** (k / (WIDTH - 1)) for k in range(WIDTH)], rel=1e-5
    )
    outputs, states = mixer.scan(torch.randn(50, WIDTH), torch.zeros(WIDTH), None)
    (gradient,) = torch.autograd.grad(outputs.sum() + states.sum(), mixer.input.weight)
    assert (gradient.abs().sum(1) > 0).all()


def test_sio_conv_ps_states_stay_between_zero_and_one() -> None:
    mixer = SioConvPS(WIDTH)
    states = mixer.scan(10 * torch.randn(4, 500, WIDTH), torch.rand(4, WIDTH), None)[1].detach()
    assert float(states.min()) >= 0
    assert float(states.max()) <= 1


def test_q_lstm_forget_bias_raises_the_forget_gate() -> None:
    kept = [float(QLstm(WIDTH, bias).gates(torch.zeros(WIDTH))[0].detach().mean()) for bias in (None, 3.0)]
    assert kept[0] < 0.6 < sigmoid(3.0) == pytest.approx(kept[1])


@pytest.mark.parametrize(
    ("width", "depth", "heads", "millions"), [(1024, 6, 8, 63.0), (1536, 9, 8, 212.4), (2048, 12, 8, 503.5)]
)
def test_sio_conv_has_the_expected_parameter_counts(width: int, depth: int, heads: int, millions: float) -> None:
    with torch.device("meta"):
        core = RecurrentCore(partial(SioConv, heads=heads), width, depth, expansion=2)
    count = sum(weight.numel() for weight in core.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


def test_recurrent_core_refuses_a_depth_of_zero() -> None:
    with pytest.raises(ValueError, match="depth of at least 1"):
        RecurrentCore(QGru, WIDTH, depth=0)


def test_cores_refuse_invalid_arguments() -> None:
    with pytest.raises(ValueError, match="4 heads cannot share a width of 6 equally"):
        SioConv(WIDTH, 4)
    with pytest.raises(ValueError, match="unknown scan method 'fast'; choose one of auto, compiled"):
        QLstm(WIDTH, method="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"at least 1 step, not 0\.5"):
        QGru(WIDTH, slowest=0.5)


@pytest.mark.parametrize("how", ["autocast", "whole core"])
def test_q_gru_slow_channels_still_forget_in_bfloat16(how: str) -> None:
    mixer, x = QGru(WIDTH, slowest=1000.0), torch.zeros(WIDTH)
    exact, _ = mixer.double().gates(x.double())
    if how == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            decay, values = mixer.float().gates(x)
    else:
        decay, values = mixer.bfloat16().gates(x.bfloat16())
    assert decay.dtype == values.dtype == torch.float32
    torch.testing.assert_close(1 - decay.double(), 1 - exact, rtol=1e-2, atol=0)
