"""The one way to files: reading what may be a stranger's, and writing what is whole or absent.

A folder from someone else may hold links, devices, pipes, huge files, and trees that grow without end when they are
read. Everything that reads such a folder reads through this module: regular files only, none that a link leads to
outside the folder, at most so many bytes, and trees of at most so many values and levels. Text is always UTF-8.
Everything that is written is written without following links.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BufferedReader
from pathlib import Path
from types import ModuleType
from typing import Any

from pamiq_exp.yaml_nodes import MOST_DEPTH, MOST_DIGITS, MOST_VALUES, read_yaml_nodes, require, yaml_loader

try:
    _json: ModuleType = import_module("orjson")
except ImportError:  # some Pythons have no wheel of it
    _json = json

MOST_BYTES = 1_000_000
"""Of a file that holds settings. Files of data have limits of their own."""
_LIKE_A_NUMBER = re.compile(r"[-+]?[\d_.]+([eE][-+]?\d+)?|0[xob][\da-fA-F_]+")
_HALF_A_CHARACTER = re.compile(
    r"(?i)\\ud[89ab][\da-f]{2}(?!\\ud[c-f][\da-f]{2})|(?<!\\ud[89ab][\da-f]{2})\\ud[c-f][\da-f]{2}"
)
"""Escape codes in JSON that stand for no character, which no file and no terminal takes."""
_LARGEST = 1 << 1023
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class UnreadableFileError(OSError):
    """A file is not one that is read: no regular file, outside its folder, or too large."""


class BrokenFileError(UnreadableFileError):
    """A file does not hold what it should, such as JSON, or holds too much of it."""


@contextmanager
def open_file(path: Path, *, within: Path | None = None, most: int = MOST_BYTES) -> Iterator[BufferedReader]:
    """Open a regular file to read its bytes.

    Args:
        path: The file.
        within: The folder that it belongs to; by default the one that it lies in. Links must not lead out of it.
        most: The largest size in bytes.

    Raises:
        UnreadableFileError: It is a device, a pipe or a folder, lies outside `within`, or is too large.
        OSError: It is missing or may not be read.
    """
    folder = os.path.realpath(path.parent if within is None else within)
    try:
        real = os.path.realpath(path)
    except ValueError as error:  # a null byte, which no name of a file holds
        raise UnreadableFileError(f"{str(path)!r} is no name of a file: {error}") from error
    if os.path.commonpath([folder, real]) != folder:
        raise UnreadableFileError(f"{path} leads out of its folder, to {real}; put the file itself there")
    if not stat.S_ISREG(os.lstat(real).st_mode):  # before it is opened: opening a device may already do something
        raise UnreadableFileError(f"{path} is no regular file")
    with open(os.open(real, _READ), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFileError(f"{path} is no regular file")
        if status.st_size > most:
            raise UnreadableFileError(f"{path} is larger than {most} bytes")
        yield file


def read_bytes(path: Path, *, within: Path | None = None, most: int = MOST_BYTES) -> bytes:
    """Return what a file holds. See `open_file`."""
    with open_file(path, within=within, most=most) as file:
        data = file.read(most + 1)
    if len(data) > most:  # it has grown meanwhile
        raise UnreadableFileError(f"{path} is larger than {most} bytes")
    return data


def read_tail(path: Path, *, within: Path | None = None, most: int) -> bytes:
    """Return the last bytes of a file, which may be of any size. See `open_file`."""
    with open_file(path, within=within, most=1 << 62) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - most))
        return file.read(most)


def read_text(path: Path, *, within: Path | None = None, most: int = MOST_BYTES) -> str:
    """Return the text of a file in UTF-8. See `open_file`; text in another encoding raises BrokenFileError."""
    try:
        return read_bytes(path, within=within, most=most).decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise BrokenFileError(f"{path} is no text in UTF-8: {error}") from error


def read_json(path: Path, *, within: Path | None = None, most: int = MOST_BYTES) -> object:
    """Return the tree in a JSON file. See `open_file`; what is no JSON, or too much, raises BrokenFileError."""
    text = read_text(path, within=within, most=most)
    try:
        return parse_json(text)
    except ValueError as error:
        raise BrokenFileError(f"{path} cannot be read as JSON: {error}") from error


def read_yaml(path: Path, *, within: Path | None = None, most: int = MOST_BYTES) -> object:
    """Return the tree in a YAML file: plain data. See `open_file`; the rest raises BrokenFileError."""
    text = read_text(path, within=within, most=most)
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise BrokenFileError(f"{path} cannot be read as YAML: {error}") from error


def parse_json(text: str | bytes) -> object:
    """Return the tree that JSON text stands for. Raises ValueError for what is none, and beyond the limits."""
    if isinstance(text, bytes):
        text = text.decode()
    try:
        tree: object = json.loads(_HALF_A_CHARACTER.sub(r"\\ufffd", text), parse_int=_whole_number)
    except RecursionError:
        raise ValueError(f"it nests deeper than {MOST_DEPTH}") from None
    _check_size(tree)
    return tree


def parse_json_fast(text: bytes) -> Any:
    """Return the tree that JSON text of limited length stands for, without the other limits, by orjson where it is.

    Raises ValueError for what is no JSON.
    """
    return _json.loads(text)


def parse_yaml(text: str) -> object:
    """Return the plain data that YAML text stands for. Raises ValueError for what is none, and beyond the limits."""
    import yaml

    try:
        read_yaml_nodes(text)  # first: the C library crashes on what nests too deep
        tree: object = yaml.load(text, Loader=yaml_loader())
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(_first_line(error)) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # such as `!!int ''`
        raise ValueError(f"a value is not what its tag says ({type(error).__name__})") from None
    _check_size(tree)
    return tree


def dump_yaml(value: object, *, width: int, flow: bool | None = False) -> str:
    """Return plain data as YAML that every reader takes for the same data.

    Args:
        value: The data.
        width: Where lines are broken, in characters.
        flow: Whether lists and mappings stand in one line each; None for those that hold no others.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as they are, and quotes those that some readers take for numbers."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else "'" if _LIKE_A_NUMBER.fullmatch(value) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return str(
        yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=width, default_flow_style=flow)
    )


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace the file at `path` such that a crash at any moment leaves the old content or the new.

    A link at `path` is replaced too: what it led to stays as it is.

    Raises:
        OSError: The folder is missing, full or read-only. Nothing half-written stays behind.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with open(os.open(temporary, _WRITE | os.O_EXCL, 0o666), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def open_own(path: Path, flags: int = os.O_WRONLY | os.O_APPEND) -> int:
    """Open a file of ours to write more into it, made if it is missing, and return its descriptor.

    Raises:
        OSError: It is a link, has a second name elsewhere (a hard link), or is no regular file.
    """
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    raise UnreadableFileError(f"{path} is no regular file of its own; remove it")


def make_own_folder(path: Path) -> None:
    """Make a folder unless it is there. Raises UnreadableFileError if a link is there, and OSError as `mkdir` does."""
    path.mkdir(exist_ok=True)
    if path.is_symlink():
        raise UnreadableFileError(f"{path} is a link; remove it, or name the folder that it leads to")


def find_links(folder: Path) -> list[Path]:
    """Return all that is neither a file nor a folder below `folder`: links, pipes, devices; in order.

    Writing into a folder that someone else may have prepared would write through them. Sockets are left out: a
    process that was killed leaves one behind.
    """
    found: list[Path] = []
    for name, folders, files in os.walk(folder):
        for each in (*folders, *files):
            path = Path(name, each)
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:  # removed meanwhile
                continue
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISSOCK(mode)):
                found.append(path)
    return sorted(found)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut. Does nothing where folders cannot be opened (Windows)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _whole_number(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number has more than {MOST_DIGITS} digits")
    return int(text)


def _check_size(tree: object) -> None:
    """Raise ValueError for a tree beyond the limits, or with a number that no float can hold."""
    pending = [(tree, 1)]
    count = 0
    while pending:
        value, depth = pending.pop()
        count += 1
        require(count <= MOST_VALUES, f"has more than {MOST_VALUES} values")
        require(depth <= MOST_DEPTH, f"nests deeper than {MOST_DEPTH}")
        if isinstance(value, dict):
            pending += ((item, depth + 1) for pair in value.items() for item in pair)
        elif isinstance(value, (list, set, tuple)):
            pending += ((item, depth + 1) for item in value)
        elif isinstance(value, int):
            require(-_LARGEST <= value <= _LARGEST, "holds a number larger than any that can be computed with")


def _first_line(error: BaseException) -> str:
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    mark = getattr(error, "problem_mark", None)
    return str(problem) if mark is None else f"{problem} (line {mark.line + 1})"
