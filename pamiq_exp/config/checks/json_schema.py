"""JSON schemas (draft 2020-12) of the plain values that an annotation or the signature of a target accepts."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import os
import re
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from pamiq_exp.config.checks.types import has_fields, hints_of, is_list, is_open, may_hold
from pamiq_exp.config.targets import Target, parameters_of

Schema: TypeAlias = dict[str, Any]

DEFINITIONS = "#/$defs/"
LATER: Schema = {
    "anyOf": [
        {"type": "string", "pattern": r"\$\{|^\?\?\?$"},
        {"type": "object", "required": ["_replicate_", "_value_"]},
    ]
}
"""What may stand for any value: an interpolation, a value that is still missing, and plain values made as replicas."""

PLAIN: Mapping[Any, Schema] = {
    bool: {"type": "boolean"},
    float: {"type": "number"},
    int: {"type": "integer"},
    str: {"type": "string"},
    NoneType: {"type": "null"},
    None: {"type": "null"},
}
STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class SchemaBuilder:
    """Builds schemas of nodes and values, each class once below `$defs`.

    A node may leave out `_target_` and required keys, since files are laid over each other.

    Args:
        targets: What configs may name, by the name to write.
    """

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self.targets = dict(targets)
        self.definitions: dict[str, Schema] = {"later": LATER, "other": self._other(), "part": {}}
        for name, target in self.targets.items():
            self.definitions[name] = self._node(name, target)
        self.definitions["part"] = self._any_of(self.targets)

    def value(self, hint: Any) -> Schema:
        """Return the schema of the values that fit an annotation; `{}` where anything does."""
        if is_open(hint):
            return {}
        options = [*self._options(hint)]
        return {} if {} in options else {"anyOf": [*options, reference("later")]}

    def fields(self, cls: type, omit: tuple[str, ...] = ()) -> Schema:
        """Return the schema of a node that describes a dataclass or a typed dictionary."""
        texts = argument_texts(cls)
        defaults = {
            field.name: field.default for field in (dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ())
        }
        properties = {
            name: _described(self.value(hint), texts.get(name, ""), defaults.get(name, dataclasses.MISSING))
            for name, hint in get_type_hints(cls).items()
            if name not in omit
        }
        return {"type": "object", "properties": properties, "additionalProperties": False}

    def arguments(self, target: Target, omit: tuple[str, ...] = ()) -> Schema:
        """Return the schema of the arguments that a class or function takes by name."""
        hints, texts = hints_of(target), argument_texts(target)
        parameters = parameters_of(target)
        properties = {
            name: _described(self._argument(hints.get(name, Any), each), texts.get(name, ""), each.default)
            for name, each in parameters.items()
            if each.kind not in STARRED and name not in omit
        }
        open_ended = not parameters or any(each.kind is STARRED[1] for each in parameters.values())
        return {"type": "object", "properties": properties} | ({} if open_ended else {"additionalProperties": False})

    def _argument(self, hint: Any, parameter: inspect.Parameter) -> Schema:
        schema = self.value(hint)
        nullable = parameter.default is None and schema and PLAIN[None] not in schema["anyOf"]
        return {"anyOf": [PLAIN[None], *schema["anyOf"]]} if nullable else schema

    def _node(self, name: str, target: Target) -> Schema:
        schema = self.arguments(target)
        schema["properties"] = {
            "_target_": {"const": name},
            "_partial_": PLAIN[bool],
            "_args_": {"type": "array"},
            "_replicate_": {},
            **schema["properties"],
        }
        if "additionalProperties" not in schema:
            schema["required"] = ["_target_"]  # or it would fit every part of a node
        summary = " ".join((inspect.getdoc(target) or "").partition("\n\n")[0].split())
        return {"description": summary, **schema}

    def _other(self) -> Schema:
        """Return the schema of a node with a target that is not known here, such as a user's own class."""
        target = {"type": "string", "not": {"enum": sorted(self.targets)}}
        return {"type": "object", "properties": {"_target_": target}, "required": ["_target_"]}

    def _any_of(self, names: collections.abc.Iterable[str]) -> Schema:
        return {"anyOf": [*map(reference, names), reference("other"), {"type": "object", "maxProperties": 0}]}

    def _options(self, hint: Any) -> Iterator[Schema]:
        origin, arguments = get_origin(hint), get_args(hint)
        if origin is Annotated:
            yield from self._options(arguments[0])
        elif origin in (Union, UnionType):
            for option in arguments:
                yield from self._options(option)
        elif origin is Literal:
            yield {"enum": list(arguments)}
        elif hint in PLAIN:
            yield dict(PLAIN[hint])
        else:
            yield from self._plain_containers(hint, origin, arguments)
            yield from self._objects(origin or hint)

    def _plain_containers(self, hint: Any, origin: Any, arguments: tuple[Any, ...]) -> Iterator[Schema]:
        if is_list(hint, origin):
            yield self._list(origin or hint, arguments)
        elif has_fields(hint):
            yield self._definition_of_fields(hint)
        elif (origin or hint) in (dict, collections.abc.Mapping, collections.abc.MutableMapping):
            inner = self.value(arguments[1]) if len(arguments) == 2 else {}
            yield {"type": "object", "additionalProperties": inner}

    def _list(self, kind: Any, arguments: tuple[Any, ...]) -> Schema:
        if kind is tuple and arguments and arguments[-1] is not Ellipsis:
            items = [self.value(each) for each in arguments]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
        return {"type": "array", "items": self.value(arguments[0]) if arguments else {}}

    def _definition_of_fields(self, cls: type) -> Schema:
        name = f"{cls.__module__}.{cls.__qualname__}"
        if name not in self.definitions:
            self.definitions[name] = {}  # a class may refer to itself
            self.definitions[name] = self.fields(cls)
        return reference(name)

    def _objects(self, kind: Any) -> Iterator[Schema]:
        if not inspect.isclass(kind) or kind is collections.abc.Callable:
            yield reference("part")
            return
        if issubclass(kind, os.PathLike):
            yield dict(PLAIN[str])
        name = f"{kind.__module__}.{kind.__qualname__}, or what makes one"
        if name not in self.definitions:
            fitting = [each for each, found in self.targets.items() if _makes(found, kind)]
            self.definitions[name] = self._any_of(fitting)
        yield reference(name)


def reference(name: str) -> Schema:
    """Return the reference to a definition."""
    return {"$ref": f"{DEFINITIONS}{name}"}


def argument_texts(target: Target) -> dict[str, str]:
    """Return what the docstring of a class or function says of each argument or attribute."""
    doc = inspect.getdoc(target) or ""
    found: dict[str, str] = {}
    for section in re.findall(r"^(?:Args|Attributes):\n((?:[ ]+.*\n?|\n)+)", doc, re.MULTILINE):
        for names, text in re.findall(r"^ {4}([\w, *]+?)(?: \([^)]*\))?: (.*(?:\n {5,}.*)*)", section, re.MULTILINE):
            found |= dict.fromkeys(names.replace("*", "").split(", "), " ".join(text.split()))
    return found


def _makes(target: Target, kind: type) -> bool:
    """Whether a target may give an instance of a class; what a function gives is not known before it is called."""
    return may_hold(kind, target) if inspect.isclass(target) else True


def _described(schema: Schema, text: str, default: object) -> Schema:
    plain = isinstance(default, (bool, int, float, str)) or default is None
    return {**({"description": text} if text else {}), **schema, **({"default": default} if plain else {})}
