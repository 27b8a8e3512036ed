"""An agent that follows a learned policy."""

from __future__ import annotations

import torch
from torch import Tensor

from pamiq_exp.agents.learning_agent import AgentInput, LearningAgent
from pamiq_exp.component import State
from pamiq_exp.interaction import Array, Observation
from pamiq_exp.models import ActionDistribution, RecurrentPolicyValue
from pamiq_exp.models.policies.networks import STATE_FIELD
from pamiq_exp.rewards import Reward, RunningMean
from pamiq_exp.seeding import torch_generator


class PolicyAgent(LearningAgent):
    """Samples its actions from a published policy. With a curious reward it is the curious agent.

    The memory of a recurrent policy lives here: what the policy returned at one step enters its next one,
    zeros at the start of an episode. Records hold, as `policy_state`, the memory before their observation.

    Args:
        seed: Of its own generator.
        reward: What it wants; None for the environment's own reward.
        encoder: Name of the model that encodes observations, if the reward or the policy needs latents.
        policy: Name of the model that acts: called with the percept's fields, it returns the distribution
            over actions and the value, `(num_envs,)`. A `RecurrentPolicyValue` is asked for one `step` instead.
    """

    def __init__(
        self, seed: int, reward: Reward | None = None, encoder: str | None = None, policy: str = "policy"
    ) -> None:
        super().__init__(reward, encoder)
        self._policy_name = policy
        self._generator = torch_generator(seed)
        self._entropy = RunningMean()
        self._memory: Tensor | None = None
        """The memory of a recurrent policy, that the next step begins with."""

    def step(self, observation: Observation) -> Array:
        """See `Agent.step`."""
        action = super().step(observation)
        if self._memory is not None and observation.ended.any():
            ended = torch.from_numpy(observation.ended).to(self._memory.device)
            self._memory = self._memory * ~ended[:, None, None]
        return action

    def act(self, agent_input: AgentInput) -> tuple[Tensor, dict[str, Array]]:
        """See the base class."""
        distribution, value, extras = self._judge_moment(agent_input)
        action = distribution.sample(self._generator)
        branch_log_prob = distribution.branch_log_prob(action)
        self._entropy.add(distribution.entropy().cpu().numpy())
        return action, extras | {
            "branch_log_prob": branch_log_prob.cpu().numpy(),
            "log_prob": branch_log_prob.sum(-1).cpu().numpy(),
            "value": value.cpu().numpy(),
        }

    def state(self) -> State:
        """See the base class; and the memory of the policy."""
        return super().state() | ({} if self._memory is None else {STATE_FIELD: self._memory.cpu()})

    def load_state(self, state: State) -> None:
        """See the base class; and the memory of the policy."""
        super().load_state(state)
        memory = state.get(STATE_FIELD)
        self._memory = None if memory is None else memory.to(self._models_device())

    def _judge_moment(self, agent_input: AgentInput) -> tuple[ActionDistribution, Tensor, dict[str, Array]]:
        """Ask the policy, with the memory that it returned at the step before."""
        port = self.model(self._policy_name)
        network = port.module
        if not isinstance(network, RecurrentPolicyValue):
            distribution, value = port(agent_input.fields)
            return distribution, value, {}
        before = self._memory
        if before is None:
            first = next(iter(agent_input.fields.values()))
            before = network.initial_state(len(first), first.device)
        distribution, value, self._memory = network.step(agent_input.fields, before)
        return distribution, value, {STATE_FIELD: before.cpu().numpy()}

    def report(self) -> dict[str, float]:
        """Figures of the base class, and the mean entropy of the policy in nats."""
        entropy = self._entropy.take()
        return super().report() | ({} if entropy is None else {"entropy": entropy})
