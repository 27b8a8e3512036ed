"""Writer of the folder for a model hub or an appendix: card, exported file, models and license."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pamiq_exp.analysis import ReportError, Run, compare, runs_that_count, to_yaml, write_card
from pamiq_exp.files import read_text, write_atomically
from pamiq_exp.formatting import printable
from pamiq_exp.run_folder import file_names, list_checkpoints

GROUPS = ("models", "publication", "runtime")
"""Groups of a checkpoint that say what the agent acts with, and since when."""

_MIT = """\
MIT License

Copyright (c) {year} the authors of {name}

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def write_shared_folder(folder: Path, paper: Mapping[str, Any], runs: Sequence[Run], license_file: Path | None) -> None:
    """Write the folder.

    Args:
        folder: It is made; one that holds something is refused.
        paper: The exported experiment: see `export_runs`.
        runs: The same runs, with their records.
        license_file: The license; None for MIT.

    Raises:
        ReportError: The folder holds something, or a checkpoint is damaged.
        OSError: It cannot be written, or the license cannot be read.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise ReportError(f"{folder} is not empty: name a folder that is to be made")
    year = datetime.now(UTC).year
    text = read_text(license_file) if license_file else _MIT.format(year=year, name=paper["experiment_name"])
    folder.mkdir(parents=True, exist_ok=True)
    comparison = compare(runs)
    models = {}
    for number, run in enumerate(runs_that_count(comparison)):
        written = _write_models(run.folder, folder / file_names.MODELS / str(number))
        if written is None:
            print(printable(f"no models of run {number}: {run.folder} has no checkpoint"), file=sys.stderr)
        else:
            models[number] = written
    write_atomically(folder / file_names.EXPORTED, to_yaml(dict(paper), file_names.EXPORTED))
    write_atomically(folder / file_names.LICENSE, text)
    write_card(folder, paper, comparison, models, license_id="other" if license_file else "mit")


def _write_models(run: Path, folder: Path) -> str | None:
    """Copy the models of the newest checkpoint of a run, without what only training needs; return its name."""
    from pamiq_exp.runtime.checkpoints import CheckpointError, read_checkpoint, write_checkpoint

    found = list_checkpoints(run / file_names.CHECKPOINTS)
    if not found:
        return None
    try:
        state = read_checkpoint(found[-1], GROUPS)
        kept = {
            "models": state["models"],
            "publication": {"version": state["publication"]["version"]},
            "runtime": {"steps": state["runtime"]["steps"]},
        }
    except (CheckpointError, KeyError) as error:
        raise ReportError(str(error)) from error
    return write_checkpoint(folder, kept["runtime"]["steps"], kept, keep=1).name
