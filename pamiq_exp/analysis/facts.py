"""Tables of what was run: runs, failures, configs, versions, machines, commands."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence

from pamiq_exp.analysis.comparison import Comparison, differing_settings, is_compared, show
from pamiq_exp.analysis.runs import Run, total
from pamiq_exp.analysis.tables import Cell, Table
from pamiq_exp.baselines import coverage_sentence
from pamiq_exp.files import read_text

_PACKAGES = ("pamiq-exp", "pamiq_exp", "torch", "lightning", "numpy", "numba", "gymnasium", "hydra-core", "wandb")
_MOST_SETTINGS = 60


def runs_table(runs: Sequence[Run], comparison: Comparison) -> Table:
    """One row a run."""
    columns = ["run", "arm", "task", "seed", "state", "steps", "seconds", "steps/s", "W&B"]
    rows: list[list[Cell]] = [
        [str(run.folder), arm, task, run.seed, run.state, run.value("steps"), run.value("wall_seconds"),
         run.value("steps_per_second"), wandb_of(run)]
        for run, (arm, task) in zip(runs, comparison.labels, strict=True)
    ]  # fmt: skip
    used = [index for index in range(len(columns)) if any(row[index] not in (None, "") for row in rows)]
    shown = [[row[index] for index in used] for row in rows]
    return Table("runs", "All runs", [columns[index] for index in used], shown, _shared(runs))


def coverage_table(runs: Sequence[Run], comparison: Comparison) -> Table | None:
    """What each run and random walks of the same length visited, in words; None where no run measured it."""
    rows: list[list[Cell]] = [
        [arm, task, run.seed, sentence]
        for run, (arm, task) in zip(runs, comparison.labels, strict=True)
        if (sentence := coverage_sentence(run.summary)) is not None
    ]
    return (
        Table("coverage", "Coverage beside random walks", ["arm", "task", "seed", "coverage"], rows) if rows else None
    )


def failures_table(runs: Sequence[Run], comparison: Comparison) -> Table | None:
    """Runs that do not count or could not be read whole, and why; None if there are none."""
    rows: list[list[Cell]] = []
    for run, why in comparison.left_out:
        rows.append([str(run.folder), why, run.reason if why == run.state else ""])
    rows += [[str(run.folder), "not read whole", problem] for run in runs for problem in run.errors]
    return (
        Table(
            "failures",
            "Runs that are not in the statistics, and files that could not be read",
            ["run", "why", "reason"],
            rows,
            _shared(runs),
        )
        if rows
        else None
    )


def differences_table(runs: Sequence[Run], comparison: Comparison) -> Table | None:
    """Config keys in which arms or tasks differ, one column each; None if they do not."""
    groups: dict[str, list[Run]] = {}
    for run, label in zip(runs, comparison.labels, strict=True):
        groups.setdefault(" / ".join(part for part in label if part), []).append(run)
    keys = differing_settings([run for run in runs if run.settings])
    if not keys or len(groups) < 2:
        return None
    shown = keys[:_MOST_SETTINGS]
    cells = {name: [_common(members, key) for key in shown] for name, members in groups.items()}
    note = f", the first {len(shown)} of {len(keys)}" if len(keys) > len(shown) else ""
    title = f"Settings in which the runs differ{note}"
    if len(groups) > len(shown):
        return Table("config_differences", title, ["runs", *shown], [[name, *row] for name, row in cells.items()])
    rows: list[list[Cell]] = [[key, *(row[index] for row in cells.values())] for index, key in enumerate(shown)]
    return Table("config_differences", title, ["setting", *groups], rows)


def hyper_parameters_table(runs: Sequence[Run]) -> Table:
    """All settings of the runs, and where they differ the values there are."""
    keys = dict.fromkeys(
        key for run in runs for key in run.settings if is_compared(key) and not key.endswith("_target_")
    )
    seeds = sorted({run.seed for run in runs if run.seed is not None})
    rows: list[list[Cell]] = [["seed", _listed(map(str, seeds))]] if seeds else []
    rows += [[key, _common(runs, key)] for key in keys]
    return Table("hyper_parameters", "Hyper-parameters", ["setting", "value"], rows)


def budget_table(comparison: Comparison) -> Table:
    """What each arm cost."""
    rows: list[list[Cell]] = []
    for arm in comparison.arms:
        runs = comparison.of_arm(arm)
        if runs:
            hours = total(runs, "wall_seconds") / 3600
            rows.append([arm, len(runs), int(total(runs, "steps")), int(total(runs, "training_steps")), hours,
                         hours * max(1, max(map(_processes, runs)))])  # fmt: skip
    columns = ["arm", "runs", "environment steps", "training steps", "hours", "core-hours at most"]
    return Table("budget", "Budget of the runs that count", columns, rows)


def hardware_table(runs: Sequence[Run]) -> Table:
    """Kinds of machines and how many runs each had."""
    kinds = Counter(tuple(_machine(run).items()) for run in runs)
    names = list(dict.fromkeys(name for kind in kinds for name, _ in kind))
    rows: list[list[Cell]] = [[count, *(dict(kind).get(name, "") for name in names)] for kind, count in kinds.items()]
    return Table("hardware", "Machines", ["runs", *names], rows)


def versions_table(runs: Sequence[Run]) -> Table:
    """Code and packages: the main ones, and all in which the runs differ."""
    tables = [_versions(run) for run in runs]
    names = dict.fromkeys(name for table in tables for name in table)
    rows: list[list[Cell]] = []
    for name in names:
        values = Counter(table.get(name, "absent") for table in tables if table)
        if name in _PACKAGES or name.startswith("code") or name == "python" or len(values) > 1:
            rows.append([name, _listed(values)])
    return Table("versions", "Versions: the main packages, and all in which the runs differ", ["what", "version"], rows)


def commands(runs: Sequence[Run]) -> list[str]:
    """Return the command lines that made the runs, each once."""
    lines = dict.fromkeys(shlex.join(map(str, run.manifest.get("command") or [])) for run in runs)
    return [line for line in lines if line]


def wandb_of(run: Run) -> str:
    """Where the W&B run is: its address, or that it was kept offline."""
    folder = run.folder / "wandb"
    try:
        return read_text(folder / "run_url.txt", within=run.folder, most=1000).strip()
    except OSError:
        return "offline" if any(folder.glob("offline-run-*")) else ""


def _shared(runs: Sequence[Run]) -> str:
    """Return what the folders of all runs begin with, up to a slash; nothing for a single run."""
    if len(runs) < 2 or len({run.folder.is_absolute() for run in runs}) > 1:
        return ""
    above = os.path.commonpath([run.folder.parent for run in runs])
    return os.path.join(above, "") if above else ""


def _common(runs: Sequence[Run], key: str) -> str:
    return _listed(Counter(_setting(run, key) for run in runs if run.settings))


def _setting(run: Run, key: str) -> str:
    if key not in run.settings:
        return "-"
    return "null" if run.settings[key] is None else show(run.settings[key])


def _listed(values: Iterable[str]) -> str:
    different = list(dict.fromkeys(values))
    return ", ".join(different[:8]) + (f", ... ({len(different)} values)" if len(different) > 8 else "")


def _processes(run: Run) -> int:
    return sum(count for count in run.threads.values() if isinstance(count, int))


def _machine(run: Run) -> dict[str, str]:
    machine = run.machine
    if not machine:
        return {}
    memory = machine.get("memory_bytes")
    return {
        "processor": str(machine.get("cpu")),
        "cores usable": str(machine.get("cpus_usable", machine.get("cpu_count"))),
        "memory": f"{memory / 2**30:.0f} GiB" if isinstance(memory, int) else "",
        "GPUs": ", ".join(map(str, machine.get("gpus") or [])) or "none",
        "system": str(machine.get("system")),
        "threads": ", ".join(f"{role} {count}" for role, count in run.threads.items()),
    }


def _versions(run: Run) -> dict[str, str]:
    versions, code = run.versions, run.code
    if "pamiq_exp" in versions:
        versions.pop("pamiq-exp", None)
    commit = {"code commit": str(code.get("commit"))[:12] + (" and changes (code.diff)" if code.get("dirty") else "")}
    return (commit if code else {}) | versions
