"""The command line of all commands: Hydra's grammar and the flags of this package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import __version__ as hydra_version

import pamiq_exp
from pamiq_exp.config import AllowList, ConfigError, ErrorDetail, Source
from pamiq_exp.config.dry_run import SKIP_FLAG
from pamiq_exp.config.hydra_internals import get_args_parser
from pamiq_exp.config.trust import TRUST_FLAG, trust_folder, trusted_folders_file
from pamiq_exp.current_folder import find_packages_here
from pamiq_exp.formatting import printable
from pamiq_exp.jobs.paths import expand_home

ALLOW_FLAG = "--allow"
ONLINE_FLAG = "--online"
RESUME_FLAG = "--resume"


@dataclass(frozen=True)
class Request:
    """A command line in Hydra's grammar, taken apart.

    Attributes:
        arguments: What Hydra is to see: everything but our own flags.
        flags: Hydra's flags.
        allow: What configs may name.
        source: Where configs come from.
        online: Whether records of configs that did not come with the package may be sent (see `keep_offline`).
        dry_run: Whether the parts are tried on each other before anything runs.
    """

    arguments: list[str]
    flags: argparse.Namespace
    allow: AllowList
    source: Source
    online: bool = False
    dry_run: bool = True

    @property
    def overrides(self) -> list[str]:
        """The `key=value` words."""
        return list(self.flags.overrides)


def read_request(words: Sequence[str]) -> Request:
    """Take a command line apart. Raises ConfigError, or SystemExit for a flag that does not exist."""
    allow, rest = take_allowed(take_trusted(words))
    arguments = [expand_home(word) for word in rest if word not in (ONLINE_FLAG, SKIP_FLAG)]
    if "--version" in arguments:
        print(f"pamiq_exp {pamiq_exp.__version__} (Hydra {hydra_version})")
        raise SystemExit(0)
    parser = get_args_parser()
    parser.prog = "python -m pamiq_exp"
    flags = parser.parse_intermixed_args(arguments)
    arguments = [*(word for word in arguments if word not in flags.overrides), *flags.overrides]  # as Hydra wants them
    if flags.experimental_rerun is not None:
        message = "is not offered: it would read a pickle, which can run code"
        raise ConfigError(ErrorDetail("--experimental-rerun", message, "run the overrides in overrides.yaml again"))
    if flags.config_path is not None and not Path(flags.config_path).is_absolute():
        hint = "give an absolute path; to add a folder of your own to the shipped configs use --config-dir"
        raise ConfigError(ErrorDetail("--config-path", f"{flags.config_path} is no absolute path", hint))
    source = Source(flags.config_name or Source.name, flags.config_dir, flags.config_path)
    return Request(arguments, flags, allow, source, online=ONLINE_FLAG in rest, dry_run=SKIP_FLAG not in rest)


def take_trusted(words: Sequence[str]) -> list[str]:
    """Take `--trust FOLDER` out of a command line, and note that the folder is the user's own. Raises ConfigError."""
    folders, rest = _take_flag(words, TRUST_FLAG)
    for folder in folders:
        path = trust_folder(folder)
        print_message(f"{path} is now trusted: its files may name folders and machines ({trusted_folders_file()})")
    return rest


def take_allowed(words: Sequence[str]) -> tuple[AllowList, list[str]]:
    """Take `--allow PREFIX` out of a command line. Raises ConfigError for a prefix that is no name."""
    prefixes, rest = _take_flag(words, ALLOW_FLAG)
    try:
        if "" in prefixes:
            raise ValueError("--allow needs the name of a package")
        return AllowList.of_user(prefixes), rest
    except ValueError as error:
        raise ConfigError(ErrorDetail(ALLOW_FLAG, str(error), "for example --allow my_package")) from error


def _take_flag(words: Sequence[str], name: str) -> tuple[list[str], list[str]]:
    """Return the values of a flag, and the other words."""
    values: list[str] = []
    rest: list[str] = []
    remaining = iter(words)
    for word in remaining:
        flag, equals, value = word.partition("=")
        if flag == name:
            values.append(value if equals else next(remaining, ""))
        else:
            rest.append(word)
    return values, rest


def find_trusted_packages(allow: AllowList) -> None:
    """Let the user's own package be found in the current folder, after everything that is installed.

    Hydra has looked for its plugins by now, and a package of the same name never hides an installed one.
    """
    if allow.trusted:
        find_packages_here()


def print_error(error: Exception, *, heading: str = "this config cannot be run") -> None:
    """Print an error, such as those of a config."""
    print_message(f"{heading}:\n" + "\n".join(f"  {line}" for line in str(error).splitlines()))


def print_message(text: str) -> None:
    """Print to stderr without the secrets of the environment.

    Control characters are escaped.
    """
    from pamiq_exp.run_folder import mask_text

    print(printable(mask_text(text)), file=sys.stderr)
