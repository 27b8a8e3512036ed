"""Which runs are seeds of the same thing, and which things are compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pamiq_exp.analysis.runs import ReportError, Run
from pamiq_exp.analysis.statistics import COVERAGE
from pamiq_exp.files import parse_yaml
from pamiq_exp.run_folder.reader import Scalar, is_scalar, natural

TASK_KEYS = ("world", "environment", "environment.id")
"""What is taken for a task rather than an arm, when runs differ in it."""

_NOT_COMPARED = ("seed", "tracking", "paths", "hydra", "metrics", "launcher.threads", "launcher.device")
_MOST_FACTORS = 4
_EXPONENT = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")


@dataclass(frozen=True)
class Comparison:
    """Runs sorted into arms and tasks.

    Attributes:
        runs: All that were given.
        arms: Names of what is compared.
        tasks: Names of what they are compared on: the strata of the statistics.
        cells: The runs that count, by arm and task, ordered by seed, each seed once.
        labels: Arm and task of every run, also of those that do not count.
        settings: For every run the settings that define arms and tasks.
        factors: Those of arms alone.
        left_out: Runs that do not count, and why.
        warnings: What a reader should know before believing the tables.
    """

    runs: tuple[Run, ...]
    arms: tuple[str, ...]
    tasks: tuple[str, ...]
    cells: Mapping[tuple[str, str], tuple[Run, ...]]
    labels: tuple[tuple[str, str], ...]
    settings: tuple[Mapping[str, Scalar], ...]
    factors: tuple[Mapping[str, Scalar], ...]
    left_out: tuple[tuple[Run, str], ...]
    warnings: tuple[str, ...]

    @property
    def counted(self) -> list[Run]:
        """All runs that count."""
        return [run for runs in self.cells.values() for run in runs]

    def of_arm(self, arm: str) -> list[Run]:
        """The runs of one arm that count."""
        return [run for task in self.tasks for run in self.cells.get((arm, task), ())]


def compare(runs: Sequence[Run], *, arm_keys: Sequence[str] = (), task_keys: Sequence[str] = ()) -> Comparison:
    """Sort runs into arms and tasks.

    Without keys, arms are defined by the overrides in which the runs differ, or, if these are all equal, by their
    configs; seeds, trackers and paths make no difference. A run counts when it has finished. Of several with the same
    arm, task and seed the one that started last counts.

    Args:
        runs: As `read_runs` returns them.
        arm_keys: Config keys or groups that tell arms apart, such as `reward`.
        task_keys: Those that tell tasks apart, such as `world`.

    Raises:
        ReportError: A key is known to no run.
    """
    typed = [_choices(run) for run in runs]
    for key in (*arm_keys, *task_keys):
        if not any(key in choices or key in run.settings for run, choices in zip(runs, typed, strict=True)):
            raise ReportError(f"no run has a setting '{key}': give a config key or a group from its overrides.yaml")
    differing = _differing_overrides(runs, typed) or differing_settings(runs)[:_MOST_FACTORS]
    tasks = list(task_keys) or [key for key in TASK_KEYS if key in differing and key not in arm_keys]
    arms = list(arm_keys) or [key for key in differing if key not in tasks]
    values = [
        {key: _value(run, choices, key) for key in (*arms, *tasks)} for run, choices in zip(runs, typed, strict=True)
    ]
    labels = tuple(
        (_label(each, arms, run.experiment_name), _label(each, tasks, ""))
        for each, run in zip(values, runs, strict=True)
    )
    cells, left_out = _cells(runs, labels)
    return Comparison(
        runs=tuple(runs),
        arms=_ordered(arm for arm, _ in labels),
        tasks=_ordered(task for _, task in labels),
        cells=cells,
        labels=labels,
        settings=tuple(values),
        factors=tuple({key: each[key] for key in arms} for each in values),
        left_out=tuple(left_out),
        warnings=tuple(_warnings(cells)),
    )


def differing_settings(runs: Sequence[Run]) -> list[str]:
    """Return the config keys in which runs differ, other than seeds, trackers and paths."""
    return _varying([{key: value for key, value in run.settings.items() if is_compared(key)} for run in runs])


def is_compared(key: str) -> bool:
    """Whether a config key can make a difference between arms."""
    if key.rpartition(".")[2] == "seed" or key.startswith("spaces"):
        return False
    return not any(key == name or key.startswith(f"{name}.") for name in _NOT_COMPARED)


def _choices(run: Run) -> dict[str, Scalar]:
    choices: dict[str, Scalar] = {}
    for word in run.overrides:
        key, equals, value = word.lstrip("+").partition("=")
        if equals and not key.startswith("~"):
            choices[key.partition("@")[0]] = _read(value)
    return choices


def _read(text: str) -> Scalar:
    """Read a value as a config would, so that `1e-3` and `0.001` are the same."""
    try:
        return float(text) if _EXPONENT.fullmatch(text) else _scalar(parse_yaml(text), text)
    except ValueError:
        return text


def _scalar(value: object, text: str) -> Scalar:
    return value if is_scalar(value) else text


def _differing_overrides(runs: Sequence[Run], typed: Sequence[Mapping[str, Scalar]]) -> list[str]:
    keys = dict.fromkeys(key for choices in typed for key in choices if is_compared(key))
    table = [
        {key: _value(run, choices, key) for key in keys} | {"experiment": run.experiment_name}
        for run, choices in zip(runs, typed, strict=True)
    ]
    return _varying(table)


def _varying(table: Sequence[Mapping[str, Scalar]]) -> list[str]:
    keys = dict.fromkeys(key for row in table for key in row)
    return [key for key in keys if len({repr(row.get(key)) for row in table}) > 1]


def _value(run: Run, choices: Mapping[str, Scalar], key: str) -> Scalar:
    if key == "experiment":
        return run.experiment_name
    return run.settings[key] if key in run.settings else choices.get(key)


def _label(values: Mapping[str, Scalar], keys: Sequence[str], otherwise: str) -> str:
    """Name an arm by its settings: `rnd` if there is one, `reward=rnd, num_envs=4` if there are more.

    Of a dotted key the last word will do where it is the only one. What a run left as it was is not said.
    """
    if not keys:
        return otherwise
    if len(keys) == 1:
        value = values[keys[0]]
        return show(value) if isinstance(value, str) else f"{keys[0]}={show(value)}"
    ends = [key.rpartition(".")[2] for key in keys]
    names = [end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)]
    named = [f"{name}={show(values[key])}" for key, name in zip(keys, names, strict=True) if values[key] is not None]
    return ", ".join(named) or "(default)"


def show(value: Scalar) -> str:
    """Return a setting as it is typed."""
    if isinstance(value, bool):
        return str(value).lower()
    return "(default)" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _ordered(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names), key=natural))


def _cells(
    runs: Sequence[Run], labels: Sequence[tuple[str, str]]
) -> tuple[dict[tuple[str, str], tuple[Run, ...]], list[tuple[Run, str]]]:
    newest: dict[tuple[str, str, object], Run] = {}
    left_out: list[tuple[Run, str]] = []
    for run, label in zip(runs, labels, strict=True):
        if run.state != "finished":
            left_out.append((run, run.state))
            continue
        key = (*label, run.folder if run.seed is None else run.seed)
        before = newest.get(key)
        if before is not None:
            older, run = sorted((before, run), key=lambda each: str(each.manifest.get("started")))
            changed = differing_settings([older, run])
            note = f" (but another {', '.join(changed[:3])})" if changed else ""
            left_out.append((older, f"superseded by {run.folder}, which has the same seed{note}"))
        newest[key] = run
    cells: dict[tuple[str, str], list[Run]] = {}
    for (arm, task, _), run in newest.items():
        cells.setdefault((arm, task), []).append(run)
    by_seed: Callable[[Run], tuple[bool, int]] = lambda run: (run.seed is None, run.seed or 0)  # noqa: E731
    return {cell: tuple(sorted(members, key=by_seed)) for cell, members in cells.items()}, left_out


def _warnings(cells: Mapping[tuple[str, str], Sequence[Run]]) -> list[str]:
    warnings = []
    for (arm, task), runs in cells.items():
        keys = differing_settings(runs)
        if keys:
            place = f"{arm} on {task}" if task else arm
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            warnings.append(f"the runs of {place} differ in more than their seeds: {', '.join(keys[:5])}{more}")
    counts = {len(runs) for runs in cells.values()}
    if len(counts) > 1:
        warnings.append(f"the arms have different numbers of seeds, from {min(counts)} to {max(counts)}")
    if counts and max(counts) == 1:
        warnings.append("there is one seed of each arm: no interval can be computed, and differences may be chance")
    elif 1 in counts:
        warnings.append("some arms have one seed: no interval can be computed for them")
    if few := [f"{100 * COVERAGE[count]:.0f} % with {count}" for count in sorted(counts & COVERAGE.keys())]:
        warnings.append(f"95 % bootstrap intervals of few seeds hold the true value too rarely: in {', '.join(few)}")
    budgets = {run.summary.get("steps") for runs in cells.values() for run in runs} - {None}
    if len(budgets) > 1:
        numbers = sorted(float(budget) for budget in budgets if isinstance(budget, int | float))
        warnings.append(f"the runs took different numbers of steps, from {numbers[0]:g} to {numbers[-1]:g}")
    commits = {str(commit)[:10] for runs in cells.values() for run in runs if (commit := run.code.get("commit"))}
    if len(commits) > 1:
        warnings.append(f"the runs were made by {len(commits)} versions of the code: {', '.join(sorted(commits))}")
    return warnings
