"""The newest pictures of a run, kept by reference and drawn on demand."""

from __future__ import annotations

import base64
import threading
import time
import zlib
from typing import Any

import numpy as np

from pamiq_exp.interaction import Interaction, Observation, Turn
from pamiq_exp.interaction.environment import continual
from pamiq_exp.interaction.live_view import LARGEST_SIDE, MAP_SIDE, MOST_ENVIRONMENTS, MOST_PICTURES, LiveView
from tests.metrics.scripted import ScriptedAgent

NUMBERS = {"speed": np.zeros((1, 3), dtype=np.float32)}


class Shown:
    """As much of an environment as a turn needs."""

    def __init__(self, truth: dict[str, Any]) -> None:
        self.truth = truth

    def ground_truth(self) -> dict[str, Any]:
        return self.truth


def turn(values: dict[str, Any], truth: dict[str, Any] | None = None) -> Turn:
    observation: Observation = continual(values)
    return Turn(observation, np.zeros(1), None, Shown(truth or {}))  # type: ignore[arg-type]


def pixels(picture: dict[str, Any]) -> np.ndarray:
    flat = np.frombuffer(zlib.decompress(base64.b64decode(picture["pixels"])), dtype=np.uint8)
    return flat.reshape(picture["height"], picture["width"], 3)


def test_live_view_is_empty_before_the_first_turn() -> None:
    assert LiveView().read() == []


def test_live_view_shows_the_newest_image_of_each_camera_and_environment() -> None:
    view = LiveView()
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 255, (2, 6, 8, 3), dtype=np.uint8) for _ in range(2))
    gray = rng.integers(0, 255, (2, 6, 8, 1), dtype=np.uint8)
    view.take(turn({"left": first, "gray": gray, "speed": np.zeros((2, 3), dtype=np.float32)}))
    view.take(turn({"left": second, "gray": gray, "speed": np.zeros((2, 3), dtype=np.float32)}))
    shown = {each["name"]: pixels(each) for each in view.read()}
    assert list(shown) == ["left 0", "left 1", "gray 0", "gray 1"]
    np.testing.assert_array_equal(shown["left 1"], second[1])
    np.testing.assert_array_equal(shown["gray 0"], np.repeat(gray[0], 3, axis=-1))


def test_live_view_limits_the_size_and_number_of_images() -> None:
    view = LiveView()
    eye = np.zeros((MOST_ENVIRONMENTS + 3, 720, 1280, 3), dtype=np.uint8)
    view.take(turn({"left": eye}))
    assert len(view.read()) == MOST_ENVIRONMENTS
    view.take(turn({"left": eye, "right": eye, "down": eye}))
    shown = view.read()
    assert len(shown) == MOST_PICTURES
    assert (shown[0]["height"], shown[0]["width"]) == (144, 256)
    assert max(shown[0]["height"], shown[0]["width"]) <= LARGEST_SIDE


def test_live_view_map_changes_when_the_agent_moves() -> None:
    view = LiveView()
    truth: dict[str, Any] = {"reachable": np.ones((8, 8), dtype=np.bool_)}
    for x in (0.5, 1.0, 1.5):
        view.take(turn(NUMBERS, truth | {"pose": np.array([[x, 1.0, 0.0, 1.0]])}))
    (shown,) = view.read()
    assert (shown["name"], shown["height"]) == ("map", MAP_SIDE)
    late = LiveView()
    late.take(turn(NUMBERS, truth | {"pose": np.array([[1.5, 1.0, 0.0, 1.0]])}))
    assert (pixels(shown) != pixels(late.read()[0])).any(), "earlier poses leave a trace"
    before = pixels(shown)
    view.take(turn(NUMBERS, truth | {"pose": np.array([[1.5, 1.75, 0.0, 1.0]])}))
    assert (pixels(view.read()[0]) != before).any()


def test_live_view_read_waits_briefly_for_the_next_turn() -> None:
    view = LiveView()
    view.take(turn(NUMBERS | {"eye": np.zeros((1, 2, 2, 3), dtype=np.uint8)}))
    assert pixels(view.read()[0]).max() == 0, "without a next turn, such as in a pause, the newest is shown"
    later = threading.Timer(0.01, view.take, (turn({"eye": np.ones((1, 2, 2, 3), dtype=np.uint8)}),))
    later.start()
    deadline = time.monotonic() + 60.0
    while not pixels(view.read()[0]).max():
        assert time.monotonic() < deadline, "the next turn was never shown"
    later.join()


def test_interaction_watcher_sees_turns_without_being_an_observer() -> None:
    seen: list[Turn] = []

    class World(Shown):
        num_envs, observed_at, age, own_interval = 1, None, None, None

        def observe(self) -> Observation:
            return continual({"eye": np.zeros((1, 2, 2, 3), dtype=np.uint8)})

        def affect(self, action: Any) -> None: ...

    interaction = Interaction(ScriptedAgent(), World({}))  # type: ignore[arg-type]
    interaction.step()
    interaction.watcher = seen.append
    interaction.step()
    interaction.watcher = None
    interaction.step()
    assert len(seen) == 1
