"""Blocks of a trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from pamiq_exp.runtime.trace.blocks import BlockFile, read_blocks

ORDERS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "transposed": np.transpose,
    "reversed": lambda value: value[::-1] if value.ndim else value,
    "every second": lambda value: np.repeat(value, 2, axis=-1)[..., ::2] if value.ndim else value,
    "broadcast": lambda value: np.broadcast_to(value, (2, *value.shape)),
    "big-endian": lambda value: value.astype(value.dtype.newbyteorder(">")),
    "stacked columns": lambda value: np.stack([np.asfortranarray(value)] * 2),
}


@pytest.mark.parametrize("order", ORDERS)
@given(
    value=st.sampled_from([np.uint8, np.int64, np.float32, np.float64, np.bool_]).flatmap(
        lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    )
)
def test_blocks_return_arrays_of_any_order_in_memory(
    order: str, value: NDArray[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("blocks")
    written = ORDERS[order](value)
    file = BlockFile(folder / "turns")
    file.write_arrays({"value": written})
    file.close()
    (found,) = read_blocks(folder / "turns", folder)
    assert isinstance(found, dict)
    np.testing.assert_array_equal(found["value"], written, strict=order != "big-endian")


def test_blocks_return_arrays_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    names = [f"{letter}{number}" for number in range(4) for letter in "zayb"]
    file = BlockFile(tmp_path / "turns")
    file.write_arrays({name: np.zeros(at % 3, [np.float32, np.uint8][at % 2]) for at, name in enumerate(names)})
    file.close()
    (found,) = read_blocks(tmp_path / "turns", tmp_path)
    assert isinstance(found, dict)
    assert list(found) == names
