"""Models in half precision, and compiled."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pamiq_exp.models import (
    ActorCritic,
    EnsembleDynamics,
    ForwardDynamics,
    IJepa,
    ImageVae,
    ImaginationActorCritic,
    ImaginationPolicy,
    InverseDynamics,
    LatentDecoder,
    MixtureHead,
    NormalHead,
    PlainFeatures,
    PolicyValueNetwork,
    RecurrentDynamics,
    RecurrentPolicyValue,
    ResidualDynamics,
    RewardHeads,
    RewardHeadsNetwork,
)
from pamiq_exp.models.cores import QGru, RecurrentCore, SioConv
from pamiq_exp.rewards import (
    PreviousError,
    PreviousErrorNetwork,
    ResidualLevels,
    ResidualLevelsModel,
    RndModel,
    TimeHierarchy,
    TimeHierarchyModel,
)
from tests.models.dynamics.parts import ACTION, BOX, FEATURES, sequences

SIOCONV = partial(SioConv, heads=2, gain=1.0)

OBSERVATION = {"image": {"shape": [32, 32, 3], "dtype": "uint8"}}
LATENT = {"latent": {"shape": [FEATURES], "dtype": "float32"}}


def ijepa() -> IJepa:
    return IJepa(OBSERVATION, 64, tokens=4, token_width=16, width=32, depth=1, predictor_depth=1, min_area=1)


def recurrent(action: Any = ACTION) -> RecurrentDynamics:
    return RecurrentDynamics(
        FEATURES,
        action,
        RecurrentCore(SIOCONV, 8, 1, expansion=2),
        NormalHead,
        tokens=2,
        action_width=4,
    )


def outcome() -> RewardHeads:
    model = RewardHeads(RewardHeadsNetwork(FEATURES, ACTION, hidden=(16,)))
    model.attach_models(world())
    return model


def dreamer() -> ImaginationActorCritic:
    model = ImaginationActorCritic(ImaginationPolicy(FEATURES, ACTION, hidden=(16,)), horizon=3, min_reward_r2=None)
    model.attach_models(world() | {"outcome": outcome()})
    return model


def world() -> dict[str, Any]:
    return {
        "encoder": PlainFeatures({"vector": {"shape": [FEATURES], "dtype": "float32"}}),
        "dynamics": ForwardDynamics(ResidualDynamics(FEATURES, ACTION, 16, 1)),
    }


MODELS: dict[str, Callable[[], Any]] = {
    "image_vae": lambda: ImageVae(OBSERVATION, features=8),
    "icm": lambda: InverseDynamics(OBSERVATION, ACTION, 16, channels=(8,), hidden=(16,)),
    "ijepa": ijepa,
    "residual": lambda: ForwardDynamics(ResidualDynamics(FEATURES, ACTION, 16, 1, predict_change=True)),
    "recurrent": lambda: ForwardDynamics(recurrent(), horizon=2),
    "mixture": lambda: ForwardDynamics(ResidualDynamics(FEATURES, ACTION, 16, 1, partial(MixtureHead, components=2))),
    "ensemble": lambda: ForwardDynamics(
        EnsembleDynamics(lambda: RecurrentDynamics(FEATURES, ACTION, RecurrentCore(QGru, 8, 1), NormalHead), 2),
        horizon=2,
    ),
    "decoder": lambda: LatentDecoder(OBSERVATION, FEATURES, channels=(16, 8)),
    "ppo": lambda: ActorCritic(PolicyValueNetwork(LATENT, ACTION, hidden=(16,)), value_clip=0.2),
    "recurrent_ppo": lambda: ActorCritic(
        RecurrentPolicyValue(LATENT, ACTION, RecurrentCore(SIOCONV, 8, 1, expansion=2))
    ),
    "outcome": outcome,
    "dreamer": dreamer,
    "rnd": lambda: RndModel(OBSERVATION, 8, channels=(8,), hidden=(16,), warmup=2),
    "hierarchy": lambda: TimeHierarchyModel(TimeHierarchy(FEATURES, ACTION, layers=2, width=8)),
    "levels": lambda: ResidualLevelsModel(ResidualLevels(FEATURES, ACTION, levels=2, width=16)),
    "previous_error": lambda: PreviousError(PreviousErrorNetwork(FEATURES, ACTION, hidden=(16,))),
}
DRAWS_ACTIONS = {"dreamer"}
"""Those whose loss depends on sampled actions, which change with the rounding."""
every_model = pytest.mark.parametrize("name", list(MODELS))


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (4, 6, 32, 32, 3), generator=generator, dtype=torch.uint8)
    names = ("reward", "log_error", "value", "advantage", "return")
    numbers = {name: torch.randn(4, 6, generator=generator) for name in names}
    flags = {"terminated": torch.zeros(4, 6, dtype=torch.bool), "weight": torch.ones(4, 6)}
    acted = {"log_prob": torch.full((4, 6), -1.8), "policy_state": torch.zeros(4, 6, 1, 8)}
    return {**sequences(4, 6), **numbers, **flags, **acted, "observation.image": image}


def make(name: str) -> Any:
    torch.manual_seed(0)
    model = MODELS[name]()
    if name == "rnd":
        model.training_step(batch(), 0)  # sets the whitening
    return model


def loss_of(model: Any) -> Tensor:
    """The loss with the same draws each time."""
    torch.manual_seed(1)
    loss: Tensor = model.training_step(batch(), 0)
    return loss


@every_model
@pytest.mark.parametrize("how", ["true", "mixed"])
def test_models_have_nearly_the_same_loss_and_finite_gradients_in_bfloat16(name: str, how: str) -> None:
    """In a model of bfloat16 alone, a constant of another type would stop it with an error."""
    exact, half = make(name), make(name)
    if how == "true":
        loss = loss_of(half.bfloat16())
    else:
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(half)
    loss.backward()
    gradients = [weight.grad for weight in half.parameters() if weight.requires_grad and weight.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
    if name not in DRAWS_ACTIONS:
        right = float(loss_of(exact).detach())
        assert float(loss.detach()) == pytest.approx(right, rel=0.05, abs=0.02)


def test_recurrent_dynamics_with_box_actions_runs_in_bfloat16_with_a_float32_state() -> None:
    network = recurrent(BOX).bfloat16()
    predicted, state = network.predict(torch.randn(3, FEATURES), torch.randn(3, 2), network.initial_state(3))
    assert predicted.mean.isfinite().all()
    assert state.dtype == torch.float32


def test_models_convert_position_codes_and_rates_to_bfloat16() -> None:
    for module in (ijepa().bfloat16(), RecurrentCore(QGru, 8).bfloat16()):
        floats = [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]
        assert {tensor.dtype for tensor in floats} == {torch.bfloat16}


@pytest.mark.slow
@every_model
def test_models_have_the_same_loss_and_gradients_when_compiled(name: str) -> None:
    plain, other = make(name), make(name)
    compiled = torch.compile(other.training_step, backend="aot_eager")
    loss, right = loss_of(_Stepping(other, compiled)), loss_of(plain)
    loss.backward()
    right.backward()
    torch.testing.assert_close(loss, right, atol=1e-5, rtol=1e-4)
    for (path, weight), expected in zip(other.named_parameters(), plain.parameters(), strict=True):
        if expected.grad is not None:
            assert weight.grad is not None, path
            torch.testing.assert_close(weight.grad, expected.grad, atol=1e-5, rtol=1e-3)


class _Stepping(nn.Module):
    """A model whose training step is another function."""

    def __init__(self, model: Any, step: Any) -> None:
        super().__init__()
        self.model = model
        self.training_step = step


def test_forward_dynamics_copied_for_inference_predicts_the_same() -> None:
    for name in ("residual", "recurrent", "ensemble"):
        network = make(name).inference_module()
        latent, action = batch()["latent"][:, 0], batch()["action"][:, 0]
        expected = network(latent, action, network.initial_state(4))[0]
        assert torch.equal(copy.deepcopy(network).eval()(latent, action, network.initial_state(4))[0], expected)
