"""What can be wrong with a config, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

FEW, MANY = 12, 40


@dataclass(frozen=True)
class Problem:
    """One mistake in a config.

    Attributes:
        key: Address in the config tree, such as `models.encoder.width`; empty for the config as a whole.
        message: What is wrong.
        remedy: What to do about it.
    """

    key: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.key}: {self.message}" if self.key else self.message
        return f"{text}\n    {self.remedy}" if self.remedy else text


class ConfigError(Exception):
    """A config that cannot be run, with every problem found in it."""

    def __init__(self, problems: Problem | Sequence[Problem]) -> None:
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def words_of(error: BaseException) -> str:
    """Return what an exception says; KeyError would put its sentence into quotes."""
    return str(error.args[0]) if isinstance(error, KeyError) and len(error.args) == 1 else str(error)


def nearest(name: str, known: Iterable[str], *, listing: str = "known") -> str:
    """Return a remedy for a wrong name: the names most like it, and all names there are, if they are few.

    Args:
        name: What was written.
        known: What would have been right.
        listing: What to call the list of all names.
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    parts = [f"did you mean {' or '.join(close)}?"] if close else []
    if names and (len(names) <= FEW or not close):
        shown = ", ".join(names[:MANY]) + (", ..." if len(names) > MANY else "")
        parts.append(f"{listing}: {shown}")
    return "; ".join(parts)
