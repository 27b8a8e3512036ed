"""`python -m pamiq_exp reproduce paper.yaml [--allow PREFIX]`: run what a file says, and compare the metrics."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console
from rich.text import Text

from pamiq_exp.analysis import Table, final_metrics, read_run
from pamiq_exp.analysis.differences import gap_cells
from pamiq_exp.analysis.tables import Cell
from pamiq_exp.cli._arguments import command_parser
from pamiq_exp.cli._exported_file import ExportedFile, ExportedRun, read_exported_file
from pamiq_exp.cli._tables import rich_table
from pamiq_exp.config import ConfigError, ErrorDetail, Validated
from pamiq_exp.config.tree_paths import target_nodes
from pamiq_exp.formatting import printable
from pamiq_exp.jobs.drift import changes_of_versions
from pamiq_exp.jobs.online import keep_offline
from pamiq_exp.jobs.paths import typed_path
from pamiq_exp.jobs.preflight import folder_error, refuse
from pamiq_exp.jobs.request import print_error, read_request
from pamiq_exp.jobs.sizes import size_lines

STOPPED_BY_SIGNAL = 128
APART = 1
"""Exit status if all runs finished, in a mode that repeats bit for bit, and some metric differs."""


def main(words: Sequence[str]) -> int:
    """Run what the file says. Returns 0, 1 if metrics should be the same and are not, or how the runs ended."""
    arguments, others = _parser().parse_known_args(words)
    try:
        request = read_request(others)
        paper = read_exported_file(arguments.file, request.overrides)
        chosen = _chosen(paper, arguments.runs)
        configs = [run.composed for run in chosen]
        validated = refuse(configs, request.allow, dry_run=request.dry_run)
        keep_offline(configs, request.online)
        folder = _folder(paper, chosen)
        if (detail := folder_error(OmegaConf.create({"folder": str(folder)}), "folder")) is not None:
            raise ConfigError(detail)
    except ConfigError as error:
        print_error(error, heading=f"{arguments.file} cannot be run")
        return 2
    _tell_plan(arguments.file, paper, chosen, request.overrides)
    sizes = {each.measured.memory_bytes: each for each in validated if each.measured is not None}
    if sizes:
        print("\n".join(f"  {line}" for line in size_lines(sizes[max(sizes)])), file=sys.stderr)
    if not (arguments.yes or _agreed()):
        print("nothing was run", file=sys.stderr)
        return 2
    folders = [folder / str(index) for index in range(len(chosen))] if len(chosen) > 1 else [folder]
    details = {"reproduces": {"file": arguments.file.name, "content_sha256": paper.fact("content_sha256")}}
    status = _run_all(validated, folders, request.overrides, details)
    return status or _compare(paper, chosen, folders, request.overrides)


def _agreed() -> bool:
    """Whether the user goes on. Without a terminal there is no question: the answer is yes."""
    if not sys.stdin.isatty():
        return True
    print("run it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _run_all(
    runs: Sequence[Validated],
    folders: Sequence[Path],
    overrides: Sequence[str],
    details: Mapping[str, Any],
) -> int:
    """Run one after the other, and return the worst exit status."""
    from pamiq_exp.jobs.job import Job, run_job

    worst = 0
    for run, folder in zip(runs, folders, strict=True):
        group = folder.parent.name if len(runs) > 1 else None
        job = Job(run, folder, overrides, group, details=details)
        worst = max(worst, run_job(job))
        if worst >= STOPPED_BY_SIGNAL:
            break
    return worst


def _compare(
    paper: ExportedFile, runs: Sequence[ExportedRun], folders: Sequence[Path], overrides: Sequence[str]
) -> int:
    console = Console()
    same = True
    for run, folder in zip(runs, folders, strict=True):
        found = final_metrics(read_run(folder, records=2).summary)
        pairs = {name: (value, found.get(name)) for name, value in run.metrics.items()}
        apart = {name: pair for name, pair in pairs.items() if not _equal(*pair)}
        same = same and not apart
        title = f"{run.title}, seed {run.seed}" if run.title else f"seed {run.seed}"
        if apart:
            rows: list[list[Cell]] = [
                [name, value, "absent" if here is None else here, *gap_cells(value, here)]
                for name, (value, here) in apart.items()
            ]
            columns = ["metric", "in the file", "here", "difference", "relative"]
            console.print(rich_table(Table("apart", f"{title}: metrics that differ here", columns, rows)))
        else:
            console.print(Text(f"{title}: all {len(run.metrics)} metrics are the same", style="green"))
    if same:
        return 0
    repeats = paper.fact("mode") in ("lockstep", "pipelined")
    for line in _reasons(paper, overrides, repeats):
        console.print(Text(line))
    return APART if repeats and not overrides else 0


def _equal(value: float, found: float | None) -> bool:
    return found == value or (found is not None and math.isnan(found) and math.isnan(value))


def _reasons(paper: ExportedFile, overrides: Sequence[str], repeats: bool) -> list[str]:
    """Return why metrics may differ."""
    if overrides:
        return [f"they may differ: {' '.join(overrides)} was set for this run"]
    if not repeats:
        return [f"they may differ: in the mode {paper.fact('mode')} every run depends on the wall clock"]
    before = {"versions": paper.fact("versions"), "machine": paper.fact("machine")}
    lines = changes_of_versions(before | {"source_sha256": paper.fact("code", "source_sha256")})
    lines += ["the file was edited after it was exported"] if paper.edited else []
    causes = "\n  ".join(lines) or "nothing that is known: another kind of processor can round differently"
    return ["this mode repeats bit for bit on the same kind of machine; what differs here:\n  " + causes]


def _tell_plan(file: Path, paper: ExportedFile, runs: Sequence[ExportedRun], overrides: Sequence[str]) -> None:
    """Print what is about to be run."""
    targets = sorted({str(node["_target_"]) for _, node in target_nodes(runs[0].composed.tree)})
    budget = paper.fact("budget") or {}
    lines = [
        f"reproducing {paper.experiment_name} from {file}: {len(runs)} of {len(paper.runs)} runs",
        f"  there all {budget.get('runs')} took {budget.get('environment_steps')} environment steps and "
        f"{budget.get('wall_hours')} hours",
        f"  names: {', '.join(targets)}",
        "  keeps everything in the folder of the run; sends nothing anywhere",
    ]
    lines += [f"  changed: {' '.join(overrides)}"] if overrides else []
    lines += ["  the file was edited after it was exported"] if paper.edited else []
    print("\n".join(printable(line) for line in lines), file=sys.stderr)


def _chosen(paper: ExportedFile, indices: Sequence[int] | None) -> list[ExportedRun]:
    if indices is None:
        return list(paper.runs)
    if wrong := [index for index in indices if not 0 <= index < len(paper.runs)]:
        raise ConfigError(ErrorDetail("--run", f"there is no run {wrong[0]}", f"there are 0 to {len(paper.runs) - 1}"))
    return [paper.runs[index] for index in indices]


def _folder(paper: ExportedFile, runs: Sequence[ExportedRun]) -> Path:
    """Where results go: of one run its folder, of several that of the sweep."""
    outputs = Path(str(runs[0].composed.resolved.tree["paths"]["outputs"]))
    above = outputs / "sweeps" if len(runs) > 1 else outputs
    return above / paper.experiment_name / datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f")


def _parser() -> argparse.ArgumentParser:
    usage = "FILE [--run N] [--yes] [key=value ...] [--allow PACKAGE] [--online] [--no-dry-run]"
    parser = command_parser("reproduce", "Run what an exported file says, and compare the metrics.", usage=usage)
    add = parser.add_argument
    add("file", type=typed_path, metavar="FILE",
        help="what `export RUN -o FILE` wrote, or a folder of `export RUN --hub FOLDER`")  # fmt: skip
    add("--run", dest="runs", type=int, action="append", metavar="N", help="only the run N (from 0)")
    add("--yes", action="store_true", help="do not ask before it is run")
    return parser
