"""Whether a plain value fits an annotation: the fields of a dataclass, or the arguments of a target."""

from __future__ import annotations

import ast
import builtins
import collections.abc
import dataclasses
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from pamiq_exp.config.errors import ErrorDetail, nearest
from pamiq_exp.config.tree_paths import join

WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}
LISTS = (list, tuple, set, frozenset)
LISTS_ABC = tuple(getattr(collections.abc, name) for name in ("Sequence", "Iterable", "Collection", "Container"))

Locate = Callable[[object], object] | None
"""From the text of a `_target_` to the object, None where it is not known; None where no value is a node."""


def hints_of(target: Callable[..., object]) -> dict[str, Any]:
    """Return the annotations of the arguments of a class or function, as far as they can be found.

    Names that a module imports for type checkers only stand for anything. A type variable stands for what a class
    gives its generic base.
    """
    function = target.__init__ if inspect.isclass(target) else target
    hints = _hints_of_function(inspect.unwrap(function))
    given = _given_types(target) if inspect.isclass(target) else {}
    return {name: given.get(hint, hint) if isinstance(hint, TypeVar) else hint for name, hint in hints.items()}


def _hints_of_function(function: Callable[..., object]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=False)
    except Exception:  # annotations of other packages may raise anything; they are then not checked
        try:
            return get_type_hints(function, localns=_Lenient(getattr(function, "__module__", "")))
        except Exception:
            return {}


def _given_types(target: type) -> dict[Any, Any]:
    """Return what the type variables of the generic bases of a class stand for."""
    bases = [base for each in inspect.getmro(target) for base in vars(each).get("__orig_bases__", ())]
    return {
        variable: given
        for base in bases
        for variable, given in zip(getattr(get_origin(base), "__parameters__", ()), get_args(base), strict=False)
    }


class _Unseen(type):
    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __getitem__(cls, arguments: object) -> type:
        return cls


class Unseen(metaclass=_Unseen):
    """A type, or a module of types, that only type checkers import: anything fits it."""


class _Lenient(dict[str, Any]):
    """The names of a module, those that it imports for type checkers alone, and for all others `Unseen`."""

    def __init__(self, module: str) -> None:
        super().__init__(vars(sys.modules[module]) if module in sys.modules else {})
        self._module = module

    def __missing__(self, name: str) -> Any:
        home, attribute = _imports_for_checkers(self._module).get(name, ("", ""))
        found = sys.modules.get(home, builtins)  # what no run has imported stays so
        return getattr(found, attribute or name, Unseen) if attribute or found is builtins else found


@cache
def _imports_for_checkers(module: str) -> dict[str, tuple[str, str]]:
    """Return what a module imports for type checkers alone: each name with its module and the name in that."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError, SyntaxError):
        return {}
    found: dict[str, tuple[str, str]] = {}
    for each in tree.body:
        if isinstance(each, ast.If) and ast.unparse(each.test).endswith("TYPE_CHECKING"):
            found |= _imported(each.body)
    for name, (home, attribute) in _imported(tree.body).items():
        if isinstance(vars(sys.modules[module]).get(name), str) and attribute and home in sys.modules:
            # An alias written as a text: what it names is known where it is written.
            found = {each: (home, each) for each in vars(sys.modules[home])} | _imports_for_checkers(home) | found
    return found


def _imported(statements: Iterable[ast.stmt]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for each in statements:
        if isinstance(each, ast.ImportFrom) and each.module and not each.level:
            found |= {alias.asname or alias.name: (each.module, alias.name) for alias in each.names}
        elif isinstance(each, ast.Import):
            found |= {alias.asname or alias.name: (alias.name, "") for alias in each.names}
    return found


def value_errors(hint: Any, value: object, key: str, locate: Locate = None) -> list[ErrorDetail]:
    """Return what is wrong with a plain value where `hint` is expected. What is not known yet always fits."""
    if is_open(hint) or (isinstance(value, str) and ("${" in value or value == "???")):
        return []
    if isinstance(value, Mapping) and "_target_" in value:
        return _node_errors(hint, value, key, locate)
    return list(_mismatches(hint, value, key, locate))


def describe(hint: Any) -> str:
    """Say in words what an annotation expects."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return " or ".join(describe(option) for option in get_args(hint))
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(hint))
    if origin in LISTS or origin in LISTS_ABC or hint in LISTS or hint in LISTS_ABC:
        return "a list"
    if origin in (dict, collections.abc.Mapping) or hint in (dict, collections.abc.Mapping) or has_fields(hint):
        return "keys and values"
    if origin is collections.abc.Callable:
        return "a node with _target_ and _partial_: true"
    if hint in WORDS:
        return WORDS[hint]
    name = str(getattr(origin or hint, "__name__", hint))
    return f"a node with the _target_ of a {name}" if inspect.isclass(origin or hint) else name


def _mismatches(hint: Any, value: object, key: str, locate: Locate) -> Iterator[ErrorDetail]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        yield from value_errors(arguments[0], value, key, locate)
    elif origin in (Union, UnionType):
        yield from _union_errors(hint, value, key, locate)
    elif is_list(hint, origin):
        yield from _list_errors(hint, value, key, locate)
    elif has_fields(hint):
        yield from field_errors(hint, value, key, locate)
    elif (origin or hint) in (dict, collections.abc.Mapping, collections.abc.MutableMapping):
        if not isinstance(value, Mapping):
            yield _expected(hint, value, key)
            return
        inner = arguments[1] if len(arguments) == 2 else Any
        for name, item in value.items():
            yield from value_errors(inner, item, join(key, str(name)), locate)
    elif not _fits_plainly(hint, origin, value):
        yield _expected(hint, value, key)


def _expected(hint: Any, value: object, key: str) -> ErrorDetail:
    shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."
    whole = isinstance(value, float) and value.is_integer() and (hint is int or int in get_args(hint))
    return ErrorDetail(key, f"expected {describe(hint)}, not {shown}", f"write {value:.0f}" if whole else "")


def is_open(hint: Any) -> bool:
    """Whether an annotation says nothing about plain values."""
    if hint in (Any, object, Unseen, inspect.Parameter.empty) or isinstance(hint, str):
        return True
    if get_origin(hint) in (Union, UnionType):
        return any(is_open(option) for option in get_args(hint))
    return not (hint is None or inspect.isclass(hint) or get_origin(hint) is not None)


def is_list(hint: Any, origin: Any) -> bool:
    """Whether an annotation stands for a list."""
    return origin in LISTS or origin in LISTS_ABC or hint in LISTS or hint in LISTS_ABC


def has_fields(hint: Any) -> bool:
    """Whether an annotation is a dataclass or a typed dictionary."""
    return is_typeddict(hint) or (inspect.isclass(hint) and dataclasses.is_dataclass(hint))


def _fits_plainly(hint: Any, origin: Any, value: object) -> bool:
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    if origin is collections.abc.Callable or origin is type or hint is collections.abc.Callable:
        return False
    if hint in (None, NoneType):
        return value is None
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    expected = origin or hint
    if not inspect.isclass(expected):
        return True
    if isinstance(value, str) and issubclass(expected, os.PathLike):
        return True
    try:
        return isinstance(value, expected)
    except TypeError:  # protocols that are no use at run time
        return True


def _union_errors(hint: Any, value: object, key: str, locate: Locate) -> Iterator[ErrorDetail]:
    options = get_args(hint)
    tried = [value_errors(option, value, key, locate) for option in options]
    if all(tried):
        nested = [each for each in tried if all(detail.key != key for detail in each)]
        yield from nested[0] if len(nested) == 1 else [_expected(hint, value, key)]


def _list_errors(hint: Any, value: object, key: str, locate: Locate) -> Iterator[ErrorDetail]:
    if not isinstance(value, (list, tuple)):
        yield _expected(hint, value, key)
        return
    arguments = get_args(hint)
    fixed = get_origin(hint) is tuple and arguments and arguments[-1] is not Ellipsis
    if fixed and len(arguments) != len(value):
        yield ErrorDetail(key, f"expected {len(arguments)} values, not {len(value)}")
        return
    for index, item in enumerate(value):
        inner = arguments[index] if fixed else arguments[0] if arguments else Any
        yield from value_errors(inner, item, join(key, index), locate)


def field_errors(hint: Any, value: object, key: str, locate: Locate = None) -> Iterator[ErrorDetail]:
    """Yield the unknown keys and wrong types of a plain value that describes a dataclass or a typed dictionary."""
    if not isinstance(value, Mapping):
        yield _expected(hint, value, key)
        return
    try:
        hints = get_type_hints(hint)
    except Exception:
        return
    for name, item in value.items():
        if name not in hints:
            yield ErrorDetail(join(key, name), "there is no such key", nearest(str(name), hints, listing=f"{key} has"))
        else:
            inner = field_errors if locate is None and has_fields(hints[name]) else value_errors
            yield from inner(hints[name], item, join(key, name), locate)


def _node_errors(hint: Any, node: Mapping[str, object], key: str, locate: Locate) -> list[ErrorDetail]:
    """Whether what a node builds fits: only classes tell before they are built."""
    found = locate(node["_target_"]) if locate is not None else None
    if not inspect.isclass(found) or node.get("_partial_", False):
        return []
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if any(may_hold(option, found) for option in options):
        return []
    return [ErrorDetail(f"{key}._target_", f"expected {describe(hint)}, not {found.__name__}")]


def may_hold(option: Any, found: type) -> bool:
    """Whether an annotation accepts instances of a class."""
    origin = get_origin(option) or option
    if origin is collections.abc.Callable:
        return "__call__" in dir(found)
    if not inspect.isclass(origin) or getattr(origin, "_is_protocol", False):
        return True
    if origin in (int, float, bool, str, NoneType):
        return False
    try:
        return issubclass(found, origin)
    except TypeError:
        return True
