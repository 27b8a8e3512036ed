"""Recurrent dynamics: predictions in training match those in acting, and use the memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from pamiq_exp.models.dynamics import ForwardDynamics, RecurrentDynamics
from tests.models.dynamics.parts import ACTION, CORES, FEATURES, sequences

every_core = pytest.mark.parametrize("name", list(CORES))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(name: str, predict_change: bool = False) -> RecurrentDynamics:
    torch.manual_seed(0)
    return RecurrentDynamics(FEATURES, ACTION, CORES[name](8, depth=2), predict_change=predict_change, action_width=3)


@every_core
@pytest.mark.parametrize("predict_change", [False, True])
def test_recurrent_dynamics_training_predictions_match_imagined_ones_k_steps_ahead(
    name: str, predict_change: bool
) -> None:
    """Acting goes on from its own predictions, with the actions that were done and the memory that it returned."""
    dynamics, horizon = ForwardDynamics(network(name, predict_change), horizon=5), 5
    batch = sequences(3, 9)
    batch["ended"][1, 2] = True
    losses = dynamics.losses(batch)
    latent, action, ended = batch["latent"], batch["action"], batch["ended"]
    state, squares = dynamics.network.initial_state(3), [[] for _ in range(horizon)]  # type: list[list[Tensor]]
    for t in range(8):
        state = state * ~ended[:, t - 1, None] if t else state
        imagined, memory = latent[:, t], state
        for ahead in range(min(horizon, 8 - t)):
            imagined, memory = dynamics(imagined, action[:, t + ahead], memory)
            if ahead == 0:
                state = memory
            counts = ~ended[:, t : t + ahead + 1].any(1)
            squares[ahead].append((imagined - latent[:, t + ahead + 1]).square().mean(-1)[counts])
    for loss, errors in zip(losses, squares, strict=True):
        torch.testing.assert_close(loss, torch.cat(errors).mean(), atol=1e-5, rtol=1e-5)
    weighted = sum(weight * loss for weight, loss in zip(dynamics.horizon_weights, losses, strict=True))
    torch.testing.assert_close(dynamics.loss(batch), weighted)


@every_core
def test_recurrent_dynamics_continues_from_a_given_state(name: str) -> None:
    whole, batch = network(name), sequences(2, 7)
    arguments = (batch["latent"], batch["action"], batch["ended"])
    prediction, states = whole.predict_sequence(*arguments)
    later, _ = whole.predict_sequence(*(each[:, 3:] for each in arguments), state=states[:, 2])
    torch.testing.assert_close(later.mean, prediction.mean[:, 3:])


def test_forward_dynamics_refuses_sequences_too_short_for_the_horizon() -> None:
    with pytest.raises(ValueError, match="at least 7 steps"):
        ForwardDynamics(network("qgru"), burn_in=2, horizon=4).loss(sequences(2, 6))


class LinearSystem:
    """A rotating point that is moved by actions and noise; one coordinate of it is observed, with noise.

        x_{t+1} = A x_t + B u_t + w_t,  z_t = C x_t + v_t

    The Kalman filter predicts z_{t+1} best, with an error that follows from A, C and the noise alone.
    """

    turn = 0.9 * torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    push = torch.tensor([0.5, 0.0], dtype=torch.float64)
    process, sensor = 0.1, 0.5

    def best_error(self) -> float:
        """The variance of the innovation in the steady state, from the Riccati equation (Kalman 1960)."""
        seen = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        noise = self.process**2 * torch.eye(2, dtype=torch.float64)
        spread = torch.eye(2, dtype=torch.float64)
        for _ in range(1000):
            innovation = seen @ spread @ seen.T + self.sensor**2
            gain = spread @ seen.T / innovation
            spread = self.turn @ (spread - gain @ seen @ spread) @ self.turn.T + noise
        return float(seen @ spread @ seen.T + self.sensor**2)

    def sequences(self, count: int, length: int, generator: torch.Generator) -> dict[str, Tensor]:
        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        x, latents = normal(count, 2), []
        action = normal(count, length, 1)
        for t in range(length):
            latents.append(x[:, :1] + self.sensor * normal(count, 1))
            x = x @ self.turn.T + action[:, t] * self.push + self.process * normal(count, 2)
        return {
            "latent": torch.stack(latents, 1).float(),
            "action": action.float(),
            "ended": torch.zeros(count, length, dtype=torch.bool),
        }


@pytest.mark.slow
@every_core
def test_recurrent_dynamics_error_is_close_to_that_of_the_kalman_filter(name: str) -> None:
    torch.manual_seed(0)
    system, generator = LinearSystem(), torch.Generator().manual_seed(0)
    action = {"kind": "box", "shape": [1], "dtype": "float32", "low": [-9.0], "high": [9.0]}
    # These two read their memory normalized or squashed, so that they learn late how large things are.
    updates = 1500 if name in ("sioconv", "qlstm") else 800
    dynamics = ForwardDynamics(RecurrentDynamics(1, action, CORES[name](32, 2)), burn_in=16)  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(dynamics.parameters(), lr=5e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=updates)
    for _ in range(updates):
        optimizer.zero_grad()
        dynamics.loss(system.sequences(32, 64, generator)).backward()
        torch.nn.utils.clip_grad_norm_(dynamics.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        error = float(dynamics.loss(system.sequences(2000, 64, generator)))
    assert 0.97 * system.best_error() < error < 1.1 * system.best_error()


@every_core
def test_recurrent_dynamics_predicts_a_cycle_but_not_its_shuffled_order(name: str) -> None:
    """A predictable sequence is predicted; the same observations in another order are not."""
    torch.manual_seed(0)
    dynamics = ForwardDynamics(RecurrentDynamics(FEATURES, ACTION, CORES[name](24)), burn_in=3)
    cycle = torch.tensor([0.0, 0.0, 1.0]).repeat(9)[None, :, None].expand(1, -1, FEATURES)
    batch = {
        "latent": torch.cat([cycle[:, shift : shift + 20] for shift in range(3)]),
        "action": torch.zeros(3, 20, 2, dtype=torch.int64),
        "ended": torch.zeros(3, 20, dtype=torch.bool),
    }
    optimizer = torch.optim.Adam(dynamics.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        dynamics.loss(batch).backward()
        optimizer.step()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert dynamics.loss(batch) < 1e-2
        assert dynamics.loss(batch | {"latent": batch["latent"][:, order]}) > 0.1
