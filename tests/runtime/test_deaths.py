"""Messages about a process of a cluster that has ended."""

from __future__ import annotations

from pamiq_exp.runtime.cluster.deaths import cause_of_death


class RayActorError(Exception):
    """In place of Ray's own class, which needs Ray."""


class ActorDiedError(RayActorError):
    pass


class OutOfMemoryError(Exception):
    """In place of the error of Ray after its memory monitor has ended a process in a call."""


def test_cause_of_death_gives_the_cause_and_a_hint() -> None:
    cases: list[tuple[Exception, str]] = [
        (ActorDiedError("The actor died unexpectedly. Worker exit type: SYSTEM_ERROR"), "was killed or crashed"),
        (ActorDiedError("The actor died because its node has died. Node Id: 1"), "its machine has left the cluster"),
        (ActorDiedError("killed due to the node running low on memory"), "more memory than its machine has"),
        (OutOfMemoryError("Task was killed\nRefer to the documentation"), "more memory than its machine has"),
        (
            ActorDiedError("raised in its creation task, ray::X()\nModuleNotFoundError: No module named 'pamiq_exp'"),
            "could not be started: ModuleNotFoundError: No module named 'pamiq_exp'; install pamiq_exp",
        ),
        (ValueError("a\nModuleNotFoundError: No module named 'mine'"), "'mine'; install your own packages on all"),
    ]
    for error, words in cases:
        text = cause_of_death("the learner", error)
        assert "the learner" in text, error
        assert words in text
        assert "\n" not in text
