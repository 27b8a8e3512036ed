"""Pytrees of JAX as named arrays, which is how checkpoints hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray


def named_leaves(tree: Any) -> dict[str, Any]:
    """Return the leaves of a tree by their path: `policy.0.weight`."""
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in paths}


def named_arrays(tree: Any) -> dict[str, NDArray[Any]]:
    """Return the arrays of a tree by their path, without a copy where they are in the memory of the CPU."""
    return {name: np.asarray(leaf) for name, leaf in named_leaves(tree).items()}


def with_arrays(tree: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return a tree of the same form with copies of other arrays.

    Raises:
        ValueError: Names, shapes or types are not those of the tree.
    """
    leaves = named_leaves(tree)
    if leaves.keys() != arrays.keys():
        raise ValueError(f"expected the arrays {', '.join(sorted(leaves))}, not {', '.join(sorted(arrays))}")
    for name, leaf in leaves.items():
        if (leaf.shape, leaf.dtype) != (arrays[name].shape, arrays[name].dtype):
            found = f"{arrays[name].shape} {arrays[name].dtype}"
            raise ValueError(f"the array {name} is {found}, expected {leaf.shape} {leaf.dtype}")
    # jnp.array copies, jnp.asarray would keep a view of memory that may change.
    return jax.tree.unflatten(jax.tree.structure(tree), [jnp.array(arrays[name]) for name in leaves])
