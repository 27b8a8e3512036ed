from __future__ import annotations

import numpy as np

from pamiq_exp.metrics import FirstVisitAuroc
from tests.metrics.scripted import ScriptedAgent, watch
from tests.metrics.test_coverage import at


def score(rewards: list[float], columns: list[int], **keys: int) -> dict[str, float]:
    agent = ScriptedAgent(signals=[np.array([reward], dtype=np.float32) for reward in rewards])
    script = [at((column, 1)) for column in columns]
    return watch(FirstVisitAuroc(**keys), script, agent=agent).summary()


def test_first_visit_auroc_is_one_if_first_visits_have_the_highest_rewards() -> None:
    assert score([9, 8, 1, 2, 7, 1], [1, 2, 1, 2, 3, 3], window=6, min_visits=3) == {"first_visit_auroc": 1.0}


def test_first_visit_auroc_is_one_half_for_constant_rewards() -> None:
    assert score([1, 1, 1, 1], [1, 2, 1, 2], window=4, min_visits=2) == {"first_visit_auroc": 0.5}


def test_first_visit_auroc_matches_hand_computed_values() -> None:
    # first visits earn 4 and 1, returns 3 and 2: two of four pairs are in order
    assert score([4, 3, 1, 2], [1, 1, 2, 2], window=4, min_visits=2) == {"first_visit_auroc": 0.5}
    assert score([4, 3, 2.5, 2], [1, 1, 2, 2], window=4, min_visits=2) == {"first_visit_auroc": 0.75}


def test_first_visit_auroc_reports_nothing_with_too_few_first_visits() -> None:
    assert score([4, 3, 1, 2], [1, 1, 2, 2], window=4, min_visits=3) == {}


def test_first_visit_auroc_remembers_visits_of_earlier_windows() -> None:
    assert score([5, 1, 5, 1], [1, 2, 1, 2], window=2, min_visits=1) == {}
