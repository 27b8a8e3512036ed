from __future__ import annotations

import numpy as np
import pytest

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.environments import NoiseWorld
from pamiq_exp.interaction import Interaction
from pamiq_exp.metrics import ActionClass
from tests.metrics.scripted import ScriptedAgent, watch

STILL, FORWARD, STRAFE, TURN = (0, 0, 0), (1, 0, 0), (0, -1, 0), (0, 0, 1)


def did(*commands: tuple[int, int, int]) -> list[dict[str, np.ndarray]]:
    """A script in which these commands were carried out; the first truth holds none."""
    return [{"command": np.array([[*command, 0, 0, 0]])} for command in (STILL, *commands)]


def test_action_class_numbers_each_combination_of_axes() -> None:
    classes = [
        [],
        [FORWARD],
        [STRAFE],
        [TURN],
        [FORWARD, STRAFE],
        [FORWARD, TURN],
        [STRAFE, TURN],
        [FORWARD, STRAFE, TURN],
    ]
    found = [watch(ActionClass(recent=1.0), did(*used, STILL, STILL)).report() for used in classes]
    assert found == [{"action_class": number} for number in range(1, 9)]


def test_action_class_counts_an_axis_used_in_a_tenth_of_the_steps() -> None:
    assert watch(ActionClass(recent=1.0), did(*[STILL] * 9, TURN)).report() == {"action_class": 4}
    assert watch(ActionClass(recent=1.0), did(*[STILL] * 10, TURN)).report() == {"action_class": 1}


def test_action_class_uses_only_recent_steps() -> None:
    assert watch(ActionClass(recent=0.1), did(*[FORWARD] * 36, *[TURN] * 4)).report() == {"action_class": 4}


def test_action_class_reads_exactly_three_named_action_branches() -> None:
    agent = ScriptedAgent(actions=[np.array([[7, 0, 2, 0]])] * 4)
    assert watch(ActionClass(branches=[1, 2, 3]), [{}] * 4, agent=agent).report() == {"action_class": 3}
    with pytest.raises(ValueError, match="three branches"):
        ActionClass(branches=[0])


def test_action_class_reports_the_share_of_blocked_steps() -> None:
    world = NoiseWorld(map="####\n#>.#\n####", noise={"fraction": 0}, image_size=8)
    metric = ActionClass(recent=1.0)
    actions = [np.array([[1, 0, 0, 0, 0]])] * 10 + [np.array([[0, 0, 1, 0, 0]])] * 10
    interaction = Interaction(ScriptedAgent(actions), world, {"it": metric})
    for _ in actions:
        interaction.step()
    report = metric.summary()
    assert report["action_class"] == 6
    assert report["blocked_share"] == pytest.approx(5 / 10), "1.25 m to go, 0.25 m a step"


def test_action_class_continues_identically_after_a_restore() -> None:
    script = did(FORWARD, TURN, STILL, STRAFE, FORWARD, FORWARD)
    first, second = watch(ActionClass(), script[:3]), ActionClass()
    restore_state(second, collect_state(first))
    assert watch(second, script[3:]).report() == watch(ActionClass(), script).report()
