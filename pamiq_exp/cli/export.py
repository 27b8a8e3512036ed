"""`python -m pamiq_exp export RUN -o paper.yaml`: one file with all that it takes to do a run or a sweep again.

`export RUN --hub FOLDER` writes a folder for a model hub or an appendix: the file, a card, the models and a license.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pamiq_exp.analysis import (
    ReportError,
    Run,
    export_runs,
    find_runs,
    hyper_parameters_table,
    masked_keys,
    read_runs,
    to_yaml,
)
from pamiq_exp.cli._arguments import command_parser
from pamiq_exp.cli._exported_file import HUB
from pamiq_exp.jobs.paths import typed_path


def main(words: Sequence[str]) -> int:
    """Write the file, or a table of the hyper-parameters. Returns 0, or 2 if it cannot be made as asked."""
    parser = _parser()
    arguments = parser.parse_args(words)
    if arguments.hub is not None and (arguments.output or arguments.table):
        parser.error(f"{HUB} writes a folder with everything in it: give it alone")
    if arguments.license is not None and arguments.hub is None:
        parser.error(f"--license goes into the folder of {HUB}")
    if arguments.output is None and arguments.table is None and arguments.hub is None:
        parser.error(f"where to? -o paper.yaml, {HUB} FOLDER (or --latex, --markdown for a table of hyper-parameters)")
    try:
        found = find_runs(arguments.runs)
        if arguments.hub is not None:
            _write_hub(read_runs(found), arguments)
        else:
            _write(_content(read_runs(found, records=2), arguments), arguments.output)
    except (ReportError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _content(runs: Sequence[Run], arguments: argparse.Namespace) -> str:
    if arguments.table is not None:
        table = hyper_parameters_table(runs)
        return table.to_latex() if arguments.table == "latex" else table.to_markdown()
    return to_yaml(_exported(runs), arguments.output.name)


def _write_hub(runs: Sequence[Run], arguments: argparse.Namespace) -> None:
    from pamiq_exp.cli._shared_folder import write_shared_folder

    write_shared_folder(arguments.hub, _exported(runs), runs, arguments.license)
    print(arguments.hub)


def _exported(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the experiment as plain data, and say what of it is incomplete."""
    names = {run.experiment_name for run in runs}
    if len(names) > 1:
        raise ReportError(f"these are runs of {', '.join(sorted(names))}: export each experiment to a file of its own")
    paper = export_runs(runs)
    for line in paper["left_out"]:
        print(f"left out: {line}", file=sys.stderr)
    if unfinished := [run for run in paper["runs"] if run["state"] != "finished"]:
        print(f"{len(unfinished)} of {len(paper['runs'])} runs are not finished", file=sys.stderr)
    if masked := masked_keys(paper):
        print(f"secrets are masked; give them to `reproduce` as key=value: {', '.join(masked)}", file=sys.stderr)
    return paper


def _write(content: str, output: Path | None) -> None:
    if output is None:
        print(content, end="")
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(content, encoding="utf-8")
    print(output)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("export", "Write a run or a sweep to one file: config, versions, seeds, metrics.")
    parser.add_argument(
        "runs", nargs="+", type=typed_path, metavar="RUN", help="a run, or a sweep or any folder with runs"
    )
    parser.add_argument("-o", "--output", type=typed_path, metavar="FILE", help="the file, such as paper.yaml")
    parser.add_argument(
        HUB, type=typed_path, metavar="FOLDER", help="a folder to share instead: file, card, models and license"
    )
    parser.add_argument("--license", type=typed_path, metavar="FILE", help=f"the license in the folder of {HUB} (MIT)")
    tables = parser.add_mutually_exclusive_group()
    for kind in ("latex", "markdown"):
        tables.add_argument(
            f"--{kind}", dest="table", action="store_const", const=kind,
            help="write the table of hyper-parameters instead, to FILE or to the terminal",
        )  # fmt: skip
    return parser
