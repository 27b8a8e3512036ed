"""An ensemble predicts and learns like its members one by one."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import Tensor

from pamiq_exp.models.cores import Gru, RecurrentCore
from pamiq_exp.models.dynamics import (
    EnsembleDynamics,
    ForwardDynamics,
    HeadedDynamics,
    MixtureHead,
    NormalHead,
    RecurrentDynamics,
    ResidualDynamics,
)
from tests.models.dynamics.parts import ACTION, CORES, FEATURES, sequences

COUNT = 3


def residual() -> HeadedDynamics:
    return ResidualDynamics(FEATURES, ACTION, 8, 1, NormalHead, predict_change=True, action_width=3)


def recurrent(name: str = "qgru") -> HeadedDynamics:
    return RecurrentDynamics(FEATURES, ACTION, CORES[name](8), partial(MixtureHead, components=2), tokens=2)


MEMBERS = {
    "residual": residual,
    **{name: partial(recurrent, name) for name in ("sioconv", "sioconv_ps", "qlstm", "qgru")},
}
every_kind = pytest.mark.parametrize("kind", list(MEMBERS))


def ensemble_and_members(kind: str) -> tuple[EnsembleDynamics, list[HeadedDynamics]]:
    """An ensemble in float64, and networks of their own with the same parameters."""
    torch.manual_seed(0)
    made: list[HeadedDynamics] = []

    def make() -> HeadedDynamics:
        made.append(MEMBERS[kind]())
        return made[-1]

    ensemble = EnsembleDynamics(make, COUNT).double()
    members = [copy.deepcopy(each).double() for each in made[1:]]
    first = MEMBERS[kind]().double()
    members.insert(0, first)
    stacked = dict(ensemble.member.network.named_parameters())
    with torch.no_grad():
        for name, parameter in first.named_parameters():
            parameter.copy_(stacked[name][0])
    return ensemble, members


def doubled(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}


@every_kind
def test_ensemble_dynamics_predicts_the_same_as_separate_members(kind: str) -> None:
    ensemble, members = ensemble_and_members(kind)
    batch = doubled(sequences(4, 6))
    batch["ended"][1, 2] = True
    prediction, states = ensemble.predict_sequence(batch["latent"], batch["action"], batch["ended"])
    step, state = ensemble.predict(batch["latent"][:, 0], batch["action"][:, 0], ensemble.initial_state(4))
    own_states = states.unflatten(-1, (COUNT, -1)) if ensemble.state_width else states
    for index, member in enumerate(members):
        own, after = member.predict_sequence(batch["latent"], batch["action"], batch["ended"])
        torch.testing.assert_close(prediction.mean[index], own.mean)
        torch.testing.assert_close(prediction.variance[index], own.variance)
        torch.testing.assert_close(prediction.loss(batch["latent"])[index], own.loss(batch["latent"]))
        torch.testing.assert_close(step.mean[index], own.mean[:, 0])
        if ensemble.state_width:
            torch.testing.assert_close(own_states[..., index, :], after)
            torch.testing.assert_close(state.unflatten(-1, (COUNT, -1))[:, index], after[:, 0])


@every_kind
def test_ensemble_dynamics_members_continue_from_their_own_predictions_and_states(kind: str) -> None:
    ensemble, members = ensemble_and_members(kind)
    batch = doubled(sequences(4, 3))
    prediction, state = ensemble.predict(batch["latent"][:, 0], batch["action"][:, 0], ensemble.initial_state(4))
    further, _ = ensemble.predict(prediction.mean, batch["action"][:, 1], state)
    for index, member in enumerate(members):
        own, own_state = member.predict(batch["latent"][:, 0], batch["action"][:, 0], member.initial_state(4))
        expected, _ = member.predict(own.mean, batch["action"][:, 1], own_state)
        torch.testing.assert_close(further.mean[index], expected.mean)


@every_kind
def test_ensemble_dynamics_members_differ_and_forward_returns_their_mean(kind: str) -> None:
    ensemble, _ = ensemble_and_members(kind)
    latent, action = sequences(4, 1)["latent"][:, 0].double(), sequences(4, 1)["action"][:, 0]
    prediction, _ = ensemble.predict(latent, action, ensemble.initial_state(4))
    assert prediction.mean.shape == (COUNT, 4, FEATURES)
    assert (prediction.mean.var(0) > 1e-6).all()
    torch.testing.assert_close(ensemble(latent, action, ensemble.initial_state(4))[0], prediction.mean.mean(0))


def test_ensemble_dynamics_gradients_match_separate_members() -> None:
    ensemble, members = ensemble_and_members("qgru")
    batch = doubled(sequences(4, 6))
    ForwardDynamics(ensemble, horizon=3).loss(batch).backward()
    stacked = dict(ensemble.member.network.named_parameters())
    for index, member in enumerate(members):
        (ForwardDynamics(member, horizon=3).loss(batch) / COUNT).backward()
        for name, parameter in member.named_parameters():
            gradient = stacked[name].grad
            assert gradient is not None
            torch.testing.assert_close(gradient[index], parameter.grad)


def test_ensemble_dynamics_loaded_or_copied_predicts_the_same() -> None:
    first, _ = ensemble_and_members("qgru")
    torch.manual_seed(1)
    other = EnsembleDynamics(recurrent, COUNT).double()
    batch = doubled(sequences(2, 4))
    arguments = (batch["latent"], batch["action"], batch["ended"])
    expected = first.predict_sequence(*arguments)[0].mean
    assert not torch.equal(other.predict_sequence(*arguments)[0].mean, expected)
    other.load_state_dict(first.state_dict())
    for each in (other, copy.deepcopy(first)):
        assert torch.equal(each.predict_sequence(*arguments)[0].mean, expected)


def test_ensemble_dynamics_bootstrap_trains_members_on_different_sequences() -> None:
    torch.manual_seed(0)
    ensemble = EnsembleDynamics(residual, COUNT)
    dynamics = ForwardDynamics(ensemble, bootstrap=0.5)
    batch = sequences(1, 4)
    for _ in range(20):
        dynamics.zero_grad()
        dynamics.loss(batch).backward()
        gradient = ensemble.member.network.input.weight.grad
        assert gradient is not None
        learned = gradient.flatten(1).any(1)
        if 0 < learned.sum() < COUNT:
            break
    assert 0 < learned.sum() < COUNT
    dynamics.eval()
    torch.testing.assert_close(dynamics.loss(batch), ForwardDynamics(ensemble).loss(batch))


def test_ensemble_dynamics_training_reduces_disagreement_and_fits_the_noise_variance() -> None:
    """Disagreement falls where there is nothing more to learn; variance stays where there is noise."""
    torch.manual_seed(0)
    ensemble = EnsembleDynamics(lambda: ResidualDynamics(FEATURES, ACTION, 32, 1, NormalHead), 4)
    dynamics = ForwardDynamics(ensemble, learning_rate=3e-3)
    generator = torch.Generator().manual_seed(0)

    def batch() -> dict[str, Tensor]:
        """The first half of the features is turned round, the second half is noise."""
        data = sequences(64, 2, int(torch.randint(2**31, (), generator=generator)))
        data["latent"][:, 1, : FEATURES // 2] = -data["latent"][:, 0, : FEATURES // 2]
        return data

    def look() -> tuple[Tensor, Tensor]:
        fresh = batch()
        with torch.no_grad():
            prediction, _ = ensemble.predict(fresh["latent"][:, 0], fresh["action"][:, 0], ensemble.initial_state(64))
        return prediction.mean.var(0, correction=0).mean(0), prediction.variance.mean((0, 1))

    before, _ = look()
    optimizer = torch.optim.Adam(dynamics.parameters(), lr=3e-3)
    for _ in range(400):
        optimizer.zero_grad()
        dynamics.loss(batch()).backward()
        optimizer.step()
    disagreement, variance = look()
    assert (disagreement < before / 3).all()
    assert (variance[: FEATURES // 2] < 0.1).all()
    assert ((variance[FEATURES // 2 :] > 0.7) & (variance[FEATURES // 2 :] < 1.4)).all()


def test_ensemble_dynamics_refuses_a_single_member_and_gru_cores() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        EnsembleDynamics(residual, 1)
    with pytest.raises(ValueError, match="GRU; choose another core"):
        EnsembleDynamics(lambda: RecurrentDynamics(FEATURES, ACTION, RecurrentCore(Gru, 8)))
