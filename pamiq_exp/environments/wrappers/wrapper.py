"""Base class of wrappers of environments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pamiq_exp.interaction.environment import Array, Environment, Observation


class EnvironmentWrapper(Environment):
    """Forwards everything to another environment; subclasses override what they change.

    Args:
        environment: What is wrapped.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.observation_space, self.action_space = environment.observation_space, environment.action_space
        self.num_envs = environment.num_envs
        self.live, self.private, self.own_interval = environment.live, environment.private, environment.own_interval
        self.has_episodes, self.has_rewards = environment.has_episodes, environment.has_rewards
        self.free_running, self.noop_action = environment.free_running, environment.noop_action

    def observe(self) -> Observation:
        """See `Environment`."""
        seen = self.environment.observe()
        self.observed_at = self.environment.observed_at
        return seen

    def affect(self, action: Array) -> None:
        """See `Environment`."""
        self.environment.affect(action)
        self.age = self.environment.age

    def render(self) -> Array | None:
        """See `Environment`."""
        return self.environment.render()

    def ground_truth(self) -> Mapping[str, Array]:
        """See `Environment`."""
        return self.environment.ground_truth()

    def notes(self) -> list[str]:
        """See `Environment`."""
        return self.environment.notes()

    def report(self) -> dict[str, float]:
        """See `Environment`."""
        return self.environment.report()

    def summary(self) -> dict[str, float]:
        """See `Environment`."""
        return self.environment.summary()

    def place(self, poses: Array) -> bool:
        """See `Environment`."""
        return self.environment.place(poses)

    def stop_rendering(self) -> None:
        """See `Environment`."""
        self.environment.stop_rendering()

    def keyboard(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        """See `Environment`."""
        return self.environment.keyboard()
