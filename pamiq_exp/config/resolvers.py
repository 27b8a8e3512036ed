"""The functions a config may call: `${derived_seed:}`, arithmetic and shapes. None of them runs code from a config."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Sequence
from functools import reduce
from typing import TypeAlias

from omegaconf import Container, OmegaConf

Number: TypeAlias = int | float

READABLE_ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID")
"""The environment variables that `${oc.env:NAME}` may read. All others could hold a secret."""


def derived_seed(*, _parent_: Container, _root_: Container) -> int:
    """Return the seed of the component that this line stands in: a function of the root seed and of its address.

    It stays the same when the component is read through an interpolation from somewhere else.
    """
    from pamiq_exp.seeding import derive_seed  # numpy and torch, which printing a config does not need

    seed = OmegaConf.select(_root_, "seed")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ValueError(f"derived_seed needs the whole number `seed` at the top of the config, which is {seed!r}")
    return derive_seed(seed, _address(_parent_))


def _address(node: Container) -> str:
    """The address of a node in its config, as problems name it: `interaction.agent.parts[0]`."""
    above = node._get_parent_container()
    if above is None:
        return ""
    name = node._key()
    if OmegaConf.is_list(above):
        return f"{_address(above)}[{name}]"
    return f"{_address(above)}.{name}".removeprefix(".")


def _numbers(values: Sequence[object]) -> list[Number]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"arithmetic in a config needs numbers, not {value!r}")
    return list(values)  # type: ignore[arg-type]


def _fold(function: Callable[[Number, Number], Number]) -> Callable[..., Number]:
    def resolver(*values: Number) -> Number:
        return reduce(function, _numbers(values))

    return resolver


def _product(values: Sequence[Number]) -> Number:
    """The number of elements of an array of this shape."""
    return math.prod(_numbers(values))


def _environment_variable(name: str, default: str | None = None) -> str | None:
    if name not in READABLE_ENVIRONMENT:
        readable = ", ".join(READABLE_ENVIRONMENT)
        raise ValueError(f"a config may not read the environment variable {name}, only {readable}")
    return os.environ.get(name, default)


RESOLVERS: dict[str, Callable[..., object]] = {
    "derived_seed": derived_seed,
    "add": _fold(operator.add),
    "subtract": _fold(operator.sub),
    "multiply": _fold(operator.mul),
    "divide": _fold(operator.truediv),
    "floor_divide": _fold(operator.floordiv),
    "minimum": _fold(min),
    "maximum": _fold(max),
    "product": _product,
    "length": len,
    "oc.env": _environment_variable,
}


def register_resolvers() -> None:
    """Make the resolvers known to OmegaConf. May be called again."""
    for name, resolver in RESOLVERS.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
