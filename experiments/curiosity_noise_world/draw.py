"""Tables and figures of the study, out of the files that `collect.py` wrote.

    python experiments/curiosity_noise_world/draw.py results/NAME

Writes `table.md`, `overview.md`, `late.md` and PNGs into that folder.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pamiq_exp.analysis import Estimate, Table, curve_interval, difference, estimate, interquartile_mean

Scores = NDArray[np.float64]
Cells = dict[tuple[str, str], dict[int, dict[str, float]]]
"""The figures of each run, by arm and world, then by seed."""

ARMS = (
    "random", "sticky_random", "pixel_error", "latent_error", "random_features", "icm", "rnd", "disagreement", "ama",
    "learning_progress", "gamma_progress", "count_oracle", "mask_oracle",
)  # fmt: skip
WORLDS = ("clean", "food", "cycle", "tvroom", "remote")
METRIC = "coverage_auc"
BASELINES = ("random", "sticky_random")
LATE = "visit_entropy_recent"
COVERAGES = "nominal 95 %, true coverage about 75 % with 3 seeds and 89 % with 5"
"""What a percentile bootstrap of an interquartile mean covers, by simulation with normal data."""
FEW = 5
"""With fewer seeds the overview shows every run and no interval."""
COLOURS = dict(zip(ARMS, [plt.get_cmap("tab20")(index) for index in range(len(ARMS))], strict=True))
DASHES = ("-", "--", ":", "-.")


def read_runs(path: Path) -> Cells:
    """Read `runs.csv`."""
    cells: Cells = defaultdict(dict)
    with path.open() as stream:
        for row in csv.DictReader(stream):
            figures = {name: float(value) for name, value in row.items() if name not in ("arm", "world") and value}
            cells[row["arm"], row["world"]][int(row["seed"])] = figures
    return cells


def scores(cells: Cells, arm: str, world: str, figure: str = METRIC, seeds: Sequence[int] | None = None) -> Scores:
    """Return a figure of an arm in a world, by seed."""
    runs = cells.get((arm, world), {})
    return np.array([runs[seed][figure] for seed in (seeds or sorted(runs)) if figure in runs[seed]])


def shared(cells: Cells, *keys: tuple[str, str]) -> list[int]:
    """Return the seeds that several cells have."""
    return sorted(set.intersection(*(set(cells.get(key, {})) for key in keys)))


def against(cells: Cells, arm: str, baseline: str, world: str, figure: str = METRIC) -> Estimate | None:
    """Return the mean difference to a baseline in the same world, paired by seed; None for the baseline itself."""
    seeds = shared(cells, (arm, world), (baseline, world))
    if not seeds or arm == baseline:
        return None
    pair = scores(cells, arm, world, figure, seeds), scores(cells, baseline, world, figure, seeds)
    return difference([pair[0]], [pair[1]], paired=True)


def noise_ratio(cells: Cells, arm: str, world: str) -> Estimate | None:
    """Return the interquartile mean of the ratio of a noisy world to the clean one, paired by seed."""
    seeds = shared(cells, (arm, world), (arm, "clean"))
    if not seeds or world == "clean":
        return None
    return estimate([scores(cells, arm, world, seeds=seeds) / scores(cells, arm, "clean", seeds=seeds)])


def table(cells: Cells, arms: Sequence[str], worlds: Sequence[str]) -> Table:
    """Return the main table."""
    rows = [
        [
            world,
            arm,
            len(cells[arm, world]),
            estimate([scores(cells, arm, world)]),
            *(against(cells, arm, baseline, world) for baseline in BASELINES),
            noise_ratio(cells, arm, world),
            middle(cells, arm, world, "coverage"),
            middle(cells, arm, world, "noise_share"),
            middle(cells, arm, world, "entropy"),
        ]
        for world in worlds
        for arm in arms
        if (arm, world) in cells
    ]
    differences = [f"minus {baseline}" for baseline in BASELINES]
    head = ["world", "arm", "seeds", METRIC, *differences, "noisy / clean", "coverage", "noise in view", "entropy"]
    return Table(
        "table", f"Interquartile means with bootstrap intervals ({COVERAGES}), differences paired by seed", head, rows
    )


def overview(cells: Cells, arms: Sequence[str], worlds: Sequence[str]) -> Table:
    """Return the table that fits into a README: an arm a row, a world a column; few seeds are shown run by run."""

    def cell(arm: str, world: str) -> str:
        values = scores(cells, arm, world)
        if len(values) < FEW:
            return " ".join(f"{value:.2f}" for value in values)
        found = estimate([values])
        return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"

    rows = [[arm, *(cell(arm, world) for world in worlds)] for arm in arms]
    return Table("overview", f"{METRIC}: interquartile mean and interval, or every run", ["arm", *worlds], rows)


def late_table(cells: Cells, arms: Sequence[str], worlds: Sequence[str]) -> Table:
    """Return the table of the last fifth of each run."""
    rows = []
    for world in worlds:
        for arm in [arm for arm in arms if (arm, world) in cells]:
            gains = [against(cells, arm, baseline, world, LATE) for baseline in BASELINES]
            beside = [middle(cells, arm, world, figure) for figure in ("noise_share_late", "remote_press_rate_late")]
            rows.append([world, arm, estimate([scores(cells, arm, world, LATE)]), *gains, *beside])
    differences = [f"minus {baseline}" for baseline in BASELINES]
    title = f"The last fifth of each run: evenness of visits, bootstrap intervals ({COVERAGES}), paired by seed"
    return Table("late", title, ["world", "arm", LATE, *differences, "noise in view", "presses a step"], rows)


def middle(cells: Cells, arm: str, world: str, figure: str) -> float | None:
    """Return the interquartile mean of a figure; None where it is unknown."""
    values = scores(cells, arm, world, figure)
    return float(interquartile_mean(values)) if len(values) else None


def panels(count: int, width: float, height: float, columns: int = 5) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many panels."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False, layout="constrained"
    )
    for spare in axes.flat[count:]:
        spare.set_visible(False)
    return figure, list(axes.flat[:count])


def draw_results(cells: Cells, arms: Sequence[str], worlds: Sequence[str], path: Path) -> None:
    """Draw interquartile means with intervals and a dot for each seed."""
    figure, axes = panels(len(worlds), 2.6, 0.6 + 0.27 * len(arms))
    for axis, world in zip(axes, worlds, strict=True):
        for index, arm in enumerate(arms):
            values = scores(cells, arm, world)
            if not len(values):
                continue
            found = estimate([values])
            axis.barh(index, found.value, color=COLOURS[arm], alpha=0.5, height=0.7)
            if found.has_interval:
                axis.plot([found.low, found.high], [index, index], color="black", linewidth=1.5)
            axis.plot(values, np.full(len(values), index), "o", color="black", markersize=2.5, alpha=0.7)
            if arm in BASELINES:
                axis.axvline(found.value, color="gray", linewidth=0.8, linestyle="--")
        axis.set(title=world, xlabel=METRIC, yticks=range(len(arms)))
        axis.set_yticklabels(arms if axis is axes[0] else [])
        axis.invert_yaxis()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_curves(path: Path, arms: Sequence[str], worlds: Sequence[str], target: Path) -> None:
    """Draw coverage over steps: interquartile means over seeds with bootstrap intervals (see `COVERAGES`)."""
    lines: dict[tuple[str, str], dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    with path.open() as stream:
        for row in csv.DictReader(stream):
            lines[row["arm"], row["world"]][int(row["seed"])].append((float(row["step"]), float(row["coverage"])))
    figure, axes = panels(len(worlds), 3.0, 3.2, columns=3)
    for axis, world in zip(axes, worlds, strict=True):
        for index, arm in enumerate(arms):
            if (arm, world) not in lines:
                continue
            runs = [np.array(points) for points in lines[arm, world].values()]
            length = min(map(len, runs))
            steps, values = runs[0][:length, 0] / 1000, np.array([run[:length, 1] for run in runs])
            center, low, high = curve_interval(values)
            axis.plot(steps, center, color=COLOURS[arm], linestyle=DASHES[index % 4], label=arm, linewidth=1.4)
            axis.fill_between(steps, low, high, color=COLOURS[arm], alpha=0.15, linewidth=0)
        axis.set(title=world, xlabel="thousand environment steps", ylabel="share of cells visited")
    handles, labels = axes[0].get_legend_handles_labels()
    columns = 5 if len(worlds) > 2 else 4
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def draw_maps(visits: Mapping[str, NDArray[np.int32]], arms: Sequence[str], worlds: Sequence[str], path: Path) -> None:
    """Draw worlds from above: how often each cell was visited, all seeds together."""
    figure, axes = plt.subplots(
        len(worlds), len(arms), figsize=(1.25 * len(arms), 1.4 * len(worlds) + 0.3), squeeze=False, layout="constrained"
    )
    most = max(int(each.max()) for each in visits.values())
    for place, axis in np.ndenumerate(axes):
        world, arm = worlds[place[0]], arms[place[1]]
        counts = visits.get(f"{arm}/{world}", np.zeros((100, 100), dtype=np.int32))
        shown = np.where(counts > 0, counts, np.nan)
        image = axis.imshow(shown, norm=LogNorm(1, most), cmap="magma_r", interpolation="none")
        axis.set(xticks=[], yticks=[])
        if place[0] == 0:
            axis.set_title(arm.replace("_", "\n", 1), fontsize=8)
        if place[1] == 0:
            axis.set_ylabel(world, fontsize=9)
    figure.colorbar(image, ax=axes, shrink=0.7, label="visits")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_noise(cells: Cells, arms: Sequence[str], worlds: Sequence[str], path: Path) -> None:
    """Draw the mean reward by the share of noise in view, in units of the arm's own mean magnitude there."""
    noisy = [world for world in worlds if world not in ("clean", "cycle")]
    paid = [arm for arm in arms if "random" not in (arm, arm.removeprefix("sticky_"))]
    figure, axes = panels(len(noisy), 3.4, 3.2, columns=3)
    for axis, world in zip(axes, noisy, strict=True):
        for index, arm in enumerate(paid):
            tenths = [middle(cells, arm, world, f"reward_noise_tenth_{tenth}") for tenth in range(10)]
            known = [(10 * tenth + 5, value) for tenth, value in enumerate(tenths) if value is not None]
            if known:
                at, values = np.array(known).T
                values = values / max(np.abs(values).mean(), 1e-9)
                axis.plot(at, values, color=COLOURS[arm], linestyle=DASHES[index % 4], marker=".", label=arm)
        axis.axhline(0, color="gray", linewidth=0.6)
        axis.set(title=world, xlabel="share of noise in view, percent", ylabel="reward / mean of its magnitude")
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    cells = read_runs(folder / "runs.csv")
    arms = [arm for arm in ARMS if any(arm == each for each, _ in cells)]
    worlds = [world for world in WORLDS if any(world == each for _, each in cells)]
    (folder / "table.md").write_text(table(cells, arms, worlds).to_markdown())
    (folder / "overview.md").write_text(overview(cells, arms, worlds).to_markdown())
    (folder / "late.md").write_text(late_table(cells, arms, worlds).to_markdown())
    draw_results(cells, arms, worlds, folder / "results.png")
    draw_curves(folder / "curves.csv", arms, worlds, folder / "curves.png")
    draw_noise(cells, arms, worlds, folder / "reward_by_noise.png")
    with np.load(folder / "visits.npz") as visits:
        draw_maps(dict(visits), arms, worlds, folder / "visits.png")


if __name__ == "__main__":
    main()
