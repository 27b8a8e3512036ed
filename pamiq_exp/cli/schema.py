"""`python -m pamiq_exp schema -o DIR`: JSON schemas of all config files, for completion and checks in an editor."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pamiq_exp.cli._arguments import command_parser
from pamiq_exp.cli._catalogue import MODELINE, config_folders, groups
from pamiq_exp.files import read_text, write_atomically
from pamiq_exp.jobs.paths import typed_path


def main(words: Sequence[str]) -> int:
    """Write the schemas. Returns 0, or 2 for a wrong request."""
    from pamiq_exp.cli._config_schemas import config_schemas
    from pamiq_exp.config import ConfigError
    from pamiq_exp.jobs.request import find_trusted_packages, print_error, take_allowed

    try:
        allow, rest = take_allowed(words)
        arguments = _parser().parse_args(rest)
        if arguments.modelines and arguments.config_dir is None:
            print("--modelines writes into your own configs: add --config-dir FOLDER", file=sys.stderr)
            return 2
        find_trusted_packages(allow)
        schemas = config_schemas(config_folders(arguments.config_dir), allow)
        folder: Path = arguments.output
        for name, schema in schemas.items():
            path = folder / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, json.dumps(schema, indent=1) + "\n")
        print(f"wrote {len(schemas)} schemas to {folder}")
        if arguments.modelines:
            print(f"{write_modelines(Path(arguments.config_dir), folder)} config files now name their schema")
    except (ConfigError, OSError) as error:
        print_error(error, heading="no schemas were written")
        return 2
    return 0


def write_modelines(configs: Path, schemas: Path) -> int:
    """Add the line that names its schema to each config file of a folder that has none. Returns the number of files."""
    from pamiq_exp.cli._config_schemas import TOGETHER

    named = {entry.path: group for group, options in groups([configs]).items() for entry in options}
    files = {path: text for path in named if MODELINE not in (text := read_text(path))}
    for path, text in files.items():
        ending = TOGETHER if path.stem == TOGETHER else ""
        schema = schemas.absolute() / f"{named[path]}{ending}.json"
        relative = Path(os.path.relpath(schema, path.parent.absolute())).as_posix()
        first, _, rest = text.partition("\n")
        line = f"# {MODELINE} $schema={relative}"
        lines = [first, line, rest] if first.startswith("# @package") else [line, text]
        write_atomically(path, "\n".join(lines))
    return len(files)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("schema", "Write JSON schemas of config files: one a group, and config.json.")
    parser.add_argument("-o", "--output", type=typed_path, required=True, metavar="DIR", help="the folder to write to")
    parser.add_argument("--config-dir", "-cd", metavar="FOLDER", help="add your own configs")
    parser.add_argument("--modelines", action="store_true", help="have each file of --config-dir name its schema")
    parser.add_argument("--allow", metavar="PACKAGE", help="let configs name classes of your own package")
    return parser
