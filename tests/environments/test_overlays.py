"""Noise over pixels: where and when it is configured, and never in the state of the environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.environments import GymnasiumEnvironment, NoisyTV, PixelOverlay, RandomBoxes, ViewNoise
from pamiq_exp.environments.overlays.remote import with_button, without_button
from tests.cases import unexpected_errors

Env = gymnasium.Env[Any, Any]
GREY = 120


class Wall(gymnasium.Env[Any, Any]):
    """A gray wall with a number of its own in the first pixel: the sum of its actions and of random numbers."""

    metadata = {"render_modes": ["rgb_array"]}
    render_mode = "rgb_array"

    def __init__(
        self,
        shape: tuple[int, ...] = (32, 24, 3),
        action_space: spaces.Space[Any] | None = None,
        named: bool = False,
        value: int = GREY,
    ) -> None:
        self.wall, self.named = np.full(shape, value, np.uint8), named
        picture = spaces.Box(0, 255, shape, np.uint8)
        self.observation_space = spaces.Dict({"view": picture, "hunger": spaces.Box(0, 1)}) if named else picture
        self.action_space = action_space or spaces.Discrete(3)
        self.actions: list[Any] = []

    def _show(self) -> Any:
        shown = self.wall.copy()
        shown[0, 0] = self.number % 256
        return {"view": shown, "hunger": np.ones(1, np.float32)} if self.named else shown

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.number = int(self.np_random.integers(100))
        return self._show(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.actions.append(action)
        self.number += int(np.sum(action)) + int(self.np_random.integers(10))
        return self._show(), 1.0, False, False, {"number": self.number}

    def render(self) -> NDArray[np.uint8]:
        return np.full((64, 48, 3), GREY, np.uint8)


OVERLAYS: list[Callable[[Env], PixelOverlay]] = [
    NoisyTV,
    lambda env: NoisyTV(env, shows="pixels"),
    RandomBoxes,
    ViewNoise,
    lambda env: ViewNoise(env, kind="uniform"),
]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays_change_only_masked_pixels_and_differ_at_each_step(overlay: Callable[[Env], PixelOverlay]) -> None:
    env, plain = overlay(Wall()), Wall()
    env.reset(seed=1)
    plain.reset(seed=1)
    before: list[NDArray[np.uint8]] = []
    touched = np.zeros((32, 24), bool)
    covered = np.zeros((32, 24), bool)
    for _ in range(40):
        seen, reward, _, _, info = env.step(1)
        expected, *_ = plain.step(1)
        assert reward == 1.0
        assert info["number"] == plain.number, "the noise does not change the environment"
        mask = info["noise_mask"]
        assert mask.dtype == np.bool_
        assert np.array_equal(seen[~mask], expected[~mask])
        assert not any(np.array_equal(seen, other) for other in before[-3:])
        before.append(seen)
        touched |= (seen != expected).any(axis=-1)
        covered |= mask
    assert touched[covered].mean() > 0.95


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays_are_reproducible_from_the_seed(overlay: Callable[[Env], PixelOverlay]) -> None:
    env = overlay(Wall())
    histories = []
    for seed in (3, 3, 4):
        first, _ = env.reset(seed=seed)
        histories.append(np.stack([first, *(env.step(0)[0] for _ in range(5))]))
        histories[-1] = np.concatenate([histories[-1], [env.reset()[0]]])
    assert np.array_equal(histories[0], histories[1])
    assert not np.array_equal(histories[0], histories[2])
    assert not np.array_equal(histories[0][0], histories[0][-1]), "another episode, other noise"


@pytest.mark.parametrize("corner", ["upper left", "upper right", "lower left", "lower right"])
def test_noisy_tv_fills_its_corner(corner: Any) -> None:
    env = NoisyTV(Wall(), shows="pixels", corner=corner)
    seen, info = env.reset(seed=0)
    rows = slice(16, 32) if "lower" in corner else slice(0, 16)
    columns = slice(12, 24) if "right" in corner else slice(0, 12)
    assert info["noise_mask"][rows, columns].all()
    assert info["noise_mask"].sum() == 16 * 12
    assert seen[rows, columns].std() > 60


def test_noisy_tv_shows_pictures_of_a_folder_equally_often(tmp_path: Path) -> None:
    for name, color in (("a", (250, 0, 0)), ("b", (0, 250, 0)), ("c", (0, 0, 250))):
        Image.new("RGB", (10, 10), color).save(tmp_path / f"{name}.png")
    env = NoisyTV(Wall(), pool=3, path=str(tmp_path))
    env.reset(seed=0)
    shown = [int(env.step(0)[0][-1, -1].argmax()) for _ in range(600)]
    counts = np.bincount(shown, minlength=3)
    assert counts.min() > 150
    assert np.mean(np.diff(shown) == 0) == pytest.approx(1 / 3, abs=0.08), "drawn with replacement"


@pytest.mark.parametrize(
    ("space", "press", "leave", "inner"),
    [
        (spaces.Discrete(3), 3, 2, [2, 0, 2]),
        (spaces.MultiDiscrete([3, 2]), [2, 1, 1], [2, 1, 0], [[2, 1]] * 3),
        (spaces.Box(-1, 1, (1,), np.float32), [0.5, 0.9], [0.5, -0.9], [[0.5]] * 3),
    ],
)
def test_noisy_tv_remote_adds_an_action_that_changes_the_noise(
    space: spaces.Space[Any], press: Any, leave: Any, inner: list[Any]
) -> None:
    wall = Wall(action_space=space)
    env = NoisyTV(wall, shows="pixels", remote=True)
    dtype = env.action_space.dtype
    press, leave = (np.array(action, dtype=dtype) for action in (press, leave))
    assert env.action_space.contains(press)
    black, info = env.reset(seed=0)
    assert not black[info["noise_mask"]].any(), "black until the first press"
    still = env.step(leave)[0]
    assert not still[info["noise_mask"]].any()
    noisy = env.step(press)[0]
    assert noisy[info["noise_mask"]].any()
    assert np.array_equal(env.step(leave)[0][info["noise_mask"]], noisy[info["noise_mask"]]), "it stays as it is"
    assert [np.asarray(action).tolist() for action in wall.actions[:3]] == [
        pytest.approx(each) for each in [inner[0], inner[1], inner[2]]
    ]
    off, _ = env.reset()
    assert not off[info["noise_mask"]].any(), "off when an episode begins"


def test_noisy_tv_remote_press_gives_minigrid_the_idle_action() -> None:
    pytest.importorskip("minigrid", reason="needs minigrid: extra worlds")
    import minigrid.wrappers

    for idle_action, turned in ((None, 0), (1, 1)):
        pixels = minigrid.wrappers.RGBImgPartialObsWrapper(gymnasium.make("MiniGrid-Empty-5x5-v0"))
        env = NoisyTV(pixels, remote=True, idle_action=idle_action)
        env.reset(seed=0)
        heading = env.get_wrapper_attr("agent_dir")
        env.step(7)
        assert (env.get_wrapper_attr("agent_dir") - heading) % 4 == turned


@given(st.integers(1, 6), st.integers(-3, 3), st.integers(0, 6))
def test_with_button_keeps_the_meaning_of_other_actions(count: int, start: int, which: int) -> None:
    space = spaces.Discrete(count, start=start)
    extended = with_button(space)
    action = start + min(which, count)
    assert extended.contains(np.int64(action))
    inner, pressed = without_button(space, action, idle=start)
    assert space.contains(np.int64(inner))
    assert pressed == (action == start + count)
    assert pressed or inner == action


def test_random_boxes_clip_pixel_values() -> None:
    env = RandomBoxes(Wall(value=250), boxes=3, spread=0, size=10, sigma=20)
    env.reset(seed=0)
    seen, _, _, _, info = env.step(0)
    assert 100 <= info["noise_mask"].sum() <= 300
    assert seen[1:, 1:].min() > 150, "a byte that wraps around would be dark"
    assert (seen[info["noise_mask"]] == 255).any()


@pytest.mark.parametrize(("kind", "mean", "deviation"), [("gaussian", GREY, 20), ("uniform", 127.5, 73.9)])
def test_view_noise_has_the_stated_mean_and_deviation(kind: Any, mean: float, deviation: float) -> None:
    env = ViewNoise(Wall((64, 64, 3)), kind=kind, sigma=20)
    env.reset(seed=0)
    pixels = np.stack([env.step(0)[0][1:] for _ in range(20)])
    assert pixels.mean() == pytest.approx(mean, abs=1)
    assert pixels.std() == pytest.approx(deviation, abs=1)


def test_view_noise_dark_changes_black_pixels_only() -> None:
    wall = Wall((16, 16, 3))
    wall.wall[8:] = 0
    env = ViewNoise(wall, kind="dark", sigma=80)
    env.reset(seed=0)
    seen, _, _, _, info = env.step(0)
    assert not info["noise_mask"][:8].any()
    assert info["noise_mask"][8:].all()
    assert (seen[1:8] == GREY).all()
    assert (seen[8:] == 0).mean() == pytest.approx(0.5, abs=0.1), "max(0, N(0, 80))"
    assert seen[8:].max() > 100


def test_view_noise_appears_with_its_probability() -> None:
    env = ViewNoise(Wall(), probability=0.25)
    env.reset(seed=0)
    assert np.mean([env.step(0)[4]["noise_mask"].any() for _ in range(400)]) == pytest.approx(0.25, abs=0.07)


@pytest.mark.parametrize("shape", [(32, 24), (32, 24, 1), (32, 24, 4)])
def test_overlays_accept_any_number_of_channels(shape: tuple[int, ...]) -> None:
    for overlay in OVERLAYS:
        env = overlay(Wall(shape))
        seen, info = env.reset(seed=0)
        assert seen.shape == shape
        assert info["noise_mask"].shape == (32, 24)


def test_noisy_tv_covers_only_the_image_of_a_dict_observation() -> None:
    for key in (None, "view"):
        env = NoisyTV(Wall(named=True), key=key)
        seen, info = env.reset(seed=0)
        assert (seen["view"][info["noise_mask"]] != GREY).any()
        assert seen["hunger"] == 1
    with pytest.raises(ValueError, match="no picture 'hunger'"):
        NoisyTV(Wall(named=True), key="hunger")


def test_overlays_combine_their_masks() -> None:
    def mask(env: Any) -> NDArray[np.bool_]:
        return np.asarray(env.reset(seed=0)[1]["noise_mask"])

    box = mask(RandomBoxes(Wall(), boxes=1, spread=0, size=4))
    television = mask(NoisyTV(Wall(), shows="pixels"))
    assert (box & ~television).any()
    both = mask(RandomBoxes(NoisyTV(Wall(), shows="pixels"), boxes=1, spread=0, size=4))
    assert np.array_equal(both, box | television)


def test_noisy_tv_covers_rendered_frames() -> None:
    env = NoisyTV(Wall(), shows="pixels")
    env.reset(seed=0)
    frame = env.render()
    assert (frame[:32] == GREY).all()
    assert frame[32:, 24:].std() > 60
    assert np.array_equal(frame, env.render()), "looking twice changes nothing"


def test_noisy_tv_refuses_symbolic_images() -> None:
    pytest.importorskip("minigrid", reason="needs minigrid: extra worlds")
    import minigrid.wrappers

    with pytest.raises(ValueError, match="RGBImgPartialObsWrapper"):
        NoisyTV(gymnasium.make("MiniGrid-Empty-5x5-v0"))
    pixels = minigrid.wrappers.RGBImgPartialObsWrapper(gymnasium.make("MiniGrid-Empty-5x5-v0"))
    seen, info = NoisyTV(pixels).reset(seed=0)
    assert seen["image"].shape[:2] == info["noise_mask"].shape == (56, 56)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays_pass_the_gymnasium_checker_and_can_be_remade(overlay: Callable[[Env], PixelOverlay]) -> None:
    gymnasium.register("pamiq_exp_tests/Wall-v0", entry_point=Wall)
    try:
        env = overlay(gymnasium.make("pamiq_exp_tests/Wall-v0"))
        check_env(env, skip_render_check=True)
        assert env.spec is not None
        again = gymnasium.make(env.spec)
        assert np.array_equal(env.reset(seed=5)[0], again.reset(seed=5)[0])
    finally:
        del gymnasium.registry["pamiq_exp_tests/Wall-v0"]


@pytest.mark.parametrize("remote", [False, True])
def test_overlays_restore_their_noise_from_a_snapshot(remote: bool) -> None:
    def build(seed: int) -> GymnasiumEnvironment:
        return GymnasiumEnvironment(
            "CartPole-v1",
            num_envs=2,
            seed=seed,
            render_as_observation=True,
            image_size=24,
            overlays=[lambda env: NoisyTV(env, pool=3, remote=remote), ViewNoise],
        )

    def run(world: GymnasiumEnvironment, turns: int) -> list[NDArray[Any]]:
        seen = []
        for turn in range(turns):
            world.affect(np.array([[turn % 3 if remote else turn % 2]] * 2))
            seen.append(world.observe().values["image"])
        return seen

    world = build(1)
    world.setup()
    assert not world.restarts_on_resume
    run(world, 7)
    saved = collect_state(world)
    future = run(world, 30)
    resumed = build(9)
    resumed.setup()
    assert restore_state(resumed, saved) == ([], [])
    assert np.array_equal(future, run(resumed, 30))


def test_overlays_refuse_invalid_arguments() -> None:
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: NoisyTV(Wall(), shows="films"), "shows pictures or pixels"),  # type: ignore[arg-type]
        (lambda: NoisyTV(Wall(), corner="middle"), "corner must be"),  # type: ignore[arg-type]
        (lambda: NoisyTV(Wall(), share=0), "share must be"),
        (lambda: RandomBoxes(Wall(), boxes=1, spread=2), "0 <= spread <= boxes"),
        (lambda: ViewNoise(Wall(), probability=2), "probability in"),
        (lambda: NoisyTV(Wall(action_space=spaces.MultiBinary(2)), remote=True), "no room for a button"),
    ]
    assert not unexpected_errors(ValueError, cases)
