"""Traced and compiled inference copies give the outputs of eager ones, and report where they stay eager."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import pytest
import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.interaction import Observation
from pamiq_exp.models import PolicyValueNetwork, RecurrentPolicyValue
from pamiq_exp.models.cores import Gru, RecurrentCore
from pamiq_exp.runtime import LaunchConfig, Publisher
from pamiq_exp.spaces import describe_action
from tests.runtime.parts import CollectingAgent, LinearModel, NoisyWorld, launch_small, linear_model

INPUTS = {"observation": {"vector": {"shape": [3], "dtype": "float32"}}}


class Deciding(LightningModule):
    """Branches on the value of a tensor, which cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x if self.count == 0 else -x


class Scaled(LightningModule):
    """Its output depends on its parameters and a rebound buffer."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, fields: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return self.layer(fields["x"]) * self.scale, {"x": fields["x"] + 1}


class Bounded(LightningModule):
    """Keeps the bounds of its input as tensors from its first call on."""

    def __init__(self) -> None:
        super().__init__()
        bounds = {"lows": [-2.5, -3.5, -4.5], "highs": [2.0, 3.0, 4.0]}
        inputs = {"observation": {"vector": {"shape": [3], "dtype": "float32", **bounds}}}
        self.network = PolicyValueNetwork(inputs, describe_action(gymnasium.spaces.Discrete(4)), hidden=(8,))

    def forward(self, x: Tensor) -> Any:
        return self.network({"observation.vector": x})


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factor", torch.ones(()))


class Choice:
    """The output of a network: a tensor, and a part of the network."""

    def __init__(self, x: Tensor, part: Scale) -> None:
        self.x, self.part = x, part

    def read(self) -> Tensor:
        return self.x * self.part.factor


class Choosing(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([Scale()])
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Choice:
        return Choice(self.layer(x), self.parts[0])


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
def test_quick_inference_traces_follow_publications_for_each_num_envs() -> None:
    model = Scaled()
    publisher = follows_publications("traced", model, model, lambda module: (module(fields(2)), module(fields(5))))
    assert publisher.inference_notes == {"model.forward": "traced"}
    model.scale = torch.full((), 3.0)
    publisher.publish(["model"])
    x = fields(2)
    assert equal(publisher.inference_models()["model"](x), model(x))


@torch.no_grad()
def test_quick_inference_tensors_kept_from_a_traced_call_stay_usable() -> None:
    model = Bounded()
    publisher = Publisher({"model": model}, inference="traced")
    publisher.begin_step()
    traced = publisher.inference_models()["model"](torch.ones(2, 3))
    assert publisher.inference_notes == {"model.forward": "traced"}
    assert equal(traced, model(torch.ones(2, 3)))
    model(torch.ones(5, 3))[1].numpy()  # a tensor that a trace has left behind could not be read


@torch.no_grad()
def test_quick_inference_output_refers_to_the_copy_and_not_to_the_model() -> None:
    model = Choosing()
    publisher = follows_publications("traced", model, model, lambda module: module(fields(2)["x"]).read())
    assert publisher.inference_notes == {"model.forward": "traced"}
    model.parts[0].factor.fill_(3.0)
    publisher.publish(["model"])
    x = fields(2)["x"]
    assert equal(publisher.inference_models()["model"](x).read(), model(x).read())
    assert publisher.inference_models()["model"](x).part is not model.parts[0]


@torch.no_grad()
def test_quick_inference_traces_a_recurrent_policy_to_equal_outputs() -> None:
    model = Policy()

    def call(module: Any) -> Any:
        return module.step({"observation.vector": torch.randn(4, 3)}, torch.randn(4, 2, 8), torch.Generator())

    publisher = follows_publications("traced", model, model.network, call)
    assert publisher.inference_notes == {"model.step": "traced"}


@torch.no_grad()
def test_quick_inference_stays_eager_if_control_flow_depends_on_a_tensor(caplog: pytest.LogCaptureFixture) -> None:
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
    """Draws from a generator, which cannot be traced."""

    def step(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x + torch.randn(x.shape, generator=generator)


def test_quick_inference_stays_eager_if_random_numbers_are_drawn() -> None:
    publisher = Publisher({"model": Noisy()}, inference="traced")
    module: Any = publisher.inference_models()["model"].module
    generator, same = torch.Generator(), torch.Generator()
    for _ in range(3):
        assert equal(module.step(torch.zeros(2), generator), torch.randn(2, generator=same))
    assert "it draws random numbers" in publisher.inference_notes["model.step"]


@pytest.mark.slow
@torch.no_grad()
def test_quick_inference_compiled_copies_follow_publications() -> None:
    model = Scaled()
    publisher = follows_publications("compiled", model, model, lambda module: module(fields(2)))
    assert publisher.inference_notes == {"model.forward": "compiled"}


@pytest.mark.parametrize("learner", ["thread", "process"])
def test_quick_inference_is_recorded_in_the_manifest(tmp_path: Path, learner: Any) -> None:
    config = LaunchConfig(learner=learner, inference="traced", max_steps=60)
    summary = launch_small(config, interval=0.002, folder=tmp_path)
    assert float(summary["model_version"]) > 0
    assert json.loads((tmp_path / "manifest.json").read_text())["inference"] == {"linear.forward": "traced"}


class Counted(LinearModel):
    """Counts the calls of its Python code, which a trace does not execute."""

    calls: ClassVar[list[str]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append("call")
        return super().forward(x)


class Counting(NoisyWorld):
    """Records at the beginning of each turn how often the Python code of the model was called."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def observe(self) -> Observation:
        self.counts.append(len(Counted.calls))
        return super().observe()


class Locked(CollectingAgent):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


def launch_counted(inference: Any, agent: CollectingAgent) -> list[int]:
    """Return the calls of the model's Python code before each turn."""
    Counted.calls.clear()
    world, model = Counting(), Counted()
    model.load_state_dict(linear_model().state_dict())
    config = LaunchConfig(mode="lockstep", inference=inference, max_steps=9)  # before the first round
    launch_small(config, world=world, agent=agent, model=model)
    return world.counts


def test_quick_inference_traces_before_the_first_turn_and_keeps_the_agent() -> None:
    eager, traced = CollectingAgent(), CollectingAgent()
    assert launch_counted("eager", eager)[-1] == 8
    before, *later = launch_counted("traced", traced)
    assert before > 0
    assert set(later) == {before}
    assert torch.equal(eager.generator.get_state(), traced.generator.get_state())
    assert traced.versions == eager.versions


def test_quick_inference_traces_in_the_first_turn_if_the_agent_cannot_be_copied(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    before, first, *later = launch_counted("traced", Locked())
    assert before == 0 < first
    assert set(later) == {first}
    assert "first turns, which take longer: Locked cannot be copied" in caplog.text
