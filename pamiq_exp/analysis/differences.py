"""In what two runs differ: what was asked, what ran it, and what came of it."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping

from pamiq_exp.analysis.comparison import show
from pamiq_exp.analysis.runs import Run
from pamiq_exp.analysis.tables import Cell, Table
from pamiq_exp.files import read_bytes
from pamiq_exp.run_folder import file_names
from pamiq_exp.run_folder.reader import mapping

_MOST_DIFF_BYTES = 40_000_000

COUNTERS = ("reason", "steps", "turns", "training_steps", "model_version", "dropped", "skipped_actions", "failed_saves",
            "failed_writes")  # fmt: skip
"""Figures that every run has: no results."""

KINDS = ("overrides", "config", "code", "versions", "machine", "results")
"""The names of the tables of `run_differences`."""

_ABSENT = "-"
_CLOCK = re.compile(r"seconds|per_second|milliseconds|deadline|skipped_turns")
_HASH_LENGTH = 12


def run_differences(first: Run, second: Run) -> list[Table]:
    """Return one table for each kind of thing in which two runs differ; those without a difference are left out.

    The kinds are those of `KINDS`. Seeds that were derived from different root seeds are not listed one by one.
    """
    tables = [_overrides(first, second), _config(first, second)]
    tables += [
        _facts("code", "Code", _code(first), _code(second)),
        _facts("versions", "Versions of packages", first.versions, second.versions),
        _facts("machine", "Machine", _machine(first), _machine(second)),
    ]
    return [table for table in (*tables, _results(first, second)) if table.rows]


def depends_on_clock(metric: str) -> bool:
    """Whether a metric of a summary depends on time: equal runs differ in it."""
    return _CLOCK.search(metric) is not None


def _overrides(first: Run, second: Run) -> Table:
    rows: list[list[Cell]] = [
        [word, "typed" if word in first.overrides else _ABSENT, "typed" if word in second.overrides else _ABSENT]
        for word in dict.fromkeys((*first.overrides, *second.overrides))
        if (word in first.overrides) != (word in second.overrides)
    ]
    return Table("overrides", "Overrides", ["override", "first", "second"], rows)


def _config(first: Run, second: Run) -> Table:
    derived = _derived(first) | _derived(second) if first.seed != second.seed else set()
    old, new = ({key: value for key, value in run.settings.items() if key not in derived} for run in (first, second))
    rows: list[list[Cell]] = [
        [key, show(old[key]) if key in old else _ABSENT, show(new[key]) if key in new else _ABSENT]
        for key in dict.fromkeys((*old, *new))
        if key not in old or key not in new or old[key] != new[key]
    ]
    return Table("config", "Config", ["key", "first", "second"], rows)


def _derived(run: Run) -> set[str]:
    """The keys of seeds that follow from the root seed."""
    return {f"{key}.seed" for key in mapping(run.manifest.get("derived_seeds"))}


def _facts(name: str, title: str, old: Mapping[str, str], new: Mapping[str, str]) -> Table:
    rows: list[list[Cell]] = [
        [key, old.get(key, _ABSENT), new.get(key, _ABSENT)]
        for key in dict.fromkeys((*old, *new))
        if old.get(key) != new.get(key)
    ]
    return Table(name, title, ["what", "first", "second"], rows)


def _code(run: Run) -> dict[str, str]:
    code = run.code
    facts = {
        "commit": _short(code.get("commit")),
        "changes since the commit": _short(code.get("diff_sha256")) if code.get("dirty") else "none",
        "files without git": ", ".join(map(str, code.get("untracked") or [])),
    }
    source = {"source of pamiq_exp": _short(run.manifest.get("source_sha256"))}
    return {key: value for key, value in (source | (facts if code else {})).items() if value} | _changed_files(run)


def _changed_files(run: Run) -> dict[str, str]:
    """The files that `code.diff` changes, each with a mark that shows whether two runs changed it alike."""
    try:
        text = read_bytes(run.folder / file_names.CODE_DIFF, most=_MOST_DIFF_BYTES).decode(errors="replace")
    except OSError:
        return {}
    facts = {}
    for part in re.split(r"^(?=diff --git )", text, flags=re.MULTILINE):
        if (name := re.match(r"diff --git a/(.+?) b/", part)) is not None:
            lines = part.splitlines()
            added = sum(line.startswith("+") and not line.startswith("+++") for line in lines)
            removed = sum(line.startswith("-") and not line.startswith("---") for line in lines)
            facts[f"  {name[1]}"] = f"+{added} -{removed} ({_mark(part)})"
    return facts


def _machine(run: Run) -> dict[str, str]:
    facts = {key: value for key, value in run.machine.items() if key != "python"}
    facts |= {f"torch {key}": value for key, value in mapping(facts.pop("torch", None)).items()}
    facts |= {f"threads of {key}": value for key, value in run.threads.items()}
    facts |= mapping(run.manifest.get("environment"))
    return {str(key): _listed(value) if isinstance(value, list) else str(value) for key, value in facts.items()}


def _results(first: Run, second: Run) -> Table:
    rows: list[list[Cell]] = []
    for name in sorted(dict.fromkeys((*first.summary, *second.summary)), key=_rank):
        old, new = first.summary.get(name), second.summary.get(name)
        if old == new or name == "seed":
            continue
        gap = gap_cells(first.value(name), second.value(name))
        rows.append([name, _cell(old), _cell(new), *gap, "time" if depends_on_clock(name) else ""])
    states = [_weights(run) for run in (first, second)]
    if states[0] != states[1] and all(states):
        rows.append(["final parameters", _mark(states[0]), _mark(states[1]), None, "", ""])
    return Table("results", "Results", ["metric", "first", "second", "difference", "relative", ""], rows)


def gap_cells(old: float | None, new: float | None) -> tuple[Cell, Cell]:
    """Return the difference of two values and its share of the old one; nothing where one of them is missing."""
    if old is None or new is None:
        return None, ""
    gap = new - old
    return gap, f"{gap / abs(old):+.2%}" if old and math.isfinite(gap) else ""


def _rank(metric: str) -> int:
    """What the experiment measured comes first, then what every run counts, then what depends on the clock."""
    return 2 if depends_on_clock(metric) else int(metric in COUNTERS)


def _weights(run: Run) -> str:
    """The checksum of the models in the last checkpoint; empty without one."""
    return str(mapping(mapping(run.manifest.get("end_state")).get("sha256")).get("models.safetensors", ""))


def _cell(value: object) -> Cell:
    return _ABSENT if value is None else value if isinstance(value, float | int) else str(value)


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, values)) or "none"


def _short(value: object) -> str:
    return str(value)[:_HASH_LENGTH] if value else ""


def _mark(text: str) -> str:
    """A short name for a text, the same for equal texts."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]
