"""What a run says about a process of a cluster that has ended."""

from __future__ import annotations

import pytest

from pamiq_exp.runtime.cluster.deaths import cause_of_death


class RayActorError(Exception):
    """Stands for Ray's own, which needs Ray."""


class ActorDiedError(RayActorError):
    pass


class OutOfMemoryError(Exception):
    """Stands for what Ray raises where its memory monitor has ended a process in the middle of a call."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ActorDiedError("The actor died unexpectedly. Worker exit type: SYSTEM_ERROR"), "was killed or crashed"),
        (ActorDiedError("The actor died because its node has died. Node Id: 1"), "its machine has left the cluster"),
        (ActorDiedError("killed due to the node running low on memory"), "more memory than its machine has"),
        (OutOfMemoryError("Task was killed\nRefer to the documentation"), "more memory than its machine has"),
        (
            ActorDiedError("raised in its creation task, ray::X()\nModuleNotFoundError: No module named 'pamiq_exp'"),
            "could not be started: ModuleNotFoundError: No module named 'pamiq_exp'; install pamiq_exp",
        ),
        (ValueError("a\nModuleNotFoundError: No module named 'mine'"), "'mine'; install your own packages on all"),
    ],
)
def test_cause_of_death_gives_the_cause_and_a_hint(error: Exception, words: str) -> None:
    text = cause_of_death("the learner", error)
    assert "the learner" in text
    assert words in text
    assert "\n" not in text
