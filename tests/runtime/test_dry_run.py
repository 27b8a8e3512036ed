"""The dry run: its data lie within the declared bounds, and errors that depend on data are warnings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from pamiq_exp.agents import RandomAgent
from pamiq_exp.buffers import DataBuffer, RingBuffer
from pamiq_exp.runtime import LaunchConfig, launch
from pamiq_exp.runtime.dry_run import DryRunResult, dry_run_parts
from pamiq_exp.runtime.dry_run_data import REACH, DryRunData
from pamiq_exp.spaces import describe_action
from pamiq_exp.trainers import OnPolicyTrainer, ReplayTrainer
from tests.conftest import Command
from tests.runtime.own_parts import (
    ForgetfulAgent,
    LockedModel,
    MisspelledAgent,
    OwnAgent,
    OwnModel,
    Thermometer,
    UnlockedModel,
)

KELVIN = {"observation": {"kelvin": {"shape": [1], "dtype": "float32"}}}


def dry_run(agent: Any, models: Any = None, buffers: Any = None, trainers: Any = None) -> DryRunResult:
    return dry_run_parts(Thermometer(), agent, models or {}, buffers or {}, trainers or {})


class World:
    """The attributes of an environment that generated data need."""

    def __init__(
        self, num_envs: int, action: gymnasium.Space[Any] | None = None, **parts: gymnasium.Space[Any]
    ) -> None:
        self.num_envs = num_envs
        self.observation_space = gymnasium.spaces.Dict(parts)
        self.action_space = action or gymnasium.spaces.Discrete(3)


BOXES = [
    gymnasium.spaces.Box(1, 10, (3,), np.float32),
    gymnasium.spaces.Box(-10, -1, (3,), np.float64),
    gymnasium.spaces.Box(0, 255, (4, 5, 3), np.uint8),
    gymnasium.spaces.Box(-(2**31), 2**31 - 1, (2,), np.int32),
    gymnasium.spaces.Box(0, 1, (2,), np.int8),
    gymnasium.spaces.Box(1e6, np.inf, (2,), np.float32),
    gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float16),
    gymnasium.spaces.Box(np.array([1, -np.inf, 5e8], np.float32), np.array([2, -3, 6e8], np.float32)),
    gymnasium.spaces.Box(-3.4e38, 3.4e38, (2,), np.float32),
]


def test_dry_run_generated_observations_lie_within_the_declared_bounds() -> None:
    for space in BOXES:
        data = DryRunData(World(num_envs=20, part=space))  # type: ignore[arg-type]
        shown = data.observation(ended=False).values["part"]
        assert shown.shape == (20, *space.shape), space
        assert shown.dtype == space.dtype, space
        assert all(row in space for row in shown), space
        assert len(np.unique(shown)) > 1, space
        if np.isinf(space.high).all() and np.isinf(space.low).all():
            assert float(np.abs(shown).max()) <= REACH, space


def test_dry_run_generated_masks_allow_every_action() -> None:
    world = World(num_envs=2, action_mask=gymnasium.spaces.Box(0, 1, (5,), np.int8))
    assert DryRunData(world).observation(ended=False).values["action_mask"].all()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "space",
    [gymnasium.spaces.Discrete(3), gymnasium.spaces.MultiDiscrete([2, 4]), gymnasium.spaces.Box(0, 1000, (2,))],
    ids=str,
)
def test_dry_run_generated_buffers_hold_what_the_spaces_declare(space: gymnasium.Space[Any]) -> None:
    world = World(3, space, kelvin=gymnasium.spaces.Box(1, 10, (1,)))
    fields = {"action": describe_action(space), "observation.kelvin": {"shape": [1], "dtype": "float32"}}
    turns = DryRunData(world).turns(fields, 5)  # type: ignore[arg-type]
    assert turns["action"].shape == (5, 3, *fields["action"]["shape"])
    assert turns["observation.kelvin"].min() >= 1
    flat = turns["action"].reshape(-1, turns["action"].shape[-1])
    assert all((row[0] if isinstance(space, gymnasium.spaces.Discrete) else row) in space for row in flat)


def test_dry_run_gives_an_agent_values_within_the_declared_bounds() -> None:
    assert dry_run(OwnAgent()).faults == []


def test_dry_run_marks_errors_of_a_custom_agent_as_uncertain() -> None:
    (fault,) = dry_run(OwnAgent(offset=1.0e6)).faults
    assert (fault.part, fault.uncertain) == ("interaction.agent", True)


def test_dry_run_marks_errors_that_depend_on_no_data_as_certain() -> None:
    (fault,) = dry_run(MisspelledAgent()).faults
    assert not fault.uncertain
    (fault,) = dry_run(OwnAgent(shape=2)).faults
    assert "gives actions (1, 2)" in str(fault.error)
    assert not fault.uncertain
    (fault,) = dry_run(OwnAgent(model="missing"), {"own": OwnModel()}).faults
    assert fault.missing == (("model", "missing"),)
    assert not fault.uncertain


def test_dry_run_lists_a_model_that_is_first_used_later_as_unused() -> None:
    result = dry_run(OwnAgent(model="own", first=21), {"own": OwnModel()})
    assert result.unused_models == ["own"]
    assert not result.only_shipped


@pytest.mark.parametrize("collected", [False, True])
@pytest.mark.parametrize("length", [None, 3])
def test_dry_run_gives_a_trainer_batches_within_the_bounds(collected: bool, length: int | None) -> None:
    class Collecting(OwnAgent):
        def step(self, observation: Any) -> Any:
            self.collector("replay").collect({"observation.kelvin": observation.values["kelvin"]})
            return super().step(observation)

    trainer = ReplayTrainer("own", "replay", 16, sequence_length=length)
    agent = Collecting() if collected else OwnAgent()
    result = dry_run(agent, {"own": OwnModel()}, {"replay": RingBuffer(100, 1, KELVIN)}, {"own": trainer})
    assert result.faults == []


def test_dry_run_names_a_lock_in_a_model_with_a_hint() -> None:
    (fault,) = dry_run(OwnAgent(), {"own": LockedModel()}).faults
    assert fault.part == "models.own"
    assert not fault.uncertain
    assert "its attribute 'inner.guard' (lock)" in str(fault.error)
    assert "inference_module()" in str(fault.error)
    assert dry_run(OwnAgent(), {"own": UnlockedModel()}).faults == []


def test_launch_names_a_lock_in_a_model() -> None:
    from pamiq_exp.interaction import Interaction

    config = LaunchConfig(mode="lockstep", max_steps=1)
    with pytest.raises(TypeError, match=r"the model 'own' cannot be copied for inference.*inner\.guard"):
        launch(Interaction(OwnAgent(), Thermometer()), {"own": LockedModel()}, config=config)


def test_dry_run_names_a_state_that_a_checkpoint_cannot_hold() -> None:
    (fault,) = dry_run(ForgetfulAgent()).faults
    assert "the state interaction.agent.seen holds a set" in str(fault.error)
    assert not fault.uncertain


def test_dry_run_names_a_dtype_that_a_checkpoint_cannot_hold() -> None:
    class Complex(OwnAgent):
        def state(self) -> dict[str, Any]:
            return {"phases": {"now": torch.zeros(2, dtype=torch.complex64)}}

    (fault,) = dry_run(Complex()).faults
    assert "the state interaction.agent.phases.now is an array of torch.complex64" in str(fault.error)


def test_dry_run_is_certain_about_shipped_parts() -> None:
    space = describe_action(Thermometer.action_space)
    agent = RandomAgent(space, 1, 0)
    result = dry_run_parts(Thermometer(), agent, {}, {"spare": RingBuffer(9, 1, KELVIN)}, {})
    assert result.only_shipped
    assert result.unused_buffers == ["spare"]
    buffers: dict[str, DataBuffer] = {"replay": RingBuffer(9, 1, KELVIN)}
    (fault,) = dry_run_parts(
        Thermometer(), agent, {"own": OwnModel()}, buffers, {"own": OnPolicyTrainer("own", "replay", 4)}
    ).faults
    assert not fault.uncertain


OWN = """\
# @package _global_
defaults:
  - override /interaction: unpaced
  - override /launcher: lockstep
  - override /tracking: jsonl_only
experiment_name: own
environment:
  _target_: tests.runtime.own_parts.Thermometer
interaction:
  agent:
    _target_: tests.runtime.own_parts.OwnAgent
    offset: 0.0
    model: own
    first: 21
    shape: 1
models:
  own:
    _target_: tests.runtime.own_parts.OwnModel
    size: 1
launcher:
  max_steps: 30
"""


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """The arguments of a run whose parts are all custom."""
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(OWN)
    return ["--config-dir", str(tmp_path / "conf"), "--allow", "tests.runtime.own_parts", "experiment=own"]


def test_dry_run_warnings_do_not_stop_check_or_run(command: Command, own: list[str]) -> None:
    outcome = command("check", *own)
    assert outcome.status == 0, outcome.err
    assert "no errors found" in outcome.out
    assert "models.own: nothing has used it in the dry run" in outcome.out
    outcome = command(*own)
    assert outcome.status == 0, outcome.err
    assert outcome.err.count("models.own: nothing has used it in the dry run") == 1


def test_dry_run_is_skipped_with_the_no_dry_run_flag(command: Command, own: list[str]) -> None:
    closed = Thermometer.closed
    outcome = command("check", "--no-dry-run", *own)
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines()[0] == "no errors found; nothing was tried in a dry run"
    assert Thermometer.closed == closed
    outcome = command(*own, "--no-dry-run", "interaction.agent.model=null")
    assert outcome.status == 0, outcome.err
    assert "dry run" not in outcome.err
    outcome = command("-m", "--no-dry-run", *own, "seed=1,2")
    assert outcome.status == 0, outcome.err
    assert "dry run" not in outcome.err


def test_dry_run_reports_a_wrong_size_of_a_custom_model(command: Command, own: list[str]) -> None:
    outcome = command("check", *own, "models.own.size=7", "interaction.agent.first=0")
    assert outcome.status == 1
    assert "models.own.layer takes 7 numbers and is given 1" in outcome.err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["interaction.agent.offset=1e9"],
        ["+interaction.agent.unknown=3"],
        ["+models.spare={_target_: tests.runtime.own_parts.OwnModel, size: big}"],
        [
            "+buffers.x={_target_: pamiq_exp.buffers.RingBuffer, capacity: 0, num_envs: 1, "
            "fields: ${spaces.observation}}"
        ],
        ["+shared.shape=${spaces.observation.image.shape}", "+buffers.x=${shared.shape}"],
    ],
    ids=str,
)
def test_check_closes_every_environment_that_it_builds(command: Command, own: list[str], words: list[str]) -> None:
    from tests.runtime import own_parts

    built: list[Thermometer] = []
    original = own_parts.Thermometer.__init__

    def remember(self: Thermometer) -> None:
        built.append(self)
        original(self)

    closed = Thermometer.closed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_parts.Thermometer, "__init__", remember)
        command("check", *own, *words)
    assert Thermometer.closed - closed == len(built)
