"""Stops what would allocate absurd amounts of memory before it does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_OF_A_SIZE = {torch.empty, torch.full, torch.ones, torch.rand, torch.randn, torch.zeros}
"""Functions whose arguments begin with the size of what they make; layers of torch make their parameters with these."""


class TooLarge(BaseException):
    """Raised in the middle of a constructor. No exception that a constructor, or who calls it, might handle."""


@contextmanager
def at_most(elements: int | None) -> Iterator[None]:
    """Raise TooLarge before the tensors that are made here would have more elements than that together.

    None sets no limit.
    """
    if elements is None:
        yield
        return
    with _Counting(elements):
        yield


class _Counting(TorchFunctionMode):
    def __init__(self, left: int) -> None:
        super().__init__()
        self._left = left

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in _OF_A_SIZE:
            self._left -= _elements(args, given)
            if self._left < 0:
                raise TooLarge
        return func(*args, **given)


def _elements(arguments: Sequence[Any], keywords: Mapping[str, Any]) -> int:
    size = keywords.get("size", arguments[0] if arguments and not isinstance(arguments[0], int) else arguments)
    return math.prod(each for each in size if isinstance(each, int))
