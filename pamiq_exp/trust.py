"""Which packages the user has allowed to be imported by name, for parts that import something on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

_trusted: ContextVar[tuple[str, ...]] = ContextVar("trusted", default=())


def trusted_packages() -> tuple[str, ...]:
    """Return the packages and modules that may be imported here: none, unless a config is built with `--allow`."""
    return _trusted.get()


@contextmanager
def trusting(packages: Sequence[str]) -> Iterator[None]:
    """Let what is called inside import these packages and modules, and what lies below them."""
    token = _trusted.set(tuple(packages))
    try:
        yield
    finally:
        _trusted.reset(token)
