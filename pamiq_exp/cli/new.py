"""`python -m pamiq_exp new NAME`: a project of your own, with a package, configs, a test and a README."""

from __future__ import annotations

import argparse
import keyword
import sys
from collections.abc import Sequence
from pathlib import Path

import pamiq_exp
from pamiq_exp.cli._arguments import command_parser
from pamiq_exp.files import read_text, write_atomically
from pamiq_exp.formatting import printable
from pamiq_exp.jobs.paths import typed_path

TEMPLATE_NAME = "my_parts"
"""Name of the package in the template, which the name of the new project replaces."""

RENAMED = {"gitignore": ".gitignore"}


def main(words: Sequence[str]) -> int:
    """Make the folder and print what to do next. Returns 0, or 2 if there is something wrong with the name."""
    folder: Path = _parser().parse_args(words).name
    if message := _error(folder):
        print(printable(message), file=sys.stderr)
        return 2
    name = folder.name
    for path in template_files():
        place = [RENAMED.get(part, part) for part in path.relative_to(template_folder()).parts]
        target = folder.joinpath(*(part.replace(TEMPLATE_NAME, name) for part in place))
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, read_text(path).replace(TEMPLATE_NAME, name))
    print(f"made {printable(str(folder))}. Run its experiment:\n")
    print(f"    cd {folder}\n    python -m pamiq_exp --config-dir conf --allow {name} experiment=ring")
    return 0


def template_folder() -> Path:
    """Return the folder of the template: inside the installed package, or beside it in a checkout."""
    package = Path(pamiq_exp.__file__).resolve().parent
    return next(
        folder / "project_template" for folder in (package, package.parent) if (folder / "project_template").is_dir()
    )


def template_files() -> list[Path]:
    """Return the files of the template."""
    found = template_folder().rglob("*")
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def _error(folder: Path) -> str:
    name = folder.name
    if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
        return f"{name!r} is no name of a Python package\n    letters, digits and _: python -m pamiq_exp new ring_study"
    if name in sys.stdlib_module_names or name in ("conf", "outputs", "pamiq_exp", "tests", "torch", "numpy"):
        return f"{name} is the name of another package\n    choose another: python -m pamiq_exp new my_{name}"
    if folder.exists():
        return f"{folder} exists already\n    choose another name, or remove it"
    return ""


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("new", "Make a project of your own: package, configs, test, README.")
    parser.add_argument("name", type=typed_path, metavar="NAME", help="a new folder, and the package in it")
    return parser
