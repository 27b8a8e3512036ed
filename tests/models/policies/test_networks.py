"""Recurrent policies are trained from the stored memory of acting."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from pamiq_exp.models import ActorCritic, PolicyValueNetwork, RecurrentPolicyValue
from pamiq_exp.models.cores import Gru, QLstm, RecurrentCore, SioConv
from pamiq_exp.seeding import torch_generator
from pamiq_exp.spaces import ActionSpec

SIOCONV = partial(SioConv, heads=2, gain=1.0)

OBSERVATION = {"observation": {"vector": {"shape": [3], "dtype": "float32"}}}
ACTIONS: dict[str, ActionSpec] = {
    "discrete": {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [4]},
    "multi_discrete": {"kind": "multi_discrete", "shape": [3], "dtype": "int64", "nvec": [3, 2, 4]},
    "box": {"kind": "box", "shape": [2], "dtype": "float32", "low": [-1, -1], "high": [1, 1]},
}
NUM_ENVS, TURNS = 3, 40


def cores() -> dict[str, RecurrentCore]:
    torch.manual_seed(3)
    return {
        "sioconv": RecurrentCore(SIOCONV, 16, depth=2, expansion=2),
        "qlstm": RecurrentCore(QLstm, 16, depth=1),
        "gru": RecurrentCore(Gru, 16, depth=1),
    }


def network(core: str = "sioconv", action: str = "multi_discrete") -> RecurrentPolicyValue:
    torch.manual_seed(0)
    module = RecurrentPolicyValue(OBSERVATION, ACTIONS[action], cores()[core], hidden=(16,), activation="tanh")
    with torch.no_grad():
        for parameter in module.policy.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape))  # away from the nearly uniform initial policy
    return module


def acted(module: RecurrentPolicyValue) -> dict[str, Tensor]:
    """Act for some turns, through ends of episodes; return the records, `(NUM_ENVS, TURNS, ...)`."""
    generator, state = torch_generator(1), module.initial_state(NUM_ENVS)
    rows: list[dict[str, Tensor]] = []
    for _ in range(TURNS):
        seen = {"observation.vector": torch.randn(NUM_ENVS, 3, generator=generator)}
        ended = torch.rand(NUM_ENVS, generator=generator) < 0.1
        with torch.no_grad():
            distribution, value, after = module.step(seen, state)
        action = distribution.sample(generator)
        log_prob = distribution.log_prob(action)
        rows.append(
            seen | {"action": action, "log_prob": log_prob, "value": value, "policy_state": state, "ended": ended}
        )
        state = after * ~ended[:, None, None]
    return {name: torch.stack([row[name] for row in rows], 1) for name in rows[0]}


@pytest.mark.parametrize("core", ["sioconv", "qlstm", "gru"])
@pytest.mark.parametrize("action", list(ACTIONS))
def test_recurrent_policy_value_reproduces_acting_log_probs_and_values_in_training(core: str, action: str) -> None:
    module = network(core, action)
    records = acted(module)
    assert records["ended"].any()
    for start, length in ((0, TURNS), (0, 8), (17, 16), (TURNS - 1, 1)):
        window = {name: value[:, start : start + length] for name, value in records.items()}
        distribution, value = module(window)
        assert (distribution.log_prob(window["action"]) - window["log_prob"]).abs().max() < 1e-4
        torch.testing.assert_close(value, window["value"], atol=1e-4, rtol=1e-4)


def test_recurrent_policy_value_depends_on_the_stored_state_until_an_episode_end() -> None:
    module = network()
    records = acted(module)
    other = records | {"policy_state": torch.randn_like(records["policy_state"])}
    moved = (module(records)[1] - module(other)[1]).abs()
    assert (moved[:, 0] > 1e-3).all()
    ends = [(env, end) for env, end in torch.nonzero(records["ended"]).tolist() if end + 1 < TURNS]
    assert ends
    for env, end in ends:
        assert moved[env, end + 1 :].max() < 1e-6


def test_recurrent_policy_value_without_ended_flags_carries_its_state_to_the_end() -> None:
    module = network()
    records = acted(module)
    del records["ended"]
    other = records | {"policy_state": torch.randn_like(records["policy_state"])}
    assert (module(records)[1] - module(other)[1])[:, -1].abs().max() > 1e-6


def minibatch(module: RecurrentPolicyValue) -> dict[str, Tensor]:
    records = acted(module)
    generator = torch_generator(9)
    shape = records["value"].shape
    records["advantage"] = torch.randn(shape, generator=generator)
    records["return"] = torch.randn(shape, generator=generator)
    return records | {"weight": (~records["ended"]).float()}


def test_recurrent_policy_value_gives_every_parameter_a_gradient() -> None:
    module = ActorCritic(network())
    loss = module.training_step(minibatch(module.network), 0)  # type: ignore[arg-type]
    loss.backward()
    silent = [name for name, value in module.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert silent == []


def test_recurrent_policy_value_error_names_a_missing_policy_state() -> None:
    module = network()
    records = acted(module)
    del records["policy_state"]
    with pytest.raises(KeyError, match="policy_state"):
        module(records)


def test_recurrent_policy_value_refuses_single_transitions() -> None:
    module = network()
    single = {name: value[:, 0] for name, value in acted(module).items()}
    with pytest.raises(ValueError, match="sequence_length"):
        module(single)


def test_recurrent_policy_value_refuses_a_core_with_dropout() -> None:
    with pytest.raises(ValueError, match="dropout"):
        RecurrentPolicyValue(
            OBSERVATION,
            ACTIONS["discrete"],
            RecurrentCore(SIOCONV, 16, depth=1, dropout=0.1, expansion=2),
        )


def test_recurrent_policy_value_learns_a_task_that_needs_memory() -> None:
    """The cue of the first turn determines which action is rewarded at the fourth."""
    module = ActorCritic(network("qlstm", "discrete"), learning_rate=1e-2, entropy_coefficient=0.003)
    optimizer = module.configure_optimizers()
    generator = torch_generator(2)
    mean = 0.0
    for _ in range(60):
        cue = torch.randint(0, 4, (128,), generator=generator)
        seen = torch.zeros(128, 4, 3)
        seen[:, 0, 0], seen[:, 0, 1] = (cue % 2) * 2.0 - 1, (cue // 2) * 2.0 - 1
        state = module.network.initial_state(128)  # type: ignore[operator]
        rows: dict[str, list[Tensor]] = {"action": [], "log_prob": [], "value": [], "policy_state": []}
        with torch.no_grad():
            for turn in range(4):
                rows["policy_state"].append(state)
                distribution, value, state = module.network.step({"observation.vector": seen[:, turn]}, state)  # type: ignore[operator]
                rows["action"].append(distribution.sample(generator))
                rows["log_prob"].append(distribution.log_prob(rows["action"][-1]))
                rows["value"].append(value)
        paid = (rows["action"][-1][:, 0] == cue).float()
        mean = float(paid.mean())
        batch = {name: torch.stack(values, 1) for name, values in rows.items()} | {"observation.vector": seen}
        weight = torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(128, 4)
        batch |= {"advantage": (paid - paid.mean())[:, None].expand(128, 4), "return": paid[:, None].expand(128, 4)}
        batch |= {"weight": weight}
        for _ in range(3):
            loss = module.training_step(batch, 0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert mean > 0.9


@pytest.mark.parametrize("kind", ["feed_forward", "recurrent"])
def test_networks_give_the_same_outputs_when_compiled(kind: str) -> None:
    recurrent = network()
    records = acted(recurrent)
    module = recurrent if kind == "recurrent" else PolicyValueNetwork(OBSERVATION, ACTIONS["multi_discrete"])

    def outputs_of(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        distribution, value = module(batch)
        return distribution.log_prob(batch["action"]), value

    compiled: Any = torch.compile(outputs_of, backend="aot_eager")
    for ours, theirs in zip(compiled(records), outputs_of(records), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["feed_forward", "recurrent"])
def test_networks_give_nearly_the_same_values_in_bfloat16_and_under_autocast(kind: str) -> None:
    module = network() if kind == "recurrent" else PolicyValueNetwork(OBSERVATION, ACTIONS["multi_discrete"])
    records = acted(network())
    expected = module(records)[1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = module(records)[1]
    half = module.to(torch.bfloat16)(records)
    assert half[0].log_prob(records["action"]).dtype == torch.float32
    for value in (mixed, half[1]):
        assert (value.float() - expected).abs().max() < 0.1
