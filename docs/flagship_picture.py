"""Paint docs/images/NAME.png and .gif, two agents in the same world: `python -m docs.flagship_picture NAME`.

Names: `curiosity_noise_world`, the curious agent above a random walk with inertia; `remote`, the curious agent above
one that is paid for prediction errors, in the world with a remote. All in lockstep; some minutes each.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pamiq_exp import launch
from pamiq_exp.config import build_experiment, compose_config
from pamiq_exp.interaction import StepObserver, Turn

FOLDER = Path(__file__).parent / "images"
RUN = [
    "experiment=curiosity_noise_world",
    "launcher=lockstep",
    "interaction=unpaced",
    "metrics=none",
    "tracking=jsonl_only",
    "seed=0",
]
PAIRS = {
    "curiosity_noise_world": ([], ["agent=random", "interaction.agent.stickiness=0.75"]),
    "remote": (["world=remote"], ["world=remote", "reward=prediction_error"]),
}
SHARES = (0.1, 0.4, 1.0)
"""Parts of the run after which the maps of the picture are drawn."""
FRAMES = 48
CELL = 0.25
SCALE, GAP = 2, 12
WALL, UNSEEN, SEEN, NEWEST = (44, 44, 52), (226, 226, 230), (58, 122, 186), (240, 150, 30)


class Watcher(StepObserver):
    """Keeps which cells were visited first in which turn, where the agents are, and what the first one sees."""

    def __init__(self, turns: int) -> None:
        self._turns = turns
        self._turn = 0
        self.first: NDArray[np.int64] | None = None
        self.places: dict[int, NDArray[np.intp]] = {}
        self.views: dict[int, NDArray[np.uint8]] = {}
        self.reachable: NDArray[np.bool_] = np.zeros((0, 0), dtype=np.bool_)

    def on_step(self, turn: Turn) -> None:
        truth = turn.environment.ground_truth()
        if self.first is None:
            self.reachable = np.array(truth["reachable"])
            self.first = np.full(self.reachable.shape, np.iinfo(np.int64).max)
        cells = (truth["pose"][:, 1::-1] / CELL).astype(np.intp)
        np.minimum.at(self.first, (cells[:, 0], cells[:, 1]), self._turn)
        if self._turn % (self._turns // FRAMES) == 0 or self._turn == self._turns - 1:
            self.places[self._turn] = cells
            self.views[self._turn] = np.array(turn.observation.values["image"][0])
        self._turn += 1


def watch(words: list[str]) -> Watcher:
    """Run an experiment and return what was seen of it."""
    run = build_experiment(compose_config([*RUN, *words]))
    assert run.launch_config.max_steps is not None
    watcher = Watcher(run.launch_config.max_steps // run.interaction.num_envs)
    run.interaction.observers["watcher"] = watcher
    launch(run.interaction, run.models, run.buffers, run.trainers, run.launch_config)
    return watcher


def draw_map(watcher: Watcher, turn: int) -> NDArray[np.uint8]:
    """Return the map after a turn: visited cells, and where the agents are."""
    assert watcher.first is not None
    picture = np.where(watcher.reachable[..., None], np.uint8(UNSEEN), np.uint8(WALL))
    picture[watcher.first <= turn] = SEEN
    rows, columns = watcher.places[max(each for each in watcher.places if each <= turn)].T
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        picture[rows - down, columns - right] = NEWEST
    return picture.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


def beside(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Put pictures of one height side by side."""
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for each in pictures for part in (each, gap)][:-1], axis=1)


def above(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Put pictures of one width below each other."""
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([part for each in rows for part in (each, gap)][:-1], axis=0)


def view(watcher: Watcher, turn: int, height: int) -> NDArray[np.uint8]:
    """Return what the first agent saw then, as a square."""
    seen = watcher.views[max(each for each in watcher.views if each <= turn)]
    return np.asarray(Image.fromarray(seen).resize((height, height), Image.Resampling.NEAREST))


def paint(name: str) -> None:
    """Run both agents and write picture and film."""
    watchers = [watch(list(words)) for words in PAIRS[name]]
    turns = max(watchers[0].places)
    shown = [[draw_map(each, int(share * turns)) for share in SHARES] for each in watchers]
    rows = [beside([view(each, turns, maps[0].shape[0]), *maps]) for each, maps in zip(watchers, shown, strict=True)]
    Image.fromarray(above(rows)).save(FOLDER / f"{name}.png", optimize=True)
    film = [
        Image.fromarray(beside([part for each in watchers for part in (draw_map(each, turn),)]))
        for turn in sorted(watchers[0].places)
    ]
    quiet = [frame.quantize(16, dither=Image.Dither.NONE) for frame in film]
    quiet[0].save(
        FOLDER / f"{name}.gif",
        save_all=True,
        append_images=quiet[1:],
        duration=[150] * (len(quiet) - 1) + [3000],
        loop=0,
        optimize=True,
    )


if __name__ == "__main__":
    for each in sys.argv[1:] or PAIRS:
        paint(each)
