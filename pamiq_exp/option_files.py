"""Options of config groups as they lie in a config folder: a file each, or small ones together in one file.

    reward/rnd.yaml         the option reward=rnd
    world/_options.yaml     world=clean, world=food, ...: each a key at the margin, with its own keys below it

The first line of `_options.yaml` may be the header of all of them: `# @package environment`.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from pamiq_exp.files import read_text

TOGETHER = "_options.yaml"
_KEY = re.compile(r"([\w-]+):[ \t]*(.*)")
_PACKAGE = re.compile(r"#\s*@package\s")
_FROM = re.compile(r"# _options\.yaml:([1-9]\d{0,6})\n?\Z")
_INDENT = "  "


@dataclass(frozen=True)
class Option:
    """A config, or one of the options that stand together in a file.

    Attributes:
        header: The header of all of them; empty without one.
        body: What it says.
        line: Where it begins in the file that it shares, from 1 on; 0 for a file of its own.
    """

    header: str
    body: str
    line: int = 0

    @property
    def text(self) -> str:
        """What it would say in a file of its own."""
        return f"{self.header}\n{self.body}" if self.header else self.body

    @property
    def kept_text(self) -> str:
        """The text as a run keeps it: with the line that it had in the file, for `place_of_line`."""
        return f"{self.text}# {TOGETHER}:{self.line}\n" if self.line else self.text

    @property
    def in_place(self) -> str:
        """The text with empty lines in place of what stands above it, so that each line has its number."""
        return self.header + "\n" * (self.line - 1) + self.body


def without_line(text: str) -> str:
    """Return what a run has kept of a config, without the line that the config had in its file."""
    return _FROM.sub("", text)


def place_of_line(place: str, text: str, line: int) -> str:
    """Return where a line of a config stands in its folder, such as `reward/rnd.yaml:12` or `world/_options.yaml:3`.

    Args:
        place: The config's place, without `.yaml`.
        text: Its text, as a run has kept it.
        line: The line in this text, from 1 on.
    """
    match = _FROM.search(text)
    if match is None:
        return f"{place}.yaml:{line}"
    above = 2 if _PACKAGE.match(text) else 1
    return f"{posixpath.join(posixpath.dirname(place), TOGETHER)}:{int(match[1]) + line - above}"


@cache
def config_folder() -> Path:
    """Return the folder of the shipped configs: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise FileNotFoundError(f"the configs of pamiq_exp are missing beside {package}: install the package again")


def options_together(path: Path, folder: Path) -> Mapping[str, Option]:
    """Return the options in an `_options.yaml` of a config folder by name; nothing where there is none to be read."""
    try:
        stat = path.stat()
        return {} if leads_out(path, folder) else _split(path, stat.st_mtime_ns, stat.st_size)
    except OSError:
        return {}


@lru_cache(maxsize=200)
def _split(path: Path, changed: int, size: int) -> Mapping[str, Option]:
    """Read a file once in a process, as long as it stays the same."""
    lines = read_text(path, within=Path(path.anchor)).splitlines()
    header = lines[0] if lines and _PACKAGE.match(lines[0]) else ""
    keys = [(at, match) for at, line in enumerate(lines) if (match := _KEY.match(line)) is not None]
    ends = [at for at, _ in keys[1:]] + [len(lines)]
    found = {}
    for (at, match), end in zip(keys, ends, strict=True):
        body = ["" if line.startswith("#") else line.removeprefix(_INDENT) for line in lines[at + 1 : end]]
        found[match[1]] = Option(header, "\n".join([match[2], *body]).rstrip() + "\n", at + 1)
    return found


def find_file(folder: Path, place: str) -> Path | None:
    """Return the file that holds a config, such as `world/clean`: its own, or the one that it shares; None if none."""
    path = folder / f"{place}.yaml"
    if path.name != TOGETHER and os.path.isfile(path):  # False also for a name that is too long
        return path
    together = path.with_name(TOGETHER)
    return together if path.stem in options_together(together, folder) else None


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a config file is a link out of its config folder; what came with the package may consist of links."""
    return folder != config_folder() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def text_in(path: Path, place: str) -> str:
    """Return the text of a config in the file that holds it; nothing of one that cannot be read. A run reports that."""
    folder = path.parents[place.count("/")]
    if leads_out(path, folder):
        return ""
    if path.name == TOGETHER:
        option = options_together(path, folder).get(Path(place).name)
        return option.text if option is not None else ""
    try:
        return read_text(path, within=Path(path.anchor))
    except OSError:
        return ""


def places(folder: Path, *, skip: str = "") -> Iterator[tuple[str, Path]]:
    """Yield the configs below a folder, such as `world/clean`, each with the file that holds it.

    Args:
        folder: A config folder.
        skip: A file whose presence says that a folder holds results.
    """
    for name, below, files in os.walk(folder):
        below[:] = sorted(each for each in below if not each.startswith(".") and each != "outputs")
        if skip and skip in files:
            below.clear()
            continue
        here = Path(name)
        group = here.relative_to(folder)
        for file in sorted(files):
            if file.endswith(".yaml"):
                stems = options_together(here / file, folder) if file == TOGETHER else [file.removesuffix(".yaml")]
                yield from (((group / stem).as_posix(), here / file) for stem in stems)
