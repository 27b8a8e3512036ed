from __future__ import annotations

from functools import partial

from pamiq_exp.environments import NoiseWorld
from tests.cases import unexpected_errors


def test_noise_world_refuses_invalid_options_with_a_hint() -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"noise": {"fractoin": 1}}, "did you mean 'fraction'"),
        ({"noise": {"mode": "idd"}}, "did you mean 'iid'"),
        ({"noise": {"where": "everwhere"}}, "did you mean 'everywhere'"),
        ({"noise": {"where": [{"wall": "north"}]}}, "needs the key 'width'"),
        ({"noise": {"where": [{"wall": "nroth", "width": 2, "height": 2}]}}, "did you mean 'north'"),
        ({"noise": {"where": [{"wall": "north", "width": 2, "height": 2, "room": 77}]}}, "no north wall in room 77"),
        ({"noise": {"fraction": 1.5}}, "0 to 1"),
        ({"noise": {"rate_hz": -1}}, "at least 0"),
        ({"noise": {"control": "telekinesis"}}, "choose from none, remote, gaze"),
        ({"noise": 3}, "must be a mapping"),
        ({"images": {"source": "folder"}}, "set images.path"),
        ({"images": {"size": 60}}, "8, 16, 32"),
        ({"map": "room9"}, "did you mean 'rooms9'"),
        ({"map": "nowhere.txt"}, "there is no file nowhere.txt"),
        ({"map": "room", "noise": {"where": "far_room"}}, "more than one room"),
        ({"map": "room", "noise": {"where": "corridor"}}, "with corridors or doorways"),
        ({"actions": "continuous"}, "choose from branches"),
        ({"start": "middle"}, "choose from map, random"),
        ({"start": [0.5, 0.5, 0]}, "is in a wall"),
        ({"start": [1, 2]}, "environment.start"),
        ({"agent_radius": 0.6}, "at most 0.5"),
        ({"eye_height": 2.9}, "under the ceiling"),
        ({"num_envs": 0}, "at least 1"),
        ({"dt": 0}, "positive number of seconds"),
        ({"sticky": 2}, "probability"),
        ({"materials": "gold"}, "choose from rooms, plain"),
        ({"field_of_view": 200}, "170 degrees"),
        ({"wall_height": 2.5}, "whole number"),
    ]
    calls = [(partial(NoiseWorld, **keys), message) for keys, message in cases]  # type: ignore[arg-type]
    assert not unexpected_errors(ValueError, calls)
