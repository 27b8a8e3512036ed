"""Models of other frameworks: published, counted, saved and resumed like modules of torch. Here one in numpy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pamiq_exp.buffers import DataUser
from pamiq_exp.publishable import Publishable
from pamiq_exp.run_folder import list_checkpoints
from pamiq_exp.runtime import CheckpointConfig, LaunchConfig, Publisher
from pamiq_exp.runtime.checkpoints import CheckpointError, read_checkpoint
from pamiq_exp.seeding import torch_generator
from pamiq_exp.spaces import ArraySpec
from pamiq_exp.trainers import ReplayTrainer, Trainer, TrainingContext
from tests.runtime.parts import CollectingAgent, launch_small, linear_model


class Scale:
    """What agents call: never changed once it is published."""

    def __init__(self, weight: NDArray[np.float32]) -> None:
        self.weight = weight

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.from_numpy(self.weight)


class NumpyModel(Publishable):
    """Three numbers that training changes in place, so what is published is a copy."""

    def __init__(self, size: int = 3) -> None:
        self.weight = np.ones(size, np.float32)

    def specs(self) -> Mapping[str, ArraySpec]:
        return {"weight": {"shape": list(self.weight.shape), "dtype": "float32"}}

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"weight": self.weight.copy()}

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        if arrays["weight"].shape != self.weight.shape:
            raise ValueError(f"weight has the shape {arrays['weight'].shape}")
        self.weight[:] = arrays["weight"]

    def inference_model(self) -> Scale:
        return Scale(self.weight.copy())


class NumpyTrainer(Trainer):
    """Moves the weight towards the mean of what was seen: three batches for every ten environment steps."""

    def __init__(self) -> None:
        self.trains = ("linear",)
        self.generator = torch_generator(2)
        self.batches = self.seen = 0

    def attach(self, context: TrainingContext) -> None:
        model = context.model("linear")
        assert isinstance(model, NumpyModel)
        self.model = model
        self.user: DataUser = context.user("experience")

    def ready(self) -> bool:
        return self.user.count_added - self.seen >= 10

    def round(self) -> Iterator[Mapping[str, float]]:
        self.seen = self.user.count_added
        for _ in range(3):
            x = self.user.sample(8, self.generator)["observation.vector"].numpy()
            self.model.weight += 0.1 * (x.mean(0) - self.model.weight)
            self.batches += 1
            yield {"weight": float(self.model.weight.sum())}

    @property
    def training_step(self) -> int:
        return self.batches

    def state(self) -> dict[str, Any]:
        return {"batches": self.batches, "seen": self.seen}

    def load_state(self, state: dict[str, Any]) -> None:
        self.batches, self.seen = state["batches"], state["seen"]


def run(
    model: NumpyModel, steps: int, mode: Any = "lockstep", **options: Any
) -> tuple[dict[str, Any], CollectingAgent]:
    agent = CollectingAgent()
    config = LaunchConfig(mode=mode, max_steps=steps, overlap_turns=5, checkpoint=CheckpointConfig(every_steps=33))
    return launch_small(config, agent=agent, model=model, trainer=NumpyTrainer(), **options), agent


@pytest.mark.parametrize("mode", ["lockstep", "pipelined"])
def test_publishable_repeats_and_resumes_to_the_same_bits(mode: Any, tmp_path: Path) -> None:
    whole, resumed, again = NumpyModel(), NumpyModel(), NumpyModel()
    summary, agent = run(whole, 100, mode)
    assert run(again, 100, mode)[1].output == agent.output
    run(resumed, 33, mode, folder=tmp_path / "run")
    (checkpoint,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert list(read_checkpoint(checkpoint)["models"]["linear"]) == ["weight"]
    second, resumed_agent = run(NumpyModel(), 100, mode, folder=tmp_path / "run", resume_from=checkpoint)
    assert (second["model_version"], resumed_agent.output) == (summary["model_version"], agent.output)
    assert agent.versions[33:] == resumed_agent.versions
    assert np.array_equal(again.weight, whole.weight)


def test_publishable_changes_are_seen_only_after_publication() -> None:
    model = NumpyModel()
    publisher = Publisher({"scale": model, "torch": linear_model()})
    port = publisher.inference_models()["scale"]
    publisher.begin_step()
    model.weight += 1
    assert port(torch.ones(3)).tolist() == [1, 1, 1]
    publisher.publish(["scale", "torch"])
    assert port(torch.ones(3)).tolist() == [1, 1, 1]
    publisher.end_step()
    assert port(torch.ones(3)).tolist() == [2, 2, 2]
    model.weight += 1
    publisher.restore(7, {"scale": {"weight": np.full(3, 5, np.float32)}})
    assert port(torch.ones(3)).tolist() == [5, 5, 5]
    assert model.weight.tolist() == [3, 3, 3]


def test_publishable_parameters_are_counted_and_limited() -> None:
    assert (NumpyModel(5).parameter_count, NumpyModel(5).nbytes) == (5, 20)
    with pytest.raises(ValueError, match=r"'linear' has 5 parameters.*max_parameters is 4"):
        launch_small(LaunchConfig(max_parameters=4), model=NumpyModel(5), trainer=NumpyTrainer())


def test_publishable_refuses_a_checkpoint_of_another_shape(tmp_path: Path) -> None:
    run(NumpyModel(), 20, folder=tmp_path / "run")
    (checkpoint,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    with pytest.raises(CheckpointError, match=r"model linear has other parameters.*shape \(3,\)"):
        run(NumpyModel(1), 40, resume_from=checkpoint)


def test_publishable_refuses_a_learner_process() -> None:
    with pytest.raises(TypeError, match=r"the model 'linear' cannot be published.*learner=thread"):
        launch_small(LaunchConfig(learner="process"), model=NumpyModel(), trainer=NumpyTrainer())


def test_replay_trainer_refuses_a_publishable_with_a_hint() -> None:
    trainer = ReplayTrainer("linear", "experience", 4)
    with pytest.raises(TypeError, match=r"the model 'linear' is a NumpyModel: choose a trainer of its framework"):
        launch_small(LaunchConfig(), model=NumpyModel(), trainer=trainer)
