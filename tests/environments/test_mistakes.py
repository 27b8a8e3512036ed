"""Errors about other people's environments name the environment, the copy, the step and what was expected."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from pamiq_exp.agents import RandomAgent
from pamiq_exp.environments import GymnasiumEnvironment
from pamiq_exp.interaction import Interaction, NonFiniteRewardError
from pamiq_exp.runtime import LaunchConfig, launch
from pamiq_exp.spaces import describe_action, describe_spaces, flatten_specs
from tests.cases import unexpected_errors
from tests.environments.troubled import Walk, returning


def walk(mistake: Any = None, num_envs: int = 2, **arguments: Any) -> GymnasiumEnvironment:
    return GymnasiumEnvironment(make=Walk, num_envs=num_envs, kwargs={"mistake": mistake, "at": 3}, **arguments)


def step(environment: GymnasiumEnvironment, turns: int) -> None:
    for _ in range(turns):
        environment.affect(np.zeros((environment.num_envs, 1), np.int64))


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (returning(reward=None), "the reward is None, expected one number"),
        (returning(reward="1"), "the reward is '1', expected one number"),
        (returning(reward=[[1], [2, 3]]), "the reward is .*, expected one number"),
        (returning(reward=np.zeros(2)), r"the reward has the shape \(2,\).*LinearReward"),
        (returning(terminated=None), "`terminated` is None, expected true or false"),
        (returning(truncated=np.array([True, False])), "`truncated` is an array"),
        (lambda _, result: tuple(result[:4]), "step returned a tuple of 4, expected .*shimmy"),
        (lambda _, result: None, "step returned None, expected"),
        (returning(observation=np.zeros(1, np.float32)), r"shape \(1,\), expected \(3,\)"),
    ],
)
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_gymnasium_environment_invalid_step_result_names_copy_and_step(
    mistake: Any, message: str, vectorization: Any
) -> None:
    environment = walk(mistake, vectorization=vectorization)
    try:
        with pytest.raises(ValueError, match=rf"Walk, copy 0, (step|turn) 3: .*{message}"):
            step(environment, 5)
    finally:
        environment.teardown()


def test_gymnasium_environment_accepts_a_scalar_reward_of_any_type() -> None:
    found = []
    for reward in (1, np.float64(1), np.array([1.0]), np.array([[1]]), np.array(1), True):
        environment = walk(returning(reward=reward))
        step(environment, 4)
        found.append((repr(reward), environment.observe().reward.tolist()))
    assert [each for each in found if each[1] != [1.0, 1.0]] == []


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_gymnasium_environment_errors_keep_their_type_and_name_the_step(vectorization: Any) -> None:
    def crash(environment: Walk, result: list[Any]) -> Any:
        raise ZeroDivisionError("no wheels")

    environment = walk(crash, vectorization=vectorization)
    try:
        with pytest.raises(ZeroDivisionError, match="no wheels") as caught:
            step(environment, 5)
        assert "(Walk, copy 0, step 3, in step)" in caught.value.__notes__
    finally:
        environment.teardown()


class ShowsWrong(Walk):
    """Declares three numbers and shows something else."""

    def __init__(self, shown: Any, space: spaces.Space[Any] | None = None, from_step: int = 0) -> None:
        super().__init__()
        self.observation_space = space or self.observation_space  # type: ignore[assignment]
        self.shown, self.from_step = shown, from_step

    def show(self) -> Any:
        return self.shown if self.step_number >= self.from_step else np.zeros(3, np.float32)


def test_gymnasium_environment_checks_the_first_observation_against_its_space() -> None:
    cases: list[tuple[Any, Any, str]] = [
        (np.zeros(1, np.float32), None, r"it is \(1,\) float32, declared \(3,\) float32"),
        (np.zeros((3, 1), np.float32), None, r"it is \(3, 1\) float32, declared \(3,\)"),
        (None, None, r"it is None, declared \(3,\)"),
        ("abc", None, "it is 'abc', declared"),
        ([[1], [2, 3]], None, r"it is a list of 2, declared \(3,\)"),
        (np.full((8, 8, 3), 0.5), spaces.Box(0, 255, (8, 8, 3), np.uint8), "with fractions, declared"),
        (np.zeros((3, 8, 8), np.uint8), spaces.Box(0, 255, (8, 8, 3), np.uint8), r"\(3, 8, 8\) uint8, declared"),
        ({"a": 1}, spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Discrete(2)}), "lacks 'b'"),
        ({"a": {"b": 7.5}}, spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(9)})}), "a.b is 7.5 with fractions"),
        ((1,), spaces.Tuple((spaces.Discrete(2), spaces.Discrete(2))), "a tuple of 1, declared a tuple of 2"),
    ]
    calls = [
        (
            GymnasiumEnvironment(make=ShowsWrong, kwargs={"shown": shown, "space": space}).setup,
            f"ShowsWrong, copy 0, step 0: reset returned .*{message}",
        )
        for shown, space, message in cases
    ]
    assert not unexpected_errors(ValueError, calls)


def test_gymnasium_environment_checks_the_first_step_against_its_space() -> None:
    environment = GymnasiumEnvironment(make=ShowsWrong, kwargs={"shown": np.zeros((1, 3)), "from_step": 1})
    environment.setup()
    with pytest.raises(ValueError, match=r"ShowsWrong, copy 0, step 1: step returned .*\(1, 3\) float64, declared"):
        step(environment, 1)


def test_gymnasium_environment_refuses_the_reset_of_old_gym() -> None:
    class Old(Walk):
        def reset(self, **arguments: Any) -> Any:
            return self.shown  # type: ignore[attr-defined]

    for shown in (np.zeros(2, np.float32), (np.zeros(3), 1)):
        with pytest.raises(ValueError, match=r"Old, copy 0, step 0: reset returned .*old gym"):
            GymnasiumEnvironment(make=Old, kwargs={"shown": shown}).setup()


def test_gymnasium_environment_reports_values_out_of_bounds_once(caplog: pytest.LogCaptureFixture) -> None:
    environment = GymnasiumEnvironment(make=ShowsWrong, num_envs=2, kwargs={"shown": np.full(3, 5000.0, np.float32)})
    with caplog.at_level(logging.WARNING):
        environment.setup()
        step(environment, 3)
    (record,) = caplog.records
    assert "5000, beyond the bounds that are declared (0 to 1000)" in record.getMessage()


@pytest.mark.parametrize(
    ("reward", "observation", "message"),
    [
        (float("nan"), None, r"ShowsWrong gave a reward that is not finite in copy 0: nan"),
        (float("inf"), None, r"reward that is not finite in copy 0: inf"),
        (1.0, np.array([0, np.nan, 0], np.float32), r"the part vector .* in copy 0 holds NaN"),
    ],
)
def test_non_finite_reward_error_names_the_copy_and_can_be_skipped(
    reward: float, observation: Any, message: str
) -> None:
    class Nan(ShowsWrong):
        def step(self, action: Any) -> Any:
            shown, _, *rest = super().step(action)
            return shown if observation is None else observation, reward, *rest

    Nan.__name__ = "ShowsWrong"
    environment = GymnasiumEnvironment(make=Nan, kwargs={"shown": np.zeros(3, np.float32)})
    agent = RandomAgent(describe_action(environment.action_space), 1, seed=0)
    with pytest.raises(NonFiniteRewardError, match=message):
        launch(Interaction(agent, environment), config=LaunchConfig(mode="lockstep", max_steps=5))
    skipping = LaunchConfig(mode="lockstep", max_steps=5, on_nonfinite="skip")
    environment = GymnasiumEnvironment(make=Nan, kwargs={"shown": np.zeros(3, np.float32)})
    assert launch(Interaction(agent, environment), config=skipping)["state"] == "finished"


def test_gymnasium_environment_ignores_info_without_numbers() -> None:
    mixed = {"words": "none", "thing": object(), "nested": {"x": 1}, 7: [None]}
    for info in ({"paths": [[1, 2, 3], [4]]}, mixed, None, [1, 2]):
        environment = walk(returning(info=info))
        step(environment, 4)
        assert environment.ground_truth() == {}, info


def test_gymnasium_environment_warns_about_truth_it_leaves_out(caplog: pytest.LogCaptureFixture) -> None:
    truth = {"missing": "agent_pos", "words": "spec", "ragged": "history", "number": "step_number"}
    environment = GymnasiumEnvironment(make=Walk, num_envs=2, truth=truth, kwargs={"history": [[1], [2, 3]]})
    with caplog.at_level(logging.WARNING):
        step(environment, 2)
        for _ in range(2):
            assert set(environment.ground_truth()) == {"number"}
    assert [record.getMessage().split(" is left out")[0] for record in caplog.records] == [
        "Walk: truth.missing", "Walk: truth.words", "Walk: truth.ragged",
    ]  # fmt: skip


def declares(space: spaces.Space[Any], **arguments: Any) -> GymnasiumEnvironment:
    return GymnasiumEnvironment(make=ShowsWrong, kwargs={"shown": None, "space": space}, **arguments)


def test_gymnasium_environment_infers_the_channel_axis_or_uses_the_setting() -> None:
    cases: list[tuple[tuple[int, ...], str | None, tuple[int, int, int]]] = [
        ((8, 8, 12), None, (8, 8, 12)),
        ((12, 8, 8), None, (8, 8, 12)),
        ((84, 84, 3), None, (84, 84, 3)),
        ((3, 40, 60), None, (40, 60, 3)),
        ((120, 160, 12), None, (120, 160, 12)),
        ((4, 4, 3), None, (4, 4, 3)),
        ((1, 64, 3), "last", (1, 64, 3)),
        ((1, 64, 3), "first", (64, 3, 1)),
        ((9, 12, 15), "first", (12, 15, 9)),
        ((2, 5, 5, 5), "last", (5, 5, 10)),
    ]
    wrong = []
    for shape, channels, read in cases:
        environment = declares(spaces.Box(0, 255, shape, np.uint8), channels=channels)
        found, note = environment.observation_space["image"].shape, environment.notes()[0]
        if found != read or f"{read[0]} x {read[1]} pixels with {read[2]} channels" not in note:
            wrong.append((shape, channels, found, note))
    assert not wrong


def test_gymnasium_environment_refuses_an_ambiguous_channel_axis() -> None:
    boxes = [spaces.Box(0, 255, shape, np.uint8) for shape in ((1, 64, 3), (8, 8, 8), (3, 3, 64), (9, 12, 15))]
    calls = [(partial(declares, box), r"set channels to last .* or first") for box in boxes]
    assert not unexpected_errors(ValueError, calls)


def test_gymnasium_environment_keeps_declared_bounds() -> None:
    space = spaces.Dict(
        {
            "planes": spaces.Box(0, 1, (8, 8, 2), np.uint8),
            "arm": spaces.Box(np.array([-2, 0], np.float32), np.array([2, 5], np.float32)),
            "pair": spaces.Tuple((spaces.Discrete(2), spaces.Box(-3, 7, (1,)))),
        }
    )
    described = describe_spaces(declares(space).observation_space, spaces.Discrete(2), 1)["observation"]
    assert (described["planes"]["low"], described["planes"]["high"]) == (0, 1)
    assert (described["arm"]["low"], described["arm"]["high"]) == (-2, 5)
    assert (described["pair"]["low"], described["pair"]["high"]) == (-3, 7)


@pytest.mark.parametrize(("largest", "high", "warned"), [(10, 255, True), (10, 10, False), (200, 255, False)])
def test_gymnasium_environment_reports_images_that_look_like_symbols(
    largest: int, high: int, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    space = spaces.Box(0, high, (7, 7, 3), np.uint8)
    shown = np.full((7, 7, 3), largest, np.uint8)
    with caplog.at_level(logging.WARNING):
        environment = GymnasiumEnvironment(make=ShowsWrong, kwargs={"shown": shown, "space": space})
        noted = [note for note in environment.notes() if f"reaches {largest}" in note]
        assert [f"reaches {largest}, declared up to 255" in note for note in noted] == [warned] * (high == 255)
        environment.setup()
    assert [f"reaches {largest}, declared up to 255" in each.getMessage() for each in caplog.records] == [True] * warned


def test_gymnasium_environment_keeps_names_of_a_dict_unique() -> None:
    box = spaces.Box(0, 1, (2,))
    inner = spaces.Dict({"x": box})
    environment = declares(spaces.Dict({"pose.x": box, "pose_x": box, "pose": inner, "_target_": box, "0": box}))
    assert set(environment.observation_space.spaces) == {"part_0", "target_", "pose_x", "pose_x_2", "pose_x_3"}
    assert sum("would be called pose_x" in note for note in environment.notes()) == 2


def test_flatten_specs_accepts_parts_named_like_description_keys() -> None:
    for name in ("shape", "dtype", "low", "high"):
        environment = declares(spaces.Dict({name: spaces.Box(0, 1, (2,)), "other": spaces.Discrete(3)}))
        described = describe_spaces(environment.observation_space, environment.action_space, 1)["observation"]
        assert flatten_specs({"observation": described})[f"observation.{name}"]["shape"] == [2]


def test_gymnasium_environment_notes_what_it_leaves_out_of_observations() -> None:
    cases: list[tuple[spaces.Space[Any], str]] = [
        (spaces.Box(0, 1, (0,)), "is left out: it is empty"),
        (spaces.Box(0, 255, (0, 8, 3), np.uint8), "is left out: it is empty"),
        (spaces.Sequence(spaces.Discrete(2)), "is left out: a Sequence"),
        (spaces.Graph(spaces.Box(0, 1, (2,)), None), "is left out: a Graph"),
        (spaces.Text(5), "is left out: a Text"),
    ]
    for space, note in cases:
        environment = declares(spaces.Dict({"skipped": space, "seen": spaces.Box(0, 1, (2,))}))
        assert list(environment.observation_space.spaces) == ["seen"], space
        (found,) = environment.notes()
        assert note in found
        with pytest.raises(ValueError, match="has no part that agents can read"):
            declares(spaces.Dict({"skipped": space}))


def test_gymnasium_environment_notes_an_action_mask() -> None:
    environment = declares(spaces.Dict({"action_mask": spaces.MultiBinary(4), "x": spaces.Box(0, 1, (2,))}))
    assert "marks the choices that are allowed" in environment.notes()[0]


class Acts(Walk):
    """Notes the actions that reach it."""

    def __init__(self, space: spaces.Space[Any]) -> None:
        super().__init__()
        self.action_space, self.actions = space, []  # type: ignore[assignment,var-annotated]

    def step(self, action: Any) -> Any:
        self.actions.append(action)
        return super().step(action)


def test_gymnasium_environment_rounds_actions_of_integer_boxes() -> None:
    cases: list[tuple[spaces.Box, list[float], list[Any]]] = [
        (spaces.Box(-10, 10, (2,), np.int64), [-2.7, 12.0], [-3, 10]),
        (spaces.Box(0, 255, (2,), np.uint8), [254.6, -3.0], [255, 0]),
        (spaces.Box(-1, 1, (2, 1), np.int8), [0.4, -0.6], [[0], [-1]]),
        (spaces.Box(-np.inf, np.inf, (2,), np.float64), [0.5, 1e30], [0.5, np.float32(1e30)]),
    ]
    for space, given, done in cases:
        environment = GymnasiumEnvironment(make=Acts, kwargs={"space": space}, truth={})
        environment.affect(np.array([given], np.float32))
        (action,) = environment._copies.copies[0].environment.unwrapped.actions  # type: ignore[union-attr]
        assert np.array_equal(action, done), space
        assert space.contains(action), space
        assert ("rounded" in " ".join(environment.notes())) is (np.dtype(space.dtype).kind in "iu"), space


def test_gymnasium_environment_refuses_unsupported_action_spaces() -> None:
    cases: list[tuple[spaces.Space[Any], str]] = [
        (spaces.Box(-(2**62), 2**62, (1,), np.int64), "no exact ones beyond"),
        (spaces.Box(0, 2**63, (1,), np.uint64), "no exact ones beyond"),
        (spaces.Box(0, 1, (0,)), "is empty"),
        (spaces.Tuple((spaces.Discrete(2), spaces.Discrete(2))), "use Discrete.*environment.wrappers"),
        (spaces.Dict({"a": spaces.Discrete(2)}), "use Discrete"),
    ]
    calls = [(partial(GymnasiumEnvironment, make=Acts, kwargs={"space": space}), message) for space, message in cases]
    assert not unexpected_errors(ValueError, calls)


def of_module(name: str, cls: type) -> type:
    """Return a class as if it came from another package."""
    return type(cls.__name__, (cls,), {"__module__": name})


class Parallel:
    """As PettingZoo's environments."""

    possible_agents = ("one", "two")

    def close(self) -> None:
        pass


class OldSpace:
    """A space of old gym."""


class Several(Walk):
    """As MO-Gymnasium's environments."""

    reward_space = spaces.Box(0, 1, (3,))


def test_gymnasium_environment_refuses_other_kinds_of_environments_by_name() -> None:
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: gymnasium.make_vec("CartPole-v1", 2), r"is a vector of environments.*environment\.num_envs"),
        (Parallel, "several agents"),
        (of_module("pettingzoo.test", Walk), "several agents"),
        (of_module("dm_env.control", Walk), "dm_control"),
        (lambda: ShowsWrong(None, of_module("gym.spaces.box", OldSpace)()), "a space of old gym: wrap.*shimmy"),
        (Several, r"Several has 3 objectives.*LinearReward"),
        (lambda: None, "NoneType is no Gymnasium environment, it has no reset"),
        (lambda: Walk, "type is no Gymnasium environment, it has no observation_space"),
    ]
    calls = [(partial(GymnasiumEnvironment, make=make), message) for make, message in cases]
    assert not unexpected_errors(ValueError, calls)


def test_gymnasium_environment_accepts_several_objectives_behind_a_wrapper() -> None:
    def linear_reward(environment: Any) -> Any:
        return gymnasium.wrappers.TransformReward(environment, lambda reward: float(np.sum(reward)))

    environment = GymnasiumEnvironment(
        make=Several, kwargs={"mistake": returning(reward=np.ones(3))}, wrappers=[linear_reward]
    )
    step(environment, 1)
    assert environment.observe().reward[0] == 3.0


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_gymnasium_environment_numbered_gives_each_copy_its_own_value(vectorization: Any) -> None:
    environment = GymnasiumEnvironment(
        make=Walk, num_envs=3, vectorization=vectorization, numbered={"port": 5000, "index": 0}, truth={"port": "port"}
    )
    try:
        assert environment.ground_truth()["port"].tolist() == [5000, 5001, 5002]
    finally:
        environment.teardown()


def test_gymnasium_environment_refuses_a_numbered_argument_also_in_kwargs() -> None:
    with pytest.raises(ValueError, match="numbered: 'port' is in kwargs as well"):
        GymnasiumEnvironment(make=Walk, numbered={"port": 1}, kwargs={"port": 2})


def test_gymnasium_environment_refuses_make_together_with_id() -> None:
    with pytest.raises(ValueError, match=r"environment\.id=null"):
        GymnasiumEnvironment("CartPole-v1", make=Walk)
