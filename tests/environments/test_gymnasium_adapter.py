"""The Gymnasium adapter against plain Gymnasium."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control import CartPoleEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.environments import GymnasiumEnvironment
from pamiq_exp.interaction import Observation
from pamiq_exp.spaces import describe_spaces
from tests.cases import unexpected_errors

Env = gymnasium.Env[Any, Any]


def random_action(environment: GymnasiumEnvironment, generator: np.random.Generator) -> NDArray[Any]:
    description = describe_spaces(environment.observation_space, environment.action_space, environment.num_envs)[
        "action"
    ]
    size = (environment.num_envs, *description["shape"])
    if description["kind"] == "box":
        return generator.normal(size=size).astype(np.float32)
    return generator.integers(0, np.asarray(description["nvec"]), size=size)


def run(environment: GymnasiumEnvironment, turns: int, seed: int = 0) -> list[Observation]:
    generator = np.random.default_rng(seed)
    seen: list[Observation] = []
    for _ in range(turns):
        seen.append(environment.observe())
        environment.affect(random_action(environment, generator))
    return seen


def same(left: Observation, right: Observation) -> bool:
    return (
        all(np.array_equal(left.values[name], right.values[name]) for name in left.values)
        and np.array_equal(left.reward, right.reward)
        and np.array_equal(left.terminated, right.terminated)
        and np.array_equal(left.truncated, right.truncated)
    )


class Counter(gymnasium.Env[Any, Any]):
    """Counts its steps; ends after five, and starts at a number drawn from its generator."""

    def __init__(
        self,
        observation_space: spaces.Space[Any] | None = None,
        action_space: spaces.Space[Any] | None = None,
        show: Callable[[int], Any] = lambda count: np.array([count], dtype=np.float32),
    ) -> None:
        self.observation_space = observation_space or spaces.Box(0, 100, (1,), np.float32)
        self.action_space = action_space or spaces.Discrete(2)
        self.show = show
        self.count = 0
        self.actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        self.start = int(self.np_random.integers(1000))
        return self.show(0), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        self.actions.append(action)
        info = {"count": self.count, "words": "none", "pose": np.array([self.count, 0.5])}
        return self.show(self.count), float(self.count), self.count == 5, False, info


@pytest.mark.parametrize(
    ("environment_id", "turns"),
    [("CartPole-v1", 120), ("Pendulum-v1", 210), ("MountainCarContinuous-v0", 40), ("FrozenLake-v1", 80)],
)
def test_gymnasium_environment_matches_plain_gymnasium(environment_id: str, turns: int) -> None:
    environment = GymnasiumEnvironment(environment_id, num_envs=3, seed=5)
    reference = gymnasium.make_vec(environment_id, 3, "sync")
    generator = np.random.default_rng(0)
    # The first reset of each environment is the only thing that the adapter seeds.
    first = environment.observe()
    seeds = [e.environment.unwrapped.np_random_seed for e in environment._copies.copies]  # type: ignore[union-attr]
    raw, _ = reference.reset(seed=seeds)
    for _ in range(turns):
        assert np.allclose(first.values["vector"], _as_vector(reference.single_observation_space, raw), rtol=1e-6)
        action = random_action(environment, generator)
        environment.affect(action)
        first = environment.observe()
        raw, reward, terminated, truncated, _ = reference.step(_native(reference.single_action_space, action))
        assert np.allclose(first.reward, reward, rtol=1e-6)
        assert np.array_equal(first.terminated, terminated)
        assert np.array_equal(first.truncated, truncated)
    reference.close()
    environment.teardown()


def _as_vector(space: spaces.Space[Any], raw: NDArray[Any]) -> NDArray[Any]:
    return np.eye(space.n)[raw] if isinstance(space, spaces.Discrete) else raw


def _native(space: spaces.Space[Any], action: NDArray[Any]) -> NDArray[Any]:
    return np.clip(action, space.low, space.high) if isinstance(space, spaces.Box) else action[:, 0]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), num_envs=st.integers(1, 4))
def test_gymnasium_environment_shows_last_and_first_observations_of_episodes(seed: int, num_envs: int) -> None:
    environment = GymnasiumEnvironment("CartPole-v1", num_envs=num_envs, seed=seed)
    seen = run(environment, 250, seed)
    ends = 0
    for before, after in itertools.pairwise(seen):
        for env in np.flatnonzero(before.ended):
            ends += 1
            assert abs(before.values["vector"][env, 2]) > 0.2094  # fallen
            assert np.all(np.abs(after.values["vector"][env]) <= 0.05)  # upright
            assert after.reward[env] == 0.0
            assert not after.ended[env]
    assert ends > 0


def test_gymnasium_environment_separates_truncation_from_termination() -> None:
    limited = GymnasiumEnvironment("Pendulum-v1", kwargs={"max_episode_steps": 7})
    seen = run(limited, 20)
    assert [bool(o.truncated[0]) for o in seen].count(True) == 2
    assert not any(o.terminated[0] for o in seen)
    assert all(seen[index].truncated[0] for index in (7, 15))
    falling = run(GymnasiumEnvironment("CartPole-v1"), 100)
    assert any(o.terminated[0] for o in falling)
    assert not any(o.truncated[0] for o in falling)


def test_gymnasium_environment_is_reproducible_by_seed_and_copies_differ() -> None:
    histories = [run(GymnasiumEnvironment("CartPole-v1", num_envs=2, seed=3), 50) for _ in range(2)]
    assert all(same(left, right) for left, right in zip(*histories, strict=True))
    assert not np.array_equal(histories[0][0].values["vector"][0], histories[0][0].values["vector"][1])
    other = run(GymnasiumEnvironment("CartPole-v1", num_envs=2, seed=4), 1)
    assert not np.array_equal(histories[0][0].values["vector"], other[0].values["vector"])


def test_gymnasium_environment_observations_do_not_change_later() -> None:
    environment = GymnasiumEnvironment("CartPole-v1", num_envs=2)
    first = environment.observe()
    copy = first.values["vector"].copy()
    assert environment.observe() is first
    run(environment, 30)
    assert np.array_equal(first.values["vector"], copy)


@pytest.mark.parametrize(
    ("environment_id", "options"),
    [
        ("CartPole-v1", {}),
        ("CartPole-v1", {"render_as_observation": True, "image_size": 16}),
        ("Pendulum-v1", {"kwargs": {"max_episode_steps": 9}}),
        ("FrozenLake-v1", {}),
        ("Blackjack-v1", {}),
    ],
)
def test_gymnasium_environment_restores_a_snapshot_bit_for_bit(environment_id: str, options: dict[str, Any]) -> None:
    environment = GymnasiumEnvironment(environment_id, num_envs=2, seed=1, **options)
    environment.setup()
    assert not environment.restarts_on_resume
    run(environment, 17, seed=1)
    saved = collect_state(environment)
    future = run(environment, 40, seed=2)
    resumed = GymnasiumEnvironment(environment_id, num_envs=2, seed=99, **options)
    resumed.setup()
    run(resumed, 3, seed=3)
    assert restore_state(resumed, saved) == ([], [])
    assert all(same(left, right) for left, right in zip(future, run(resumed, 40, seed=2), strict=True))


def test_gymnasium_environment_native_vector_refuses_a_sync_snapshot() -> None:
    saved = GymnasiumEnvironment("CartPole-v1", num_envs=2).state()
    with pytest.raises(ValueError, match="go on with vectorization=sync"):
        GymnasiumEnvironment("CartPole-v1", num_envs=2, vectorization="native").load_state(saved)


def test_gymnasium_environment_without_snapshot_truncates_episodes_on_resume() -> None:
    def build() -> GymnasiumEnvironment:
        return GymnasiumEnvironment(make=Counter, num_envs=3, seed=1)

    environment = build()
    environment.setup()
    assert environment.restarts_on_resume
    run(environment, 3)
    saved = collect_state(environment)
    histories: list[list[Observation]] = []
    for _ in range(2):
        resumed = build()
        resumed.setup()
        restore_state(resumed, saved)
        histories.append(run(resumed, 4, seed=2))
    first, second = histories[0][:2]
    assert np.array_equal(first.values["vector"], environment.observe().values["vector"])
    assert first.truncated.all()
    assert not first.terminated.any()
    assert np.all(second.values["vector"] == 0)
    assert not second.ended.any()
    assert all(same(left, right) for left, right in zip(*histories, strict=True))


def test_gymnasium_environment_at_an_episode_start_resumes_without_an_end() -> None:
    environment = GymnasiumEnvironment(make=Counter, num_envs=2)
    run(environment, 6)  # five steps and the reset
    saved = collect_state(environment)
    resumed = GymnasiumEnvironment(make=Counter, num_envs=2)
    restore_state(resumed, saved)
    first = resumed.observe()
    assert not first.ended.any()
    assert np.all(first.values["vector"] == 0)


def test_gymnasium_environment_keeps_termination_on_resume() -> None:
    environment = GymnasiumEnvironment(make=Counter)
    run(environment, 5)
    assert environment.observe().terminated[0]
    resumed = GymnasiumEnvironment(make=Counter)
    restore_state(resumed, collect_state(environment))
    assert resumed.observe().terminated[0]
    assert not resumed.observe().truncated[0]


def test_gymnasium_environment_snapshot_option_restores_plain_attributes() -> None:
    environment = GymnasiumEnvironment(make=Counter, snapshot=True, kwargs={"show": _show_count})
    run(environment, 3)
    resumed = GymnasiumEnvironment(make=Counter, snapshot=True, kwargs={"show": _show_count})
    assert restore_state(resumed, collect_state(environment)) == ([], [])
    assert not resumed.observe().ended.any()
    resumed.affect(np.zeros((1, 1), dtype=np.int64))
    assert resumed.observe().values["vector"][0, 0] == 4


def _show_count(count: int) -> NDArray[np.float32]:
    return np.array([count], dtype=np.float32)


@pytest.mark.parametrize("shared", [True, False])
def test_gymnasium_environment_takes_no_snapshot_if_attributes_share_an_array(shared: bool) -> None:
    class Sharing(Counter):
        def reset(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
            result = super().reset(**arguments)
            self.first = np.zeros(2)
            self.second = self.first if shared else np.zeros(2)
            return result

    environment = GymnasiumEnvironment(make=Sharing, snapshot=True, kwargs={"show": _show_count})
    environment.observe()
    assert environment.restarts_on_resume is shared


@pytest.mark.parametrize("vectorization", ["native", "async"])
def test_gymnasium_environment_native_and_async_end_episodes_like_sync(vectorization: Any) -> None:
    environment = GymnasiumEnvironment("CartPole-v1", num_envs=2, seed=3, vectorization=vectorization)
    try:
        seen = run(environment, 60)
        ended = [(t, env) for t in range(59) for env in np.flatnonzero(seen[t].ended)]
        assert ended
        for turn, env in ended:
            assert abs(seen[turn].values["vector"][env, 2]) > 0.2095
            assert np.all(np.abs(seen[turn + 1].values["vector"][env]) <= 0.05)
            assert seen[turn + 1].reward[env] == 0
            assert not seen[turn + 1].ended[env]
        assert environment.restarts_on_resume is (vectorization == "native")
        if vectorization == "async":
            return
        saved = collect_state(environment)
        restore_state(environment, saved)
        assert environment.observe().ended.all()
        environment.affect(np.zeros((2, 1), dtype=np.int64))
        assert np.all(np.abs(environment.observe().values["vector"]) <= 0.05)
        assert not environment.observe().ended.any()
    finally:
        environment.teardown()


def test_gymnasium_environment_converts_actions_to_the_native_space() -> None:
    cases: list[tuple[spaces.Space[Any], list[Any], Any]] = [
        (spaces.Discrete(3, start=-1), [2], 1),
        (spaces.MultiDiscrete([3, 4]), [2, 1], [2, 1]),
        (spaces.MultiDiscrete([[2, 2], [3, 3]]), [1, 0, 2, 1], [[1, 0], [2, 1]]),
        (spaces.MultiBinary(3), [1, 0, 1], [1, 0, 1]),
        (spaces.Box(-1, 1, (2,), np.float32), [0.5, -7.0], [0.5, -1.0]),
        (spaces.Box(-1, 1, (2, 2), np.float64), [0.0, 1.0, 2.0, 3.0], [[0.0, 1.0], [1.0, 1.0]]),
    ]
    for space, canonical, native in cases:
        environment = GymnasiumEnvironment(make=Counter, kwargs={"action_space": space})
        environment.affect(np.array([canonical]))
        (done,) = environment._copies.copies[0].environment.unwrapped.actions  # type: ignore[union-attr]
        assert np.array_equal(done, native), space
        assert space.contains(done) or isinstance(done, int), space


def test_gymnasium_environment_converts_observations_to_images_and_vectors() -> None:
    cases: list[tuple[spaces.Space[Any], dict[str, tuple[int, ...]]]] = [
        (spaces.Box(0, 255, (12, 10, 3), np.uint8), {"image": (12, 10, 3)}),
        (spaces.Box(0, 255, (12, 10), np.uint8), {"image": (12, 10, 1)}),
        (spaces.Box(0, 255, (4, 12, 10), np.uint8), {"image": (12, 10, 4)}),
        (spaces.Box(0, 255, (4, 12, 10, 3), np.uint8), {"image": (12, 10, 12)}),
        (spaces.Box(0, 255, (128,), np.uint8), {"vector": (128,)}),
        (spaces.Box(-1, 1, (2, 3), np.float64), {"vector": (6,)}),
        (spaces.Box(-1, 1, (), np.float32), {"vector": (1,)}),
        (spaces.Discrete(5, start=2), {"vector": (5,)}),
        (spaces.MultiDiscrete([2, 3]), {"vector": (5,)}),
        (spaces.MultiBinary(4), {"vector": (4,)}),
        (spaces.Tuple((spaces.Discrete(3), spaces.Box(0, 1, (2,)))), {"vector": (5,)}),
        (
            spaces.Dict({
                "eye": spaces.Box(0, 255, (7, 7, 3), np.uint8),
                "robot": spaces.Dict({"arm": spaces.Box(-1, 1, (2,)), "mode": spaces.Discrete(3)}),
                "mission": spaces.Text(10),
                "events": spaces.Sequence(spaces.Discrete(2)),
            }),
            {"eye": (7, 7, 3), "robot_arm": (2,), "robot_mode": (3,)},
        ),
    ]  # fmt: skip
    for space, shapes in cases:
        space.seed(0)
        arguments = {"observation_space": space, "show": lambda count, space=space: space.sample()}
        environment = GymnasiumEnvironment(make=Counter, num_envs=2, kwargs=arguments)
        values = environment.observe().values
        found = {name: value.shape[1:] for name, value in values.items()}
        assert found == shapes, space
        for name, value in values.items():
            part = environment.observation_space[name]
            assert value.shape[0] == 2, space
            assert value.dtype == part.dtype == (np.uint8 if len(part.shape) == 3 else np.float32), space
            assert all(part.contains(row) for row in value), space


def test_gymnasium_environment_turns_stacked_frames_into_ordered_channels() -> None:
    stack = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((4, 12, 10), dtype=np.uint8)
    space = spaces.Box(0, 255, (4, 12, 10), np.uint8)
    environment = GymnasiumEnvironment(make=Counter, kwargs={"observation_space": space, "show": lambda count: stack})
    assert environment.observe().values["image"][0, 3, 5].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_gymnasium_environment_resizes_images_by_area_mean(channels: int) -> None:
    picture = np.zeros((8, 12, channels), dtype=np.uint8)
    picture[:4, :6] = 200
    picture[:4, 6:9] = 100
    space = spaces.Box(0, 255, picture.shape, np.uint8)
    environment = GymnasiumEnvironment(
        make=Counter, image_size=[2, 2], kwargs={"observation_space": space, "show": lambda count: picture}
    )
    image = environment.observe().values["image"][0]
    assert image.shape == (2, 2, channels)
    assert image[:, :, 0].tolist() == [[200, 50], [0, 0]]


def test_gymnasium_environment_can_observe_rendered_images() -> None:
    environment = GymnasiumEnvironment("CartPole-v1", num_envs=2, render_as_observation=True, image_size=[40, 60])
    environment.setup()
    first = environment.observe().values["image"]
    assert first.shape == (2, 40, 60, 3)
    for _ in range(8):
        environment.affect(np.ones((2, 1), dtype=np.int64))
    assert np.abs(first.astype(int) - environment.observe().values["image"]).max() > 50  # the cart has moved


def test_gymnasium_environment_gives_minigrid_images_and_positions() -> None:
    pytest.importorskip("minigrid", reason="needs minigrid: extra worlds")
    environment = GymnasiumEnvironment("MiniGrid-Empty-5x5-v0", num_envs=2, truth={"steps": "step_count"})
    assert environment.observe().values["image"].shape == (2, 7, 7, 3)
    assert environment.observe().values["direction"].shape == (2, 4)
    forward = np.full((2, 1), 2)
    assert environment.ground_truth()["position"].tolist() == [[1, 1], [1, 1]]
    environment.affect(forward)
    assert environment.ground_truth()["position"].tolist() == [[2, 1], [2, 1]]
    assert environment.ground_truth()["heading"].tolist() == [0, 0]
    assert environment.ground_truth()["steps"].tolist() == [1, 1]


def test_gymnasium_environment_finds_position_and_heading_of_an_agent() -> None:
    class Agent:
        pos, dir = np.array([1.0, 0.0, 2.5]), 0.5

    class InSpace(CartPoleEnv):
        agent = Agent()

    truth = GymnasiumEnvironment(make=InSpace).ground_truth()
    assert truth["position"].tolist() == [[1.0, 0.0, 2.5]]
    assert truth["heading"].tolist() == [0.5]
    assert GymnasiumEnvironment("CartPole-v1").ground_truth() == {}
    named = GymnasiumEnvironment(make=InSpace, truth={"position": "agent.dir"}).ground_truth()
    assert named["position"].tolist() == [0.5]


def test_gymnasium_environment_runs_atari_without_registration() -> None:
    pytest.importorskip("ale_py", reason="needs ale-py: extra worlds")
    environment = GymnasiumEnvironment("ALE/Pong-v5", image_size=84)
    seen = run(environment, 3)
    assert seen[0].values["image"].shape == (1, 84, 84, 3)
    assert environment.ground_truth()["lives"].shape == (1,)


def test_gymnasium_environment_info_numbers_are_ground_truth() -> None:
    environment = GymnasiumEnvironment(make=Counter, num_envs=2)
    run(environment, 2)
    truth = environment.ground_truth()
    assert truth.keys() == {"count", "pose"}
    assert truth["count"].tolist() == [2, 2]
    assert truth["pose"].tolist() == [[2.0, 0.5]] * 2


def test_gymnasium_environment_applies_wrappers_from_the_inside_out() -> None:
    def scale(factor: float) -> Callable[[Env], Env]:
        return lambda inner: gymnasium.wrappers.TransformReward(inner, lambda reward: reward * factor + 1)

    environment = GymnasiumEnvironment(make=Counter, wrappers=[scale(10), scale(2)])
    environment.affect(np.zeros((1, 1), dtype=np.int64))
    assert environment.observe().reward[0] == (1 * 10 + 1) * 2 + 1


def test_gymnasium_environment_argument_errors_say_what_to_do() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"id": "CartPol-v1"}, "Did you mean CartPole-v1"),
        ({"id": "cartpole-v1"}, "Did you mean CartPole-v1"),
        ({"id": "CartPole-v77"}, "Did you mean CartPole-v1"),
        ({"id": "qqqqqq"}, "pprint_registry"),
        ({"id": "CartPole-v1", "kwargs": {"nonsense": 1}}, "nonsense"),
        ({"id": "os:CartPole-v1"}, "_partial_"),
        ({"id": "CartPole-v1", "num_envs": 0}, "at least 1"),
        ({"id": "CartPole-v1", "vectorization": "parallel"}, "sync, async, native"),
        ({"id": "Pendulum-v1", "vectorization": "native"}, "vectorization=sync"),
        ({"id": "CartPole-v1", "image_size": [1, 2, 3]}, "height, width"),
        ({"id": "CartPole-v1", "truth": {"x": "unwrapped.__class__"}}, "private"),
        ({}, "either id"),
        ({"make": Counter, "kwargs": {"observation_space": spaces.Text(3)}}, "no part that agents can read"),
        ({"make": Counter, "kwargs": {"action_space": spaces.Dict({"a": spaces.Discrete(2)})}}, "use Discrete"),
    ]
    calls = [(partial(GymnasiumEnvironment, **arguments), message) for arguments, message in cases]
    assert not unexpected_errors(ValueError, calls)


@pytest.mark.parametrize(
    ("environment_id", "module", "message"),
    [
        ("LunarLander-v3", "Box2D", r"gymnasium\[box2d\]"),
        ("MiniWorld-Hallway-v0", "miniworld", r"\[worlds\]"),
    ],
)
def test_gymnasium_environment_names_the_extra_to_install(environment_id: str, module: str, message: str) -> None:
    if find_spec(module):
        pytest.skip(f"{module} is installed")
    with pytest.raises(ValueError, match=message):
        GymnasiumEnvironment(environment_id)
