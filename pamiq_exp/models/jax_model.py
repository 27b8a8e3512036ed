"""Base class of models in JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
from numpy.typing import NDArray

from pamiq_exp.publishable import Publishable
from pamiq_exp.pytrees import named_arrays, named_leaves, with_arrays
from pamiq_exp.spaces import ArraySpec


class JaxModel(Publishable):
    """Base class of models whose parameters are a pytree of JAX.

    Arrays of JAX never change, so publishing moves a reference. Checkpoints name arrays by their path in the tree:
    `policy.0.weight`.

    Args:
        make: Returns the network, an Equinox module, for a random key. It is traced, and called when the parameters
            are first used.
        seed: Of the initial parameters.

    Attributes:
        static: What of the network is no array; `equinox.combine(parameters, static)` is the network.
    """

    def __init__(self, make: Callable[[jax.Array], eqx.Module], seed: int) -> None:
        self._make = make
        self._seed = int(seed)
        outline = eqx.filter_eval_shape(make, jax.random.key(self._seed))
        self._outline, self.static = eqx.partition(outline, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
        self._parameters: Any = None

    @property
    def parameters(self) -> Any:
        """The arrays of the network: a pytree. A trainer replaces it as a whole."""
        if self._parameters is None:
            make = eqx.filter_jit(lambda key: eqx.filter(self._make(key), eqx.is_array))  # one compilation for all
            self._parameters = make(jax.random.key(self._seed))
        return self._parameters

    @parameters.setter
    def parameters(self, parameters: Any) -> None:
        self._parameters = parameters

    def specs(self) -> Mapping[str, ArraySpec]:
        """See `Publishable.specs`."""
        leaves = named_leaves(self._outline)
        return {name: ArraySpec(shape=list(leaf.shape), dtype=str(leaf.dtype)) for name, leaf in leaves.items()}

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """See `Publishable.arrays`."""
        return named_arrays(self.parameters)

    def load_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """See `Publishable.load_arrays`. Raises ValueError for other names, shapes or types."""
        self.parameters = with_arrays(self._outline, arrays)
