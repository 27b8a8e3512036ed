from __future__ import annotations

import numpy as np
import pytest

from pamiq_exp.environments import NoiseWorld
from pamiq_exp.interaction import Interaction
from pamiq_exp.metrics import ObjectsTouched
from tests.metrics.scripted import ScriptedAgent, watch


def touching(*things: int) -> dict[str, np.ndarray]:
    touched = np.zeros((1, 5), dtype=np.bool_)
    touched[0, list(things)] = True
    return {"touched": touched}


def test_objects_touched_reports_distinct_objects_and_the_touch_rate() -> None:
    metric = watch(ObjectsTouched(), [touching(), touching(3), touching(3), touching(1, 3)])
    assert metric.summary() == {"objects_touched": 2, "object_touch_rate": 0.75}


def test_objects_touched_without_objects_reports_nothing() -> None:
    empty = {"touched": np.zeros((1, 0), dtype=np.bool_)}
    assert watch(ObjectsTouched(), [empty] * 3).summary() == {}


def test_objects_touched_counts_a_pushed_box() -> None:
    world = NoiseWorld(map="########\n#>.b..l#\n########", noise={"fraction": 0}, image_size=8)
    metric = ObjectsTouched()
    interaction = Interaction(ScriptedAgent([np.array([[1, 0, 0, 0, 0]])] * 8), world, {"it": metric})
    for _ in range(8):
        interaction.step()
    summary = metric.summary()
    assert summary["objects_touched"] == 1, "the box, not the lamp behind it"
    assert summary["object_touch_rate"] == pytest.approx(3 / 8, abs=0.13)
