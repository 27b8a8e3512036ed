"""No objects of Hydra stay in the parts of a run: calls of its partials take 105 us each."""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pamiq_exp.config import AllowList, build_experiment, compose_config

SMALL = [
    "environment=gymnasium",
    "interaction=unpaced",
    "launcher=lockstep",
    "tracking=csv",
    "metrics=default",
    "experiment_name=x",
]
OVERRIDES = {
    "curiosity": [*SMALL, "agent=curiosity"],
    "ppo": [*SMALL, "agent=ppo"],
    "random": [*SMALL, "agent=random"],
}


def reachable(root: Any) -> Iterator[Any]:
    """Yield every object that can be reached from `root`, but for modules, classes and what they hold."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, (type, type(gc), torch.Tensor, str, bytes, int, float)):
            continue
        seen.add(id(each))
        yield each
        waiting += [other for other in gc.get_referents(each) if not _is_of_a_module(other)]


def _is_of_a_module(value: Any) -> bool:
    return isinstance(value, dict) and "__builtins__" in value


def of_hydra(value: Any) -> bool:
    parts = [value, type(value)]
    if isinstance(value, functools.partial):
        parts.append(value.func)
    return any(str(getattr(part, "__module__", "")).startswith(("hydra.", "omegaconf")) for part in parts)


@pytest.mark.parametrize("name", OVERRIDES)
def test_build_experiment_leaves_no_hydra_objects_in_its_parts(name: str) -> None:
    built = build_experiment(compose_config(OVERRIDES[name]), AllowList())
    parts = [built.interaction, built.models, built.buffers, built.trainers, built.trackers]
    objects = list(reachable(parts))
    assert len(objects) > 100
    assert any(getattr(each.func, "__name__", "") == "CSVLogger" for each in objects if type(each) is functools.partial)
    assert [repr(each)[:100] for each in objects if of_hydra(each)] == []
