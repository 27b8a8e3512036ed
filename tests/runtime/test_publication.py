"""Publications to inference are complete, of one version, and never wait."""

from __future__ import annotations

import multiprocessing
import threading

import pytest
import torch
from lightning import LightningModule
from torch import nn

from pamiq_exp.runtime import LaunchConfig, Publisher
from tests.runtime.parts import LinearModel, launch_small, linear_model


class Constant(LightningModule):
    """One large parameter, so that a copy takes a while and a torn one would show."""

    def __init__(self, size: int = 200_000) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(size))

    def forward(self) -> tuple[float, float]:
        return self.value.min().item(), self.value.max().item()


class Encoder(LightningModule):
    """Only its target is for inference."""

    def __init__(self) -> None:
        super().__init__()
        self.online, self.target = nn.Linear(2, 2), nn.Linear(2, 2)

    def inference_module(self) -> nn.Module:
        return self.target


def test_publisher_copies_are_in_evaluation_mode_and_without_gradients() -> None:
    model = linear_model().train()
    port = Publisher({"linear": model}).inference_models()["linear"]
    x = torch.ones(1, 3)
    assert not port.module.training
    assert torch.equal(port(x), port(x))
    assert not port(x).requires_grad
    assert model.training


def test_publisher_outputs_can_be_fed_to_autograd_later() -> None:
    port = Publisher({"linear": linear_model()}).inference_models()["linear"]
    weight = torch.ones(3, requires_grad=True)
    (port(torch.ones(1, 3)) * weight).sum().backward()
    assert weight.grad is not None


def test_publisher_parameters_and_rebound_buffers_appear_only_when_published() -> None:
    model = linear_model()
    publisher = Publisher({"linear": model})
    port = publisher.inference_models()["linear"]
    identities = [id(parameter) for parameter in model.parameters()]
    before = port(torch.ones(1, 3))
    with torch.no_grad():
        model.layer.weight.add_(1.0)
    model.mean = torch.full((3,), 5.0)
    assert torch.equal(port(torch.ones(1, 3)), before)
    assert publisher.publish(["linear"]) == 1
    assert torch.equal(port(torch.ones(1, 3)), model.eval()(torch.ones(1, 3)))
    assert [id(parameter) for parameter in model.parameters()] == identities


def test_publisher_keeps_training_mode_and_frozen_parameters() -> None:
    model = Encoder().train()
    model.target.eval().requires_grad_(False)
    publisher = Publisher({"encoder": model})
    for _ in range(3):
        publisher.publish(["encoder"])
    assert [part.training for part in (model, model.online, model.target)] == [True, True, False]
    assert [parameter.requires_grad for parameter in model.parameters()] == [True, True, False, False]


def test_publisher_integer_buffers_keep_their_type() -> None:
    class Normalized(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

    model = Normalized()
    publisher = Publisher({"norm": model})
    model.norm(torch.randn(8, 3))
    publisher.publish(["norm"])
    counter = publisher.inference_models()["norm"].module.norm.num_batches_tracked
    assert counter.dtype == torch.int64
    assert counter.item() == 1


def test_publisher_copies_only_the_inference_module() -> None:
    model = Encoder()
    port = Publisher({"encoder": model}).inference_models()["encoder"]
    assert isinstance(port.module, nn.Linear)
    assert torch.equal(port(torch.ones(2)), model.target(torch.ones(2)))


def test_publisher_refuses_an_inference_module_that_is_not_a_module() -> None:
    class Wrong(LightningModule):
        def inference_module(self) -> str:
            return "target"

    with pytest.raises(TypeError, match=r"Wrong\.inference_module"):
        Publisher({"wrong": Wrong()})


def test_publisher_keeps_one_version_during_a_step() -> None:
    models = {"a": linear_model(), "b": linear_model()}
    publisher = Publisher(models)
    ports = publisher.inference_models()
    publisher.begin_step()
    first = ports["a"].module
    publisher.publish(["a", "b"])
    assert ports["a"].module is first
    assert ports["a"].version == ports["b"].version == 0
    publisher.end_step()
    assert ports["a"].version == ports["b"].version == 1


def test_publisher_publishes_during_a_step_without_changing_what_it_reads() -> None:
    model = Constant(10)
    publisher = Publisher({"a": model})
    port = publisher.inference_models()["a"]
    publisher.begin_step()
    for number in range(1, 6):
        with torch.no_grad():
            model.value.fill_(number)
        publisher.publish(["a"])
        assert port() == (0.0, 0.0)
    assert (publisher.version, port.version) == (5, 0)
    publisher.end_step()
    assert port() == (5.0, 5.0)


def test_publisher_leaves_a_model_that_is_not_published_unchanged() -> None:
    models = {"a": Constant(10), "b": Constant(10)}
    publisher = Publisher(models)
    ports = publisher.inference_models()
    for number in range(1, 6):
        with torch.no_grad():
            for model in models.values():
                model.value.fill_(number)
        publisher.publish(["a"] if number % 2 else ["a", "b"])
        newest = float(number - number % 2)
        assert (ports["a"](), ports["b"]()) == ((number, number), (newest, newest))


def test_publisher_gives_a_step_no_torn_or_mixed_publication() -> None:
    models = {"a": Constant(), "b": Constant()}
    publisher = Publisher(models)
    ports = publisher.inference_models()
    done = threading.Event()

    def train() -> None:
        for number in range(1, 301):
            with torch.no_grad():
                for model in models.values():
                    model.value.fill_(number)
            publisher.publish(models)
        done.set()

    thread = threading.Thread(target=train)
    thread.start()
    seen = set()
    while not done.is_set():
        publisher.begin_step()
        version = ports["a"].version
        values = {*ports["a"](), *ports["b"]()}
        assert values == {float(version)}
        assert ports["b"].version == version
        publisher.end_step()
        seen.add(version)
    thread.join()
    assert len(seen) > 1


def test_publisher_restore_continues_the_version() -> None:
    model: LinearModel = linear_model()
    publisher = Publisher({"linear": model})
    with torch.no_grad():
        model.layer.bias.fill_(2.0)
    publisher.restore(17, training_step=5)
    port = publisher.inference_models()["linear"]
    assert (port.version, publisher.training_step) == (17, 5)
    assert torch.equal(port.module.layer.bias, model.layer.bias)
    assert publisher.publish(["linear"]) == 18


def test_publisher_restore_before_a_first_publication_uses_the_parameters() -> None:
    model = Constant(10)
    publisher = Publisher({"a": model})
    with torch.no_grad():
        model.value.fill_(3.0)
    publisher.restore(0)
    assert publisher.inference_models()["a"]() == (3.0, 3.0)


def test_publisher_gives_a_step_no_torn_publication_of_another_process() -> None:
    model = Constant(20_000)
    publisher = Publisher({"a": model, "b": model}, shared=True)
    ports = publisher.inference_models()
    enough = multiprocessing.get_context("fork").Event()

    def publish() -> None:
        while not enough.is_set():
            number = publisher.version + 1
            with torch.no_grad():
                model.value.fill_(number)
            publisher.publish(["a", "b"] if number % 3 else ["a"], training_step=10 * number)

    process = multiprocessing.get_context("fork").Process(target=publish)
    process.start()
    seen = set()
    while len(seen) < 20:
        publisher.begin_step()
        version = ports["a"].version
        assert {*ports["a"](), *ports["b"]()} == ({version} if version % 3 else {version, max(0, version - 1)})
        publisher.end_step()
        seen.add(version)
    enough.set()
    process.join()
    assert publisher.training_step == 10 * publisher.version


def test_publisher_sharing_keeps_layout_ties_and_values() -> None:
    class Tied(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
            self.second.weight = self.first.weight
            self.picture = nn.Parameter(torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last))
            self.register_buffer("count", torch.tensor(7))

    model = Tied()
    module = Publisher({"tied": model}, shared=True).inference_models()["tied"].module
    assert module.second.weight is module.first.weight
    assert module.picture.stride() == model.picture.stride()
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in model.state_dict().items())


def test_publisher_names_a_tensor_that_processes_cannot_share() -> None:
    class Sparse(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("adjacency", torch.eye(3).to_sparse())

    message = "the model 'graph' .* its 'adjacency' is a sparse_coo tensor on cpu.*launcher.learner=thread"
    with pytest.raises(TypeError, match=message):
        Publisher({"graph": Sparse()}, shared=True)


def test_publisher_copies_are_on_the_inference_device_and_the_model_is_not() -> None:
    model = linear_model()
    publisher = Publisher({"linear": model}, device=torch.device("meta"))
    publisher.publish(["linear"])
    module = publisher.inference_models()["linear"].module
    assert {tensor.device.type for tensor in module.state_dict().values()} == {"meta"}
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("auto", "names one device"),
        ("tpu", "inference_device must be one of"),
        ("cuda:99", "this machine has"),
    ],
)
def test_publication_refuses_an_inference_device_that_is_not_available(device: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        launch_small(LaunchConfig(max_steps=5, inference_device=device))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_publication_reaches_the_cpu_while_a_gpu_trains() -> None:
    summary = launch_small(LaunchConfig(max_steps=200, device="cuda", inference_device="cpu"), interval=0.002)
    assert float(summary["model_version"]) > 0
