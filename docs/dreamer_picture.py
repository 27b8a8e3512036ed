r"""Draw docs/images/dreamer_cartpole.png: how soon a pole is balanced, with and without imagination.

python -m pamiq_exp -m experiment=cartpole_imagination seed=0,1 launcher.max_steps=8000
python -m pamiq_exp -m experiment=cartpole_ppo seed=0,1 \
    launcher.max_steps=30000 launcher.record_every_steps=200 +metrics.episodes.window=10
python docs/dreamer_picture.py RUN_FOLDER...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

COLOURS = {"cartpole_imagination": "tab:blue", "cartpole_ppo": "tab:orange"}
LABELS = {"cartpole_imagination": "imagined", "cartpole_ppo": "PPO: collected"}


def curve(folder: Path) -> tuple[str, list[int], list[float]]:
    """Return the experiment, environment steps, and mean returns of a run."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    points = [(each["environment_step"], each[key]) for each in records if (key := "interaction/return_mean") in each]
    steps, returns = zip(*points, strict=True)
    return json.loads((folder / "manifest.json").read_text())["experiment_name"], list(steps), list(returns)


def main(folders: list[str]) -> None:
    """Draw the curves of all runs."""
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    seen: set[str] = set()
    for folder in folders:
        name, steps, returns = curve(Path(folder))
        axes.plot(steps, returns, color=COLOURS[name], label=None if name in seen else LABELS[name])
        seen.add(name)
    axes.set(xscale="log", xlabel="environment steps", ylabel="mean return of the last 10 episodes", ylim=(0, 520))
    axes.axhline(195, color="gray", linewidth=0.8, linestyle=":")
    axes.legend(frameon=False)
    figure.savefig(Path(__file__).parent / "images" / "dreamer_cartpole.png", dpi=120)


if __name__ == "__main__":
    main(sys.argv[1:])
