"""Periodic evaluation of an agent while it learns."""

from __future__ import annotations

from typing import Any

from pamiq_exp.component import State
from pamiq_exp.every import Every
from pamiq_exp.interaction import Agent, Environment, EpisodePlayer, Interaction, StepObserver, Turn


class Evaluation(StepObserver):
    """Every so often, plays whole episodes with what the agent has learned, in an environment of its own.

    A second agent with the same published models plays; nothing that it does is learned from or counted elsewhere. All
    episodes are played within one turn, with the parameters of that turn, so the run's environment waits meanwhile: in
    realtime, evaluate checkpoints with `python -m pamiq_exp evaluate` instead. Reports `evaluation_return_mean` and
    `evaluation_length_mean` of the newest evaluation, and nothing in an environment without episodes.

    Args:
        environment: An instance that no agent uses, with other seeds than the run's.
        agent: Built like that of the run.
        every_steps: Environment steps of the run from one evaluation to the next; the first comes after as many.
        episodes: How many are played; see `EpisodePlayer.play`.
        greedy: See `Agent.greedy`.

    Raises:
        ValueError: For less than one step or episode.
    """

    def __init__(
        self,
        environment: Environment,
        agent: Agent[Any, Any],
        every_steps: int = 10_000,
        episodes: int = 10,
        greedy: bool = True,
    ) -> None:
        if every_steps < 1 or episodes < 1:
            raise ValueError("every_steps and episodes of an evaluation must be at least 1")
        agent.greedy = greedy
        self._player = EpisodePlayer(Interaction(agent, environment))
        self._episodes = episodes
        self._steps = 0
        self._due = Every(every_steps)
        self._metrics: dict[str, float] = {}
        self._is_attached = False

    def attach(self, agent: Agent[Any, Any]) -> None:
        """See the base class: the agent of the run shares its models."""
        self._player.interaction.agent.attach(agent.models, {})
        self._is_attached = True

    def on_step(self, turn: Turn) -> None:
        self._steps += len(turn.observation.reward)
        if not self._is_attached or not self._due.due(self._steps):
            return
        self._due.done(self._steps)
        if self._player.interaction.environment.has_episodes:
            played = self._player.play(self._episodes)
            self._metrics = {
                "evaluation_return_mean": float(played.returns.mean()),
                "evaluation_length_mean": float(played.lengths.mean()),
            }

    def report(self) -> dict[str, float]:
        return dict(self._metrics)

    def state(self) -> State:
        return {"steps": self._steps, "due": self._due.next, "metrics": dict(self._metrics)}

    def load_state(self, state: State) -> None:
        self._steps, self._due.next = int(state["steps"]), state["due"]
        self._metrics = {name: float(value) for name, value in state["metrics"].items()}
