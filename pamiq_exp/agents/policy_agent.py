"""Agent that acts by a learned policy."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pamiq_exp.agents.exploration import Exploration
from pamiq_exp.agents.learning_agent import AgentInput, LearningAgent
from pamiq_exp.component import State
from pamiq_exp.interaction import Array, CollectorPort, InferencePort, Observation
from pamiq_exp.models import ActionDistribution
from pamiq_exp.models.policies.networks import STATE_FIELD, RecurrentPolicy
from pamiq_exp.rewards import Reward, RewardStreams, RunningMean
from pamiq_exp.seeding import torch_generator
from pamiq_exp.spaces import ACTION_MASK

_LOG_PROBS = ("log_prob", "branch_log_prob")


class PolicyAgent(LearningAgent):
    """Samples actions from a published policy; takes the most likely ones while `greedy`.

    The agent keeps the memory of a recurrent policy between steps, and resets it to zeros at the start of an episode.
    Transitions have the memory before their observation as the field `policy_state`.

    Args:
        seed: Of its own generator.
        reward: The reward; None for that of the environment.
        encoder: Name of the encoder, if the reward or the policy needs latent vectors.
        policy: Name of the policy: called with the fields of `AgentInput`, it returns the distribution over actions
            and the value, `(num_envs,)` or, of separate streams, `(num_envs, 2)`, or None for the latter. Of a
            `RecurrentPolicy`, `step` is called instead.
        exploration: Replaces some actions by random ones; None acts by the policy alone.
        streams: See `LearningAgent`.
    """

    def __init__(
        self,
        seed: int,
        reward: Reward | None = None,
        encoder: str | None = None,
        policy: str = "policy",
        exploration: Exploration | None = None,
        streams: RewardStreams | None = None,
    ) -> None:
        super().__init__(reward, encoder, streams)
        self._policy_name = policy
        self._exploration = exploration
        self._collects_log_probs = False
        self._generator = torch_generator(seed)
        self._entropy = RunningMean()
        self._memory: Tensor | None = None
        """The memory of a recurrent policy before the next step."""

    def attach(self, models: Mapping[str, InferencePort], collectors: Mapping[str, CollectorPort]) -> None:
        """See `LearningAgent.attach`."""
        super().attach(models, collectors)
        self._collects_log_probs = any(
            not collector.fields.keys().isdisjoint(_LOG_PROBS) for collector in collectors.values()
        )

    def step(self, observation: Observation) -> Array:
        """See `Agent.step`."""
        action = super().step(observation)
        if self._memory is not None and observation.ended.any():
            ended = torch.from_numpy(observation.ended).to(self._memory.device)
            self._memory = self._memory * ~ended[:, None, None]
        return action

    def act(self, agent_input: AgentInput) -> tuple[Tensor, dict[str, Array]]:
        """See the base class."""
        distribution, value, extras = self._policy_step(agent_input)
        action = distribution.mode() if self.greedy else distribution.sample(self._generator)
        if self._exploration is not None and not self.greedy:
            action = self._exploration.replace(action, self._exploration.choose(), agent_input.mask)
        network = self.model(self._policy_name).module
        if self._memory is not None and isinstance(network, RecurrentPolicy):
            self._memory = network.remember(self._memory, action)
        self._entropy.add(distribution.entropy().cpu().numpy())
        if value is not None:
            extras["value"] = value.cpu().numpy()
        if self._collects_log_probs:
            branch_log_prob = distribution.branch_log_prob(action)
            extras["branch_log_prob"] = branch_log_prob.cpu().numpy()
            extras["log_prob"] = branch_log_prob.sum(-1).cpu().numpy()
        return action, extras

    def state(self) -> State:
        """The state of the base class and the memory of the policy."""
        return super().state() | ({} if self._memory is None else {STATE_FIELD: self._memory.cpu()})

    def load_state(self, state: State) -> None:
        """Restore them."""
        super().load_state(state)
        memory = state.get(STATE_FIELD)
        self._memory = None if memory is None else memory.to(self._models_device())

    def _policy_step(self, agent_input: AgentInput) -> tuple[ActionDistribution, Tensor | None, dict[str, Array]]:
        """Run the policy; return distribution, value, and further fields of the transition."""
        port = self.model(self._policy_name)
        network = port.module
        if agent_input.mask is not None and getattr(network, "mask", None) is None:
            raise ValueError(
                f"the policy {type(network).__name__} reads no '{ACTION_MASK}', and this environment shows one: choose "
                "policy=ppo, ppo_recurrent, dqn or sac with policy_input=observation, or remove the mask from the "
                "observation"
            )
        if not isinstance(network, RecurrentPolicy):
            distribution, value = port(agent_input.fields)
            return distribution, value, {}
        before = self._memory
        if before is None:
            first = next(iter(agent_input.fields.values()))
            before = network.initial_state(len(first), first.device)
        distribution, value, self._memory = network.step(agent_input.fields, before, self._generator)
        return distribution, value, {STATE_FIELD: before.cpu().numpy()}

    def report(self) -> dict[str, float]:
        """Metrics of the base class, and the mean entropy of the policy in nats."""
        entropy = self._entropy.take()
        return super().report() | ({} if entropy is None else {"entropy": entropy})
