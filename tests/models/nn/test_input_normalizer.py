"""Normalization of inputs: by statistics from before the round, published with the policy."""

from __future__ import annotations

import numpy as np
import torch

from pamiq_exp.models import ActorCritic, PolicyValueNetwork
from pamiq_exp.models.nn.input_normalizer import InputNormalizer
from pamiq_exp.models.nn.layers import FieldsNetwork
from pamiq_exp.spaces import ActionSpec, ArraySpec

VECTOR: ArraySpec = {"shape": [3], "dtype": "float32"}
ACTION: ActionSpec = {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [2]}


def test_input_normalizer_uses_counted_statistics_only_after_a_refresh() -> None:
    generator = np.random.default_rng(0)
    seen = generator.normal([5.0, -2.0, 0.0], [3.0, 0.1, 1.0], (100, 3)).astype(np.float32)
    normalizer = InputNormalizer(3)
    for part in np.split(seen, 4):
        normalizer.count(torch.from_numpy(part))
        assert torch.equal(normalizer(torch.ones(1, 3)), torch.ones(1, 3)), "not before the refresh"
    normalizer.refresh()
    expected = (seen - seen.mean(0)) / seen.std(0)
    np.testing.assert_allclose(normalizer(torch.from_numpy(seen)).numpy(), expected, rtol=1e-4, atol=1e-4)
    assert normalizer(torch.tensor([[1e9, -1e9, 0.0]]))[0, :2].tolist() == [10.0, -10.0]


def test_input_normalizer_is_not_used_for_images() -> None:
    fields: dict[str, ArraySpec] = {
        "observation.image": {"shape": [8, 8, 3], "dtype": "uint8"}, "observation.vector": VECTOR,
    }  # fmt: skip
    network = FieldsNetwork(fields, (4,), (4,), "relu", normalize=True)
    assert list(network.normalizers) == ["observation_vector"]


def test_actor_critic_counts_inputs_in_training_and_normalizes_from_the_next_epoch() -> None:
    network = PolicyValueNetwork({"observation": {"vector": VECTOR}}, ACTION, hidden=(4,), separate=True,
                                 normalize_inputs=True)  # fmt: skip
    module = ActorCritic(network)
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    zeros = torch.zeros(5)
    batch = {
        "observation.vector": torch.arange(15.0).view(5, 3), "action": torch.zeros(5, 1, dtype=torch.int64),
        "log_prob": zeros, "value": zeros, "advantage": zeros, "return": zeros, "weight": zeros + 1,
    }  # fmt: skip
    before, _ = module(batch)
    module.training_step(batch, 0)
    during, _ = module(batch)
    torch.testing.assert_close(during.log_probs, before.log_probs)
    module.on_train_epoch_end()
    for body in network.bodies():
        used = body.normalizers["observation_vector"].used
        torch.testing.assert_close(used.mean, torch.arange(15.0).view(5, 3).mean(0).double())
    assert "body.normalizers.observation_vector.used.mean" in network.state_dict()
    plain = PolicyValueNetwork({"observation": {"vector": VECTOR}}, ACTION)
    assert not any(body.normalizers for body in plain.bodies())
