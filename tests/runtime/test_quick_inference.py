"""Traced and compiled inference copies compute what eager ones do, follow publications, and say where they cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.models import RecurrentPolicyValue
from pamiq_exp.models.cores import Gru, RecurrentCore
from pamiq_exp.runtime import LaunchConfig, Publisher
from pamiq_exp.spaces import describe_action
from tests.runtime.parts import launch_small

INPUTS = {"observation": {"vector": {"shape": [3], "dtype": "float32"}}}


class Deciding(LightningModule):
    """Decides by a number in a tensor, which no trace can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x if self.count == 0 else -x


class Scaled(LightningModule):
    """Its parameters and rebound buffer show in its output."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, fields: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return self.layer(fields["x"]) * self.scale, {"x": fields["x"] + 1}


class Policy(LightningModule):
    """Inference uses its network only."""

    def __init__(self) -> None:
        super().__init__()
        core = RecurrentCore(Gru, 8, depth=2)
        self.network = RecurrentPolicyValue(INPUTS, describe_action(gymnasium.spaces.Discrete(4)), core)

    def inference_module(self) -> nn.Module:
        return self.network


def fields(count: int) -> dict[str, Tensor]:
    return {"x": torch.randn(count, 3)}


def equal(first: object, second: object) -> bool:
    return all(torch.allclose(a, b, atol=1e-6) for a, b in zip(tensors(first), tensors(second), strict=True))


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else vars(value).values()
    return [tensor for part in parts for tensor in tensors(part)]


def change(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))


def follows_publications(way: Any, model: LightningModule, source: nn.Module, call: Callable[[Any], Any]) -> Publisher:
    """Publish again and again, and compare with the trained module in evaluation mode."""
    publisher = Publisher({"model": model}, inference=way)
    source.eval()
    for _ in range(5):
        publisher.begin_step()
        module = publisher.inference_models()["model"].module
        torch.manual_seed(0)
        found = call(module)
        torch.manual_seed(0)
        assert equal(found, call(source))
        publisher.end_step()
        change(model)
        publisher.publish(["model"])
    return publisher


@torch.no_grad()
def test_traced_copies_follow_publications_for_each_number_of_environments() -> None:
    model = Scaled()
    publisher = follows_publications("traced", model, model, lambda module: (module(fields(2)), module(fields(5))))
    assert publisher.inference_notes == {"model.forward": "traced"}
    model.scale = torch.full((), 3.0)
    publisher.publish(["model"])
    x = fields(2)
    assert equal(publisher.inference_models()["model"](x), model(x))


@torch.no_grad()
def test_traced_recurrent_policy_returns_the_same_distribution_value_and_memory() -> None:
    model = Policy()

    def call(module: Any) -> Any:
        return module.step({"observation.vector": torch.randn(4, 3)}, torch.randn(4, 2, 8), torch.Generator())

    publisher = follows_publications("traced", model, model.network, call)
    assert publisher.inference_notes == {"model.step": "traced"}


@torch.no_grad()
def test_what_decides_by_numbers_in_a_tensor_stays_eager_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    model = Deciding()
    publisher = Publisher({"model": model}, inference="traced")
    port = publisher.inference_models()["model"]
    x = torch.ones(2)
    assert equal(port(x), x)
    model.count += 1
    publisher.publish(["model"])
    assert equal(port(x), -x)
    assert publisher.inference_notes["model.forward"].startswith("eager: ")
    assert "model.forward is not traced but eager" in caplog.text


class Noisy(LightningModule):
    """Draws from the generator that it is given, which no trace does."""

    def step(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x + torch.randn(x.shape, generator=generator)


def test_what_draws_random_numbers_stays_eager_and_draws_from_the_agents_generator() -> None:
    publisher = Publisher({"model": Noisy()}, inference="traced")
    module: Any = publisher.inference_models()["model"].module
    generator, same = torch.Generator(), torch.Generator()
    for _ in range(3):
        assert equal(module.step(torch.zeros(2), generator), torch.randn(2, generator=same))
    assert "it draws random numbers" in publisher.inference_notes["model.step"]


@pytest.mark.slow
@torch.no_grad()
def test_compiled_copies_follow_publications() -> None:
    model = Scaled()
    publisher = follows_publications("compiled", model, model, lambda module: module(fields(2)))
    assert publisher.inference_notes == {"model.forward": "compiled"}


@pytest.mark.parametrize("learner", ["thread", "process"])
def test_the_manifest_says_which_way_was_used(tmp_path: Path, learner: Any) -> None:
    config = LaunchConfig(learner=learner, inference="traced", max_steps=60)
    summary = launch_small(config, interval=0.002, folder=tmp_path)
    assert float(summary["model_version"]) > 0
    assert json.loads((tmp_path / "manifest.json").read_text())["inference"] == {"linear.forward": "traced"}
