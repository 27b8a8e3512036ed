from __future__ import annotations

import numpy as np
import pytest

from pamiq_exp.environments import GymnasiumEnvironment, NoiseWorld, Play
from pamiq_exp.environments.play import Walk
from tests.interaction.worlds import Diary

pygame = pytest.importorskip("pygame", reason="the window needs pygame: extra play")


def world(**keys: object) -> NoiseWorld:
    return NoiseWorld(**({"noise": {"pool": 3}, "image_size": 32} | keys))  # type: ignore[arg-type]


def test_play_window_shows_the_world_and_keys_move_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    place = world()
    player = Play(place, frames_per_second=1000, size=64)
    shown = []
    flip = pygame.display.flip

    def look() -> None:
        shown.append(pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1))
        flip()

    class Held(dict[int, bool]):
        def __missing__(self, code: int) -> bool:
            return False

    monkeypatch.setattr(pygame.display, "flip", look)
    monkeypatch.setattr(pygame.key, "get_pressed", lambda: Held({pygame.K_w: True, pygame.K_RIGHT: True}))
    expected = player.frame()
    before = place.ground_truth()["pose"][0].copy()
    assert player.in_window(turns=3) == 3
    after = place.ground_truth()["pose"][0]
    assert after[0] > before[0] + 0.5
    assert np.degrees(after[2]) == pytest.approx(45)
    assert np.array_equal(shown[0], expected)
    assert (shown[0] != shown[2]).any()


@pytest.mark.parametrize("leave", ["close", "q"])
def test_play_window_ends_on_close_or_q(leave: str) -> None:
    player = Play(world(), frames_per_second=1000, size=64)
    pygame.display.init()
    event = pygame.event.Event(pygame.QUIT) if leave == "close" else pygame.event.Event(pygame.KEYDOWN, key=pygame.K_q)
    pygame.event.post(event)
    assert player.in_window() == 0


def test_play_film_shows_the_walk_beside_a_map() -> None:
    film = Play(world(map="corridor"), size=64).film(turns=60, seed=1)
    assert film.frames.shape == (60, 64, 128, 3)
    assert (film.frames[0, :, 64:] != film.frames[-1, :, 64:]).any(), "the agent moved on the map"
    again = Play(world(map="corridor"), size=64).film(turns=60, seed=1)
    assert np.array_equal(film.frames, again.frames)


def test_play_film_walk_leaves_the_first_room() -> None:
    place = world(noise={"fraction": 0})
    Play(place, size=16).film(turns=200)
    moved = np.abs(place.ground_truth()["pose"][0, :2] - place.map.start[:2])
    assert moved.max() > 4, "it left the room"


def test_play_keys_give_the_expected_commands() -> None:
    for actions in ("branches", "masked", "discrete"):
        place = world(actions=actions, noise={"control": "remote", "pool": 2})
        player = Play(place)
        for key, command in {
            "w": [1, 0, 0, 0, 0, 0],
            "s": [-1, 0, 0, 0, 0, 0],
            "d": [0, 1, 0, 0, 0, 0],
            "a": [0, -1, 0, 0, 0, 0],
            "right": [0, 0, 1, 0, 0, 0],
            "left": [0, 0, -1, 0, 0, 0],
            "r": [0, 0, 0, 0, 0, 1],
        }.items():
            player.act([key])
            assert place.ground_truth()["command"][0].tolist() == command
    assert set(world().keyboard()) >= {"space", "left shift"}
    assert "space" not in world(actions="masked").keyboard()


def test_play_accepts_digits_in_environments_without_a_keyboard() -> None:
    frames = []
    for digit in "01":
        place = GymnasiumEnvironment("CartPole-v1", render_as_observation=True, image_size=32, seed=0)
        player = Play(place, size=32)
        for _ in range(8):
            player.act([digit])
        frames.append(player.frame())
        place.teardown()
    assert frames[0].shape == (32, 32, 3)
    assert (frames[0] != frames[1]).any(), "pushed to the left and to the right"


def test_play_refuses_environments_without_an_image() -> None:
    with pytest.raises(ValueError, match="no picture"):
        Play(Diary())


def test_walk_uses_all_keys_of_an_unknown_keyboard() -> None:
    walk = Walk(["1", "0"], seed=0)
    assert {key for turn in range(20) for key in walk.keys(turn, None)} == {"0", "1"}
