"""The state of nested components is collected and restored."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pamiq_exp.component import Component, collect_state, components, restore_state
from pamiq_exp.seeding import derive_seed, numpy_generator, torch_generator


class Counter(Component):
    def __init__(self) -> None:
        self.count = 0

    def state(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


class Holder(Component):
    def __init__(self, *parts: object) -> None:
        self.parts = {"inner": list(parts)}


class Dice(Component):
    def __init__(self, seed: int) -> None:
        self.generator = numpy_generator(seed)
        self.other = torch_generator(seed)

    def roll(self) -> tuple[float, float]:
        return float(self.generator.random()), float(torch.rand((), generator=self.other))


def test_restore_state_restores_a_component_three_levels_deep() -> None:
    deep, root = Counter(), None
    root = Holder(Holder(Holder(deep)))
    deep.count = 7
    states = collect_state(root)
    assert states == {"parts.inner.0.parts.inner.0.parts.inner.0": {"count": 7}}
    deep.count = 0
    assert restore_state(root, states) == ([], [])
    assert deep.count == 7


def test_components_visits_a_shared_component_once() -> None:
    shared = Counter()
    assert [part for _, part in components(Holder(shared, shared))].count(shared) == 1


def test_components_ends_on_a_circular_reference() -> None:
    holder = Holder()
    holder.parts["inner"].append(holder)
    assert len(list(components(holder))) == 1


def test_restore_state_restores_random_generators() -> None:
    dice = Dice(3)
    dice.roll()
    states = collect_state(dice)
    expected = [dice.roll() for _ in range(3)]
    other = Dice(99)
    restore_state(other, states)
    assert [other.roll() for _ in range(3)] == expected


def test_restore_state_lists_unexpected_and_missing_states() -> None:
    states = collect_state(Holder(Counter(), Counter()))
    assert restore_state(Holder(Counter()), states) == (["parts.inner.1"], [])
    assert restore_state(Holder(Counter(), Counter(), Counter()), states) == ([], ["parts.inner.2"])


def test_derive_seed_is_stable_and_differs_by_root_and_name() -> None:
    assert derive_seed(0, "agent") == derive_seed(0, "agent")
    seeds = {derive_seed(root, name) for root in range(50) for name in ("agent", "world", "models.policy")}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert np.random.default_rng(derive_seed(0, "agent")) is not None
