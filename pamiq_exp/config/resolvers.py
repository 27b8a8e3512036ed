"""The functions a config may call: `${derived_seed:}`, arithmetic and shapes. None of them runs code from a config."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache, reduce
from typing import TypeAlias

from omegaconf import Container, OmegaConf

from pamiq_exp.config.checks.limits import MOST_BITS
from pamiq_exp.config.hydra_internals import register_resolver
from pamiq_exp.seeding import derive_seed

Number: TypeAlias = int | float

READABLE_ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID")
"""The environment variables that `${oc.env:NAME}` may read. All others could hold a secret."""


SIZES = ("cpu", "small", "base", "large")
"""The sizes that models come in."""


class UnknownSizeError(ValueError):
    """A size that models do not come in."""


def derived_seed(root: object, address: str) -> int:
    """Return the seed of the component at `address`: a function of the root seed and of that address.

    It stays the same when the component is read through an interpolation from somewhere else.
    """
    if not isinstance(root, int) or isinstance(root, bool):
        raise ValueError(f"derived_seed needs the whole number `seed` at the top of the config, which is {root!r}")
    return derive_seed(root, address)


def within_digits(value: Number) -> Number:
    """Return a number. Raises ValueError for a whole one with more digits than a config needs."""
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise ValueError(f"a whole number in a config has at most {MOST_BITS} binary digits")
    return value


def _numbers(values: Sequence[object]) -> list[Number]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"arithmetic in a config needs numbers, not {value!r}")
        within_digits(value)
    return list(values)  # type: ignore[arg-type]


def _fold(function: Callable[[Number, Number], Number]) -> Callable[..., Number]:
    def resolver(*values: object) -> Number:
        if not values:
            raise ValueError("arithmetic in a config needs numbers")
        return reduce(lambda one, other: within_digits(function(one, other)), _numbers(values))

    return resolver


def _product(values: Sequence[object]) -> Number:
    """The number of elements of an array of this shape."""
    return reduce(lambda one, other: within_digits(one * other), [1, *_numbers(values)])


def by_size(size: object, *values: object) -> object:
    """Return the value for a size of models, of the values for all of `SIZES`.

    Raises:
        UnknownSizeError: For another size.
        ValueError: If there are not as many values as sizes.
    """
    if size not in SIZES:
        raise UnknownSizeError(f"there is no size {size!r}")
    if len(values) != len(SIZES):
        raise ValueError(f"by_size takes a size and {len(SIZES)} values ({', '.join(SIZES)}), not {len(values)}")
    return values[SIZES.index(str(size))]


def reseeded(node: object, stream: object) -> object:
    """Return a copy of a node in which each `seed` is another one, derived from it and the name of a stream.

    For a second instance of a component that must not repeat what the first one draws.
    """
    if isinstance(node, Mapping):
        return {
            name: derive_seed(value, str(stream)) if name == "seed" and type(value) is int else reseeded(value, stream)
            for name, value in node.items()
        }
    return [reseeded(item, stream) for item in node] if isinstance(node, list) else node


def _environment_variable(name: object, default: object = None) -> object:
    if name not in READABLE_ENVIRONMENT:
        raise PermissionError(f"a config may not read the environment variable {name}")
    return os.environ.get(str(name), default)


def _mapping(node: object) -> Mapping[str, object]:
    if not isinstance(node, Mapping):
        raise ValueError(f"expected keys and values, not {node!r}")
    return node


@cache
def _now(pattern: object) -> str:
    return datetime.now().strftime(str(pattern))


RESOLVERS: dict[str, Callable[..., object]] = {
    "add": _fold(operator.add),
    "subtract": _fold(operator.sub),
    "multiply": _fold(operator.mul),
    "divide": _fold(operator.truediv),
    "floor_divide": _fold(operator.floordiv),
    "minimum": _fold(min),
    "maximum": _fold(max),
    "product": _product,
    "length": len,
    "by_size": by_size,
    "reseeded": reseeded,
    "now": _now,
    "oc.env": _environment_variable,
    "oc.dict.keys": lambda node: [str(name) for name in _mapping(node)],
    "oc.dict.values": lambda node: list(_mapping(node).values()),
}
"""Functions of their arguments alone."""

WITH_THE_CONFIG = ("derived_seed", "oc.decode", "oc.select")
"""Those that look something up in the config (see `checks.interpolations`)."""

READS_THE_MACHINE = ("now", "oc.env")


def register_resolvers() -> None:
    """Make the resolvers known to OmegaConf, which fills in Hydra's own node. May be called again."""
    for name, resolver in RESOLVERS.items():
        if name not in ("now", "oc.dict.keys", "oc.dict.values"):
            register_resolver(name, resolver, replace=True)
    register_resolver("derived_seed", _derived_seed_here, replace=True)


def _derived_seed_here(*, _parent_: Container, _root_: Container) -> int:
    return derived_seed(OmegaConf.select(_root_, "seed"), _address(_parent_))


def _address(node: Container) -> str:
    """The address of a node in its config, as errors name it: `interaction.agent.parts[0]`."""
    above = node._get_parent_container()
    if above is None:
        return ""
    name = node._key()
    if OmegaConf.is_dict(above):
        return f"{_address(above)}.{name}".removeprefix(".")
    return f"{_address(above)}[{name}]"  # in a list, or a tuple of OmegaConf 2.4
