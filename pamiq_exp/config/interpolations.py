"""What stands in `${...}`: whether it leads somewhere, found without resolving anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar_parser import parse
from omegaconf.grammar_visitor import GrammarVisitor

from pamiq_exp.config.keys import leaves, parent, select
from pamiq_exp.config.problems import Problem, nearest
from pamiq_exp.config.resolvers import READABLE_ENVIRONMENT, RESOLVERS

MOST_STEPS = 32
"""Interpolations that may lead to one another before there is a value."""

OF_OTHERS = ("now", "oc.create", "oc.decode", "oc.deprecated", "oc.dict.keys", "oc.dict.values", "oc.select")
"""Resolvers of OmegaConf and Hydra that do nothing but select, convert and tell the time."""

FILLED_IN_LATER = "spaces"
"""What is not there yet: it comes from the environment."""

_HYDRA = "hydra"
_INSTEAD = (
    "a run knows nothing of Hydra, so that it can be resumed and reproduced: write a key of the config itself, such as "
    "${seed}, or give the value as an override; a tracker is told its run folder"
)
_UNKNOWN = "\0"


@dataclass
class References:
    """What one value refers to.

    Attributes:
        keys: Addresses of other values, as far as they are known without resolving.
        calls: Resolvers with those of their arguments that are plain.
        broken: What the grammar says about it, if it cannot be read.
    """

    keys: list[str] = field(default_factory=list)
    calls: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)
    broken: str = ""


def references(value: object, key: str) -> References:
    """Return what a value of the config, standing at `key`, refers to."""
    if not isinstance(value, str) or "${" not in value:
        return References()
    read = _read(value)
    return References(
        [each for name in read.keys if (each := _absolute(name, key)) is not None], read.calls, read.broken
    )


def interpolation_problems(tree: Mapping[str, object]) -> list[Problem]:
    """Return the interpolations of a plain tree that lead nowhere, to themselves, or to an unknown resolver."""
    found = {key: read for key, value in leaves(tree) if (read := references(value, key)) and _says_something(read)}
    problems: list[Problem] = []
    for key, read in found.items():
        if read.broken:
            problems.append(Problem(key, f"cannot be read: {read.broken}", "write ${key} or ${resolver:argument}"))
        problems += [each for call in read.calls if (each := _call_problem(key, *call)) is not None]
        problems += [each for name in read.keys if (each := _key_problem(key, name, tree)) is not None]
    return problems if problems else _circles(found)


def _says_something(read: References) -> bool:
    return bool(read.keys or read.calls or read.broken)


@lru_cache(maxsize=4096)
def _read(text: str) -> References:
    result = References()

    def on_key(inter_key: str, memo: object) -> str:
        result.keys.append(inter_key)
        return _UNKNOWN

    def on_call(name: str, args: tuple[object, ...], args_str: tuple[str, ...]) -> str:
        result.calls.append((name, args))
        return _UNKNOWN

    try:
        GrammarVisitor(on_key, on_call, memo=None).visit(parse(text))  # type: ignore[arg-type]
    except (OmegaConfBaseException, RecursionError, ValueError) as error:
        result.broken = str(error).splitlines()[0] if str(error) else type(error).__name__
    return result


def _absolute(name: str, key: str) -> str | None:
    """The address that `${name}` at `key` means; None if other interpolations decide it."""
    if _UNKNOWN in name:
        return None
    if not name.startswith("."):
        return name
    above = key
    while name.startswith("."):
        above, name = parent(above), name[1:]
    return f"{above}.{name}" if above and name else name or above


def _call_problem(key: str, name: str, arguments: tuple[object, ...]) -> Problem | None:
    if name == _HYDRA:
        return Problem(key, "${hydra:...} is not there in a run", _INSTEAD)
    known = (*RESOLVERS, *OF_OTHERS)
    if name not in known:
        return Problem(key, f"there is no resolver '{name}' for configs", nearest(name, known, listing="there are"))
    variable = str(arguments[0]) if name == "oc.env" and arguments else READABLE_ENVIRONMENT[0]
    if variable not in READABLE_ENVIRONMENT and _UNKNOWN not in variable:
        message = f"a config may not read the environment variable {variable}"
        return Problem(key, message, f"it may read {', '.join(READABLE_ENVIRONMENT)}; others could hold a secret")
    return None


def _key_problem(key: str, name: str, tree: Mapping[str, object]) -> Problem | None:
    if name == _HYDRA or name.startswith(f"{_HYDRA}."):
        return Problem(key, f"${{{name}}} is not there in a run", _INSTEAD)
    try:
        found = _follow(name, tree)
    except KeyError as error:
        missing = str(error.args[0])
        holder = parent(missing)
        beside = select(tree, holder) if holder else tree
        names = [str(each) for each in beside] if isinstance(beside, Mapping) else []
        remedy = nearest(missing[len(holder) :].strip("."), names, listing=f"{holder} has" if holder else "there are")
        return Problem(key, f"${{{name}}} leads nowhere: there is no {missing}", remedy)
    return Problem(key, f"${{{name}}} needs a value", f"set {name}") if found == "???" else None


def _follow(name: str, tree: Mapping[str, object]) -> object:
    """Return what stands at `name`, None if only resolving would tell. Raises KeyError with the first key missing."""
    if name == FILLED_IN_LATER or name.startswith(f"{FILLED_IN_LATER}."):
        return None
    parts = list(_prefixes(name))
    for prefix in parts:
        try:
            found = select(tree, prefix)
        except KeyError:
            raise KeyError(prefix) from None
        if isinstance(found, str) and "${" in found:
            return None
    return found


def _prefixes(name: str) -> Iterator[str]:
    steps = [name]
    while above := parent(steps[-1]):
        steps.append(above)
    yield from reversed(steps)


def _circles(found: Mapping[str, References]) -> list[Problem]:
    """Return the values that cannot be resolved because the way leads back to them, or is endless."""
    names = {name for read in found.values() for name in read.keys}
    below = {name: [key for key in found if _touches(key, name)] for name in names}
    problems: list[Problem] = []
    done: set[str] = set()

    def visit(key: str, way: tuple[str, ...]) -> None:
        if key in way:
            circle = " -> ".join([*way[way.index(key) :], key])
            problems.append(Problem(key, f"is a circle: {circle}", "give one of them a value of its own"))
            done.update(way)
        elif len(way) >= MOST_STEPS:
            problems.append(Problem(way[0], f"leads through more than {MOST_STEPS} interpolations", "shorten the way"))
            done.update(way)
        elif key not in done:
            for name in found[key].keys:
                for following in below[name]:
                    visit(following, (*way, key))
            done.add(key)

    for key in found:
        visit(key, ())
    return problems


def _touches(key: str, name: str) -> bool:
    """Whether resolving `name` resolves what stands at `key`: it lies there, below it, or on the way to it."""
    return key == name or key.startswith((f"{name}.", f"{name}[")) or name.startswith((f"{key}.", f"{key}["))
