"""Errors in configs: where they are, what is wrong, a hint, and who wrote the value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from pamiq_exp.config.renamed import new_names

FEW, MANY = 12, 40
MOST_SHOWN = 100
"""Errors of one config that a message lists."""
LONGEST_SHOWN = 1000
"""Characters of each."""

COMMAND_LINE = "command line"

Kind = Literal["typed", "shipped", "trusted", "own", "foreign"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Who wrote a value, the most trusted first: this command line, this package, a folder that the user trusts, the
user's config folder, and everything else (sweep files, run folders, exported files)."""


@dataclass(frozen=True)
class Origin:
    """What set a key of a config.

    Attributes:
        file: Path of the YAML file, relative to the current folder if it lies below it; or "command line".
        line: Line of the file, from 1 on; 0 if there is none to tell.
        text: What was typed, if it was typed.
        kind: Who wrote it.
    """

    file: str
    line: int = 0
    text: str = ""
    kind: Kind = field(default="foreign", compare=False)

    @classmethod
    def of_file(cls, path: Path, line: int = 0, kind: Kind = "foreign") -> Origin:
        """Return the origin in a line of a file."""
        here = Path.cwd()
        return cls(str(path.relative_to(here) if path.is_relative_to(here) else path), line, kind=kind)

    @property
    def typed(self) -> bool:
        """Whether the user typed it."""
        return self.file == COMMAND_LINE

    @property
    def is_ours(self) -> bool:
        """Whether the value may name places and machines: the user's own word, or that of this package."""
        return self.kind in ("typed", "shipped", "trusted")

    def __str__(self) -> str:
        return f"{self.file}: {self.text}" if self.text else f"{self.file}:{self.line}" if self.line else self.file


UNTRUSTED = Origin("a file")


def least(one: Origin, other: Origin) -> Origin:
    """Return the origin that is trusted less; the first if both are trusted alike."""
    return other if KINDS.index(other.kind) > KINDS.index(one.kind) else one


def least_of(one: Origin | None, other: Origin | None) -> Origin | None:
    """Return the less trusted of two, as far as they are known."""
    return one if other is None else other if one is None else least(one, other)


@dataclass(frozen=True)
class ErrorDetail:
    """One error in a config.

    Attributes:
        key: Address in the config tree, such as `models.encoder.width`; empty for the config as a whole.
        message: What is wrong.
        hint: What to type instead.
        origin: What set the key.
    """

    key: str
    message: str
    hint: str = ""
    origin: Origin | None = None

    def __str__(self) -> str:
        key = self.key.replace("\n", "\\n")  # a line of its own would look like another message
        text = _shortened(f"{key}: {self.message}" if key else self.message)
        notes = [_shortened(self.hint)] if self.hint else []
        notes += [f"at {self.origin}"] if self.origin is not None else []
        return "\n    ".join([text, *notes])


class ConfigError(Exception):
    """A config that cannot be run, with all its errors."""

    def __init__(self, errors: ErrorDetail | Sequence[ErrorDetail]) -> None:
        self.errors = [errors] if isinstance(errors, ErrorDetail) else list(errors)
        more = len(self.errors) - MOST_SHOWN
        texts = [*map(str, self.errors[:MOST_SHOWN]), *([f"and {more:,} more errors"] if more > 0 else [])]
        super().__init__("\n".join(texts))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def words_of(error: BaseException) -> str:
    """Return what an exception says; KeyError would put its sentence into quotes."""
    return str(error.args[0]) if isinstance(error, KeyError) and len(error.args) == 1 else str(error)


def nearest(name: str, known: Iterable[str], *, listing: str = "known") -> str:
    """Return a hint for an unknown name: its new name, or the names most like it and, if they are few, all of them.

    Args:
        name: What was written.
        known: What would have been right.
        listing: What to call the list of all names.
    """
    names = sorted(known)
    if renamed := new_names(name, names):
        return f"'{name}' is now called {' or '.join(renamed)}"
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    parts = [f"did you mean {' or '.join(close)}?"] if close else []
    if names and (len(names) <= FEW or not close):
        shown = ", ".join(names[:MANY]) + (", ..." if len(names) > MANY else "")
        parts.append(f"{listing}: {shown}")
    return "; ".join(parts)
