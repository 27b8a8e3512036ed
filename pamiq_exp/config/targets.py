"""From the text of a `_target_` to what it names, and whether its arguments fit."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any, TypeAlias

from pamiq_exp.config.checks.allow_list import AllowList, is_dotted_name
from pamiq_exp.config.errors import ConfigError, ErrorDetail, nearest
from pamiq_exp.extras import install_hint
from pamiq_exp.lazy import without_collections

Target: TypeAlias = Callable[..., Any]


def name_error(target: object, key: str, allow: AllowList) -> ErrorDetail | None:
    """Return what is wrong with a `_target_` as text; nothing is imported."""
    address = f"{key}._target_"
    if not is_dotted_name(target):
        return ErrorDetail(
            address,
            f"{target!r} is no name of a class",
            "write the full name out, such as pamiq_exp.agents.RandomAgent (no interpolation)",
        )
    name = str(target)
    if not allow.permits_name(name):
        return ErrorDetail(address, f"a config may not name {name}", allow.hint(name))
    return None


CHOOSES_ITS_FOLDER = ("_args_", "dir", "log_dir", "root_dir", "save_dir")
"""Arguments by which a logger of Lightning's takes the folder to write to: the tracker sets it."""


def node_errors(node: Mapping[str, object], key: str, allow: AllowList) -> Iterator[ErrorDetail]:
    """Yield what is unsafe in a node with a `_target_`, seen as text; nothing is imported."""
    detail = name_error(node["_target_"], key, allow)
    if detail is not None:
        yield detail
    elif allow.is_foreign_logger(str(node["_target_"])):
        hint = "leave it out: pamiq_exp.tracking.LightningLoggerTracker(folder=...) gives it a place in the run folder"
        for name in CHOOSES_ITS_FOLDER:
            if name in node:
                yield ErrorDetail(f"{key}.{name}", "a config may not say where a logger writes", hint)


def find_target(target: object, key: str, allow: AllowList) -> Target:
    """Import what `target` names, if that is allowed. Raises ConfigError otherwise."""
    if (detail := name_error(target, key, allow)) is not None:
        raise ConfigError(detail)
    name = str(target)
    with without_collections():
        found = _locate(name, f"{key}._target_")
    if not allow.permits_object(found):
        home = f"{getattr(found, '__module__', '?')}.{getattr(found, '__qualname__', '?')}"
        what = "no class or function" if not callable(found) else f"really {home}, which a config may not name"
        raise ConfigError(ErrorDetail(f"{key}._target_", f"{name} is {what}", allow.hint(name)))
    return found  # type: ignore[no-any-return]


def _locate(name: str, key: str) -> Any:
    first, *rest = name.split(".")
    found: Any = _import(first, name, key)
    for index, part in enumerate(rest, start=2):
        try:
            found = getattr(found, part)
        except AttributeError:
            if not isinstance(found, ModuleType):
                raise ConfigError(_missing(found, part, name, key)) from None
            parent = found
            found = _import(".".join([first, *rest][:index]), name, key, otherwise=_missing(parent, part, name, key))
        except ModuleNotFoundError as error:  # a name that is imported when it is first asked for
            raise ConfigError(_absent(error, name, key)) from error
    return found


def _import(module: str, name: str, key: str, otherwise: ErrorDetail | None = None) -> ModuleType:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            raise ConfigError(otherwise or ErrorDetail(key, f"there is no package {module}", _where(module))) from None
        raise ConfigError(_absent(error, name, key)) from error


def _absent(error: ModuleNotFoundError, name: str, key: str) -> ErrorDetail:
    absent = (error.name or "?").split(".", maxsplit=1)[0]
    return ErrorDetail(key, f"{name} needs the module {absent}, which is not installed", install_hint(absent))


def _where(module: str) -> str:
    return f"install it, or run from the folder that {module} lies in"


def _missing(parent: object, part: str, name: str, key: str) -> ErrorDetail:
    public = getattr(parent, "__all__", None) or [each for each in dir(parent) if not each.startswith("_")]
    return ErrorDetail(key, f"{name} does not exist", nearest(part, public, listing=f"in {_name_of(parent)}"))


def _name_of(found: object) -> str:
    return str(getattr(found, "__name__", found))


def parameters_of(target: Target) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a class or function; none for what is written in C and does not tell."""
    return _told_parameters(target) or {}


@lru_cache(maxsize=1000)
def _told_parameters(target: Target) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):
        return None


def argument_errors(
    target: Target, key: str, positional: int, keywords: Collection[str], *, partial: bool
) -> list[ErrorDetail]:
    """Compare the arguments that a config gives with those that `target` takes.

    Args:
        target: The class or function.
        key: Address of its node.
        positional: Number of arguments given by position.
        keywords: Names of the others.
        partial: Whether the rest is to be given later, so that nothing can be missing yet.
    """
    parameters = _told_parameters(target)
    if parameters is None:
        return []  # written in C: it will check for itself
    kinds = {kind: [n for n, p in parameters.items() if p.kind is kind] for kind in inspect._ParameterKind}
    by_position = kinds[inspect.Parameter.POSITIONAL_ONLY] + kinds[inspect.Parameter.POSITIONAL_OR_KEYWORD]
    by_keyword = kinds[inspect.Parameter.POSITIONAL_OR_KEYWORD] + kinds[inspect.Parameter.KEYWORD_ONLY]
    errors = []
    if positional > len(by_position) and not kinds[inspect.Parameter.VAR_POSITIONAL]:
        message = f"{_name_of(target)} takes {len(by_position)} arguments by position, not {positional}"
        errors.append(ErrorDetail(f"{key}._args_", message))
    if not kinds[inspect.Parameter.VAR_KEYWORD]:
        for name in sorted(set(keywords) - set(by_keyword)):
            message = f"{_name_of(target)} takes no argument '{name}'"
            errors.append(ErrorDetail(f"{key}.{name}", message, nearest(name, by_keyword, listing="it takes")))
    given = {*by_position[:positional], *keywords}
    required = [n for n in by_keyword if parameters[n].default is inspect.Parameter.empty and not partial]
    absent = [name for name in required if name not in given]
    return errors + [ErrorDetail(f"{key}.{n}", f"{_name_of(target)} needs a value for '{n}'") for n in absent]
