from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numba
import pytest

from pamiq_exp import compiling
from pamiq_exp.compiling import compiled, inlined


@pytest.mark.parametrize("compile_it", [compiled, inlined])
def test_compiling_works_for_a_function_that_cannot_be_cached(compile_it: Any) -> None:
    """A function without a file has no place for a cache, like one in a folder that cannot be written."""
    names: dict[str, Any] = {}
    exec("def double(value):\n    return 2 * value\n", names)
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(names["double"])
    assert compile_it(names["double"])(21) == 42


def test_compiling_cache_folder_changes_with_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = tmp_path / "scan"
    scan.mkdir()
    (source := scan / "kernels.py").write_text("one = 1\n")
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compiling.py"))
    compiling._cache_folder.cache_clear()
    first = compiling._cache_folder()
    os.utime(source, ns=(1, 1))
    compiling._cache_folder.cache_clear()
    second = compiling._cache_folder()
    compiling._cache_folder.cache_clear()
    assert first != second
    assert [str(path) for path in (tmp_path / "__pycache__").iterdir()] == [second], "earlier code is removed"
