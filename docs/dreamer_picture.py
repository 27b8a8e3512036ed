r"""Draw docs/images/dreamer.png: how many environment steps DreamerV3 and PPO need for a pole and for a grid world.

python -m pamiq_exp -m experiment=cartpole_dreamer seed=0,1,2 +metrics.episodes.window=10
python -m pamiq_exp -m experiment=cartpole_ppo seed=0,1,2 launcher.max_steps=100000 \
    launcher.record_every_steps=200 +metrics.episodes.window=10
python -m pamiq_exp -m experiment=minigrid_dreamer seed=0,1,2 +metrics.episodes.window=20
python -m pamiq_exp -m experiment=minigrid_ppo environment=minigrid_pixels seed=0,1,2 \
    launcher.record_every_steps=200 +metrics.episodes.window=20
python docs/dreamer_picture.py RUN_FOLDER...

For each run it also prints the first step after which the mean return was high enough.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

COLORS = {"dreamer": "tab:blue", "ppo": "tab:orange"}
LABELS = {"dreamer": "DreamerV3", "ppo": "PPO"}
TASKS = {
    "cartpole": ("CartPole-v1, last 10 episodes", 475.0),
    "minigrid": ("Empty-8x8 in pixels, last 20 episodes", 0.9),
}
"""By the first word of an experiment: the title, and which return counts as solved."""


def curve(folder: Path) -> tuple[str, list[int], list[float]]:
    """Return the experiment, environment steps, and mean returns of a run."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    points = [(each["environment_step"], each[key]) for each in records if (key := "interaction/return_mean") in each]
    steps, returns = zip(*points, strict=True)
    return json.loads((folder / "manifest.json").read_text())["experiment_name"], list(steps), list(returns)


def main(folders: list[str]) -> None:
    """Draw the curves of all runs."""
    figure, panels = plt.subplots(1, len(TASKS), figsize=(9, 3.2), layout="constrained")
    axes = dict(zip(TASKS, panels, strict=True))
    seen: set[str] = set()
    for folder in folders:
        name, steps, returns = curve(Path(folder))
        task, _, method = name.partition("_")
        axes[task].plot(steps, returns, color=COLORS[method], label=None if name in seen else LABELS[method])
        seen.add(name)
        high = TASKS[task][1]
        print(folder, next((step for step, value in zip(steps, returns, strict=True) if value >= high), "never"))
    for task, (title, high) in TASKS.items():
        axes[task].set(xscale="log", xlabel="environment steps", title=title)
        axes[task].axhline(high, color="gray", linewidth=0.8, linestyle=":")
        axes[task].legend(frameon=False)
    panels[0].set_ylabel("mean return")
    figure.savefig(Path(__file__).parent / "images" / "dreamer.png", dpi=120)


if __name__ == "__main__":
    main(sys.argv[1:])
