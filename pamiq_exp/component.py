"""The life cycle that every part of an experiment shares.

A component is any object that the launcher sets up, pauses, saves and tears down. Components may
hold other components in attributes, lists, tuples and mappings, as deep as they like: `walk` finds
them all, so that a wrapper never has to forward a hook by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

State: TypeAlias = dict[str, Any]
"""Plain data, arrays and tensors, nested in dicts and lists. Never objects: checkpoints hold no pickle."""


class Component:
    """Base class of agents, environments, rewards, metrics, buffers and trainers.

    All hooks do nothing by default. `state` and `load_state` cover only what the component itself
    owns: children that are components, and random generators held in attributes, are found and
    saved by the walker.
    """

    def setup(self) -> None:
        """Called once, before the first step and before any state is loaded."""

    def teardown(self) -> None:
        """Called once at the end of a run, also after an error. Must not raise for half-set-up parts."""

    def on_pause(self) -> None:
        """Called when the run pauses: stop motors, release keys."""

    def on_resume(self) -> None:
        """Called when the run goes on after a pause."""

    def on_intervene(self, active: bool) -> bool:
        """Called when a person takes over (`active`) or gives back. Returns whether this part lets a person do so."""
        return False

    def state(self) -> State:
        """Return what must survive a checkpoint. Arrays and tensors are copied by the caller."""
        return {}

    def load_state(self, state: State) -> None:
        """Restore what `state` returned."""


class Transparent(Component):
    """A wrapper with nothing of its own to set up, pause or save: the walker finds what it wraps in its place."""

    wrapped: Component


Generator: TypeAlias = np.random.Generator | torch.Generator


def set_up(root: object) -> None:
    """Set up all components below `root`, parents first; if one fails, tear all of them down again."""
    try:
        for _, part in components(root):
            part.setup()
    except BaseException:
        with suppress(Exception):  # the first error is the one to report
            tear_down(root)
        raise


def tear_down(root: object) -> None:
    """Tear down all components below `root`, children first, each of them also if another fails.

    Raises:
        Exception: The first error, after all components had their turn.
    """
    errors: list[Exception] = []
    for _, part in reversed(list(components(root))):
        try:
            part.teardown()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


@contextmanager
def torn_down_on_error(part: object) -> Iterator[None]:
    """Tear a part down if what is done with it fails: an environment may hold processes and ports from the start."""
    try:
        yield
    except BaseException:
        with suppress(Exception):  # the first error is the one to report
            tear_down(part)
        raise


def _children(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key), item
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield str(index), item
    elif isinstance(value, Component):
        yield from vars(value).items()


def _walk(value: object, path: str, seen: set[int]) -> Iterator[tuple[str, Component | Generator]]:
    while isinstance(value, Transparent):
        value = value.wrapped
    if id(value) in seen or isinstance(value, nn.Module):
        return
    if isinstance(value, (Component, np.random.Generator, torch.Generator)):
        seen.add(id(value))
        yield path, value
    elif isinstance(value, (Mapping, list, tuple)):
        seen.add(id(value))
    else:
        return
    for name, child in _children(value):
        yield from _walk(child, f"{path}.{name}" if path else name, seen)


def walk(root: object, path: str = "") -> Iterator[tuple[str, Component | Generator]]:
    """Yield `(address, part)` for every component and random generator reachable from `root`.

    Parents come before children; an object that is reachable twice is yielded once, under its first
    address. Models (`nn.Module`) are not entered: the launcher owns them by name.
    """
    yield from _walk(root, path, set())


def components(root: object, path: str = "") -> Iterator[tuple[str, Component]]:
    """Like `walk`, without the random generators."""
    for address, part in walk(root, path):
        if isinstance(part, Component):
            yield address, part


def _generator_state(generator: Generator) -> State:
    if isinstance(generator, torch.Generator):
        return {"torch": generator.get_state().clone()}
    return {"numpy": _plain(generator.bit_generator.state)}


def _plain(value: object) -> object:
    """Turn the nested dict of a numpy bit generator into state values (big integers become text)."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"int:{int(value)}"
    if isinstance(value, str):
        return value
    raise TypeError(f"unexpected value of type {type(value).__name__} in a generator's state")


def _unplain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unplain(item) for key, item in value.items()}
    if isinstance(value, str) and value.startswith("int:"):
        return int(value.removeprefix("int:"))
    return value


def _load_generator_state(generator: Generator, state: State) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state["torch"])
    else:
        generator.bit_generator.state = _unplain(state["numpy"])


def collect_state(root: object) -> dict[str, State]:
    """Return the states of all parts below `root`, by address; parts without state are left out."""
    states: dict[str, State] = {}
    for address, part in walk(root):
        state = part.state() if isinstance(part, Component) else _generator_state(part)
        if state:
            states[address] = state
    return states


def restore_state(root: object, states: Mapping[str, State]) -> tuple[list[str], list[str]]:
    """Give each part below `root` its saved state back.

    Returns the addresses that the save has and the object has not, and the other way round: parts
    that have state now but none in the save. The caller decides whether such a difference is an error.
    """
    unclaimed = set(states)
    missing: list[str] = []
    for address, part in walk(root):
        if address in unclaimed:
            unclaimed.discard(address)
            try:
                if isinstance(part, Component):
                    part.load_state(states[address])
                else:
                    _load_generator_state(part, states[address])
            except Exception as error:
                error.add_note(f"(while the saved state of {address or 'the whole'} was given back)")
                raise
        elif not isinstance(part, Component) or part.state():
            missing.append(address)
    return sorted(unclaimed), missing
