from __future__ import annotations

from typing import Any

import numba
import pytest

from pamiq_exp.compiling import compiled, inlined


@pytest.mark.parametrize("compile_it", [compiled, inlined])
def test_where_nothing_can_be_kept_a_function_is_compiled_all_the_same(compile_it: Any) -> None:
    """A function without a file has no place for a cache, like one in a folder that cannot be written."""
    names: dict[str, Any] = {}
    exec("def double(value):\n    return 2 * value\n", names)
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(names["double"])
    assert compile_it(names["double"])(21) == 42
