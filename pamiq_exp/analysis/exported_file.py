"""Export of an experiment into one file: to print, to attach, and to run again."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from pamiq_exp.analysis import statistics
from pamiq_exp.analysis.comparison import Comparison, compare
from pamiq_exp.analysis.differences import COUNTERS, depends_on_clock
from pamiq_exp.analysis.runs import ReportError, Run, total
from pamiq_exp.files import dump_yaml
from pamiq_exp.formatting import MASK
from pamiq_exp.run_folder import file_names

FORMAT = 1
NOT_SHARED = ("paths", "shared", "spaces", "tracking")
"""Keys at the top of a config that the user who runs it sets, or whose values stand elsewhere once resolved."""

NO_FIGURES = ("experiment_name", "seed", "state", "reason")
MISSING = "???"

_PACKAGES = (
    "pamiq_exp", "torch", "lightning", "numpy", "numba", "gymnasium", "hydra-core", "omegaconf", "safetensors",
    "ale-py", "minigrid", "miniworld", "vizdoom", "opencv-python-headless", "python-osc",
)  # fmt: skip
_HEAD = """\
# An experiment with pamiq_exp, whole. To run it again, in any folder:
#   python -m pamiq_exp reproduce {name}
# Values written as ??? were folders of the machine it ran on, and *** stands for secrets: give your own (key=value).
"""

Plain = dict[str, Any]


def export_runs(runs: Sequence[Run], *, resamples: int = statistics.RESAMPLES) -> Plain:
    """Return everything that it takes to do some runs again, and what came of them, as plain data.

    It holds nothing about a user, a machine's name or a place on its disks. Seeds that were derived are written as the
    expression that derives them, so that runs of one kind differ in `seed` alone.

    Args:
        runs: Runs of one experiment, as `read_runs` returns them.
        resamples: How many bootstrap samples an interval is estimated with.

    Raises:
        ReportError: A run has no config.
    """
    comparison = compare(runs)
    counted = runs_that_count(comparison)
    trees = [_shared_config(run) for run in counted]
    base = trees[0]
    several = len(set(comparison.labels)) > 1
    labels = {id(run): label if several else () for run, label in zip(runs, comparison.labels, strict=True)}
    return {
        "format": FORMAT,
        "experiment_name": base["experiment_name"],
        "seeds": sorted({run.seed for run in counted if run.seed is not None}),
        "num_envs": counted[0].settings.get("spaces.num_envs", counted[0].settings.get("environment.num_envs", 1)),
        "mode": counted[0].settings.get("launcher.mode"),
        "budget": _budget(counted),
        "metrics": _metrics(comparison, resamples) if comparison.counted else {},
        "versions": _versions(counted),
        "code": _code(counted[0]),
        "machine": _machine(counted[0]),
        "allowed": sorted({str(each) for run in counted for each in run.manifest.get("allowed") or ()}),
        "left_out": [f"{run.folder.name}: {why}" for run, why in comparison.left_out if comparison.counted],
        "content_sha256": content_hash(base, runs_of := [
            _run(run, labels[id(run)], tree, base) for run, tree in zip(counted, trees, strict=True)
        ]),
        "runs": runs_of,
        "config": base,
    }  # fmt: skip


def runs_that_count(comparison: Comparison) -> list[Run]:
    """Return the runs of an exported file in its order: the finished ones, each seed once, or all if none has."""
    return comparison.counted or list(comparison.runs)


def to_yaml(paper: Plain, name: str) -> str:
    """Return the text of the file `name`."""
    return _HEAD.format(name=name) + dump_yaml(paper, width=110, flow=None)


def content_hash(config: object, runs: object) -> str:
    """Return a hash of what is run, to tell whether the file was edited."""
    return hashlib.sha256(json.dumps([config, runs], sort_keys=True, default=str).encode()).hexdigest()


def final_metrics(summary: Mapping[str, object]) -> dict[str, float]:
    """Return the numbers of a summary that do not tell of time: equal runs in lockstep have equal ones."""
    return {
        name: value
        for name, value in summary.items()
        if name not in NO_FIGURES
        and not depends_on_clock(name)
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    }


def masked_keys(paper: Plain) -> list[str]:
    """Return the addresses of the values that hold the mask of a secret: reproducing the file needs them."""

    def below(node: object, key: str) -> Iterator[str]:
        if isinstance(node, dict):
            for name, value in node.items():
                yield from below(value, f"{key}.{name}".removeprefix("."))
        elif isinstance(node, list):
            for index, value in enumerate(node):
                yield from below(value, f"{key}[{index}]")
        elif isinstance(node, str) and MASK in node:
            yield key

    trees = [paper["config"], *(run["changes"].get("set", {}) for run in paper["runs"])]
    return sorted({key for tree in trees for key in below(tree, "")})


def apply_changes(config: Mapping[str, Any], changes: Mapping[str, Any]) -> Plain:
    """Return a copy of `config` with `changes`, as `export_runs` writes them for each run."""
    tree = deepcopy(dict(config))
    for path in changes.get("remove", []):
        holder: Any = tree
        for name in path[:-1]:
            holder = holder.get(name, {}) if isinstance(holder, dict) else {}
        if isinstance(holder, dict):
            holder.pop(path[-1], None)
    return _merged(tree, changes.get("set", {}))


def _shared_config(run: Run) -> Plain:
    tree = run.config
    if "experiment_name" not in tree:
        raise ReportError(f"{run.folder} has no {file_names.CONFIG} of a run that can be read")
    seeds = dict(_derived_seeds(tree, tree.get("seed")))
    return {
        str(key): _shareable(value, str(key), seeds, tree.get("seed"))
        for key, value in tree.items()
        if key not in NOT_SHARED
    }


def _derived_seeds(tree: object, root: object, key: str = "") -> Iterator[tuple[int, str]]:
    """Yield each seed that was derived for the part it stands in, and the part's address."""
    from pamiq_exp.seeding import derive_seed

    if isinstance(tree, dict):
        if key and isinstance(root, int) and tree.get("seed") == derive_seed(root, key):
            yield tree["seed"], key
        for name, value in tree.items():
            yield from _derived_seeds(value, root, f"{key}.{name}".removeprefix("."))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _derived_seeds(value, root, f"{key}[{index}]")


def _shareable(node: object, key: str, seeds: Mapping[int, str], root: object) -> Any:
    """Write derived seeds as what derives them, and leave out where things lie on this machine."""
    if isinstance(node, dict):
        shared = {}
        for name, value in node.items():
            home = seeds.get(value) if name == "seed" and isinstance(value, int) else None
            if home is not None:
                shared[name] = "${derived_seed:}" if home == key else f"${{{home}.seed}}"
            else:
                shared[name] = _shareable(value, f"{key}.{name}", seeds, root)
        return shared
    if isinstance(node, list):
        return [_shareable(value, f"{key}[{index}]", seeds, root) for index, value in enumerate(node)]
    return MISSING if isinstance(node, str) and _is_place(node) else node


def _is_place(text: str) -> bool:
    """Whether a text names a place on this machine's disks or a home folder."""
    path = text.removeprefix("file://")
    return os.path.isabs(path) or path.startswith("~") or ((home := _home()) is not None and home in text)


def _home() -> str | None:
    """The user's home; None where there is none that could tell of a user, as in many containers."""
    try:
        home = str(Path.home())
    except RuntimeError:
        return None
    return home if len(home) > 1 else None


def _run(run: Run, label: Sequence[str], tree: Plain, base: Plain) -> Plain:
    changes = _changes(base, tree)
    return {
        **{kind: name for kind, name in zip(("arm", "task"), label, strict=False) if name},
        "seed": run.seed,
        "state": run.state,
        "changes": changes,
        "metrics": final_metrics(run.summary),
    }


def _changes(base: Plain, tree: Plain) -> Plain:
    different, removed = _difference(base, tree, [])
    return {"set": different, "remove": removed} if removed else {"set": different} if different else {}


def _difference(base: Plain, tree: Plain, path: list[str]) -> tuple[Plain, list[list[str]]]:
    different: Plain = {}
    removed = [[*path, name] for name in base if name not in tree]
    for name, value in tree.items():
        if name in base and isinstance(value, dict) and isinstance(base[name], dict):
            below, gone = _difference(base[name], value, [*path, name])
            removed += gone
            if below:
                different[name] = below
        elif name not in base or base[name] != value:
            different[name] = value
    return different, removed


def _merged(tree: Plain, changes: Mapping[str, Any]) -> Plain:
    for name, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(tree.get(name), dict)
        tree[name] = _merged(tree[name], value) if both else deepcopy(value)
    return tree


def _budget(runs: Sequence[Run]) -> Plain:
    return {
        "runs": len(runs),
        "environment_steps": int(total(runs, "steps")),
        "training_steps": int(total(runs, "training_steps")),
        "wall_hours": round(total(runs, "wall_seconds") / 3600, 4),
    }


def _metrics(comparison: Comparison, resamples: int) -> Plain:
    """Each metric over seeds, by arm and task where there are several."""
    several = len(comparison.cells) > 1
    found: Plain = {}
    for (arm, task), runs in comparison.cells.items():
        cell = {name: _estimate(values, resamples) for name, values in _values(runs)}
        if several:
            found[" / ".join(part for part in (arm, task) if part)] = cell
        else:
            found = cell
    return found


def _values(runs: Sequence[Run]) -> Iterator[tuple[str, list[float]]]:
    names = dict.fromkeys(name for run in runs for name in final_metrics(run.summary) if name not in COUNTERS)
    for name in names:
        values = [value for run in runs if (value := run.value(name)) is not None and math.isfinite(value)]
        if values:
            yield name, values


def _estimate(values: Sequence[float], resamples: int) -> Plain | float:
    if len(values) == 1:
        return values[0]
    found = statistics.estimate([np.array(values)], resamples=resamples)
    return {"iqm": found.value, "low": found.low, "high": found.high, "runs": len(values)}


def _versions(runs: Sequence[Run]) -> Plain:
    """Python and the packages that results depend on; several versions where runs had several."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for name in ("python", *_PACKAGES):
            if name in run.versions:
                found.setdefault(name, {})[run.versions[name]] = None
    return {name: ", ".join(versions) for name, versions in found.items()}


def _code(run: Run) -> Plain:
    known = {name: run.code[name] for name in ("commit", "dirty", "diff_sha256") if name in run.code}
    return known | {"source_sha256": run.manifest.get("source_sha256")}


def _machine(run: Run) -> Plain:
    known = {name: run.machine[name] for name in ("cpu", "cpus_usable", "memory_bytes", "gpus") if name in run.machine}
    return known | {"threads": dict(run.threads)}
