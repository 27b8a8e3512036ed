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


_COPIES = {torch.Tensor.clone, torch.clone, torch.Tensor.__deepcopy__}
"""Functions that make another tensor of the same size; modules that are copied make theirs with these."""

MOST_TENSORS = 50_000
"""That the models of a config may make, layers that are copied included."""
ROOM = 1_000_000_000
"""Elements of what models make that is no parameter, whatever the limit for those."""


class TooLarge(BaseException):
    """Raised in the middle of a constructor. No exception that a constructor, or who calls it, might handle.

    Attributes:
        tensors: Whether there are too many of them, whatever their sizes.
    """

    def __init__(self, *, tensors: bool = False) -> None:
        self.tensors = tensors


@contextmanager
def at_most(elements: int | None) -> Iterator[None]:
    """Raise TooLarge before the tensors that are made here would have more elements than that together.

    None sets no limit to that. In no case are there more than `MOST_TENSORS` tensors.
    """
    with _Counting(elements):
        yield


class _Counting(TorchFunctionMode):
    def __init__(self, left: int | None) -> None:
        super().__init__()
        self._left = left
        self._tensors = MOST_TENSORS

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in _OF_A_SIZE or func in _COPIES:
            self._tensors -= 1
            if self._tensors < 0:
                raise TooLarge(tensors=True)
            if self._left is not None:
                self._left -= args[0].numel() if func in _COPIES else _elements(args, given)
                if self._left < 0:
                    raise TooLarge
        return func(*args, **given)


def _elements(arguments: Sequence[Any], keywords: Mapping[str, Any]) -> int:
    size = keywords.get("size", arguments[0] if arguments and not isinstance(arguments[0], int) else arguments)
    return math.prod(each for each in size if isinstance(each, int))
