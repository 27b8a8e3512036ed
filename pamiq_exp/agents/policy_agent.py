"""An agent that follows a learned policy."""

from __future__ import annotations

from torch import Tensor

from pamiq_exp.agents.recording_agent import Percept, RecordingAgent
from pamiq_exp.interaction import Array
from pamiq_exp.rewards import Reward, RunningMean
from pamiq_exp.seeding import torch_generator


class PolicyAgent(RecordingAgent):
    """Samples its actions from a published policy. With a curious reward it is the curious agent.

    Args:
        seed: Of its own generator.
        reward: What it wants; None for the environment's own reward.
        encoder: Name of the model that encodes observations, if the reward or the policy needs latents.
        policy: Name of the model that acts: called with the percept's fields, it returns the distribution
            over actions and the value, `(lanes,)`.
    """

    def __init__(
        self, seed: int, reward: Reward | None = None, encoder: str | None = None, policy: str = "policy"
    ) -> None:
        super().__init__(reward, encoder)
        self._policy_name = policy
        self._generator = torch_generator(seed)
        self._entropy = RunningMean()

    def act(self, percept: Percept) -> tuple[Tensor, dict[str, Array]]:
        """See the base class."""
        distribution, value = self.model(self._policy_name)(percept.fields)
        action = distribution.sample(self._generator)
        branch_log_prob = distribution.branch_log_prob(action)
        self._entropy.add(distribution.entropy().cpu().numpy())
        return action, {
            "branch_log_prob": branch_log_prob.cpu().numpy(),
            "log_prob": branch_log_prob.sum(-1).cpu().numpy(),
            "value": value.cpu().numpy(),
        }

    def report(self) -> dict[str, float]:
        """Figures of the base class, and the mean entropy of the policy in nats."""
        entropy = self._entropy.take()
        return super().report() | ({} if entropy is None else {"entropy": entropy})
