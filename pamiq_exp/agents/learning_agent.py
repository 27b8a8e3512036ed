"""Base class of agents that compute rewards and collect transitions for training."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pamiq_exp.agents.seen_ranges import SeenRanges
from pamiq_exp.component import State
from pamiq_exp.interaction import Agent, Array, CollectorPort, Environment, InferencePort, Observation
from pamiq_exp.rewards import Extrinsic, GroundTruth, Reward, RewardStreams, RunningMean, Transition
from pamiq_exp.spaces import ACTION_MASK

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AgentInput:
    """Input of an agent's decision at one step.

    Attributes:
        fields: The `observation.*` fields, with an encoder `latent`, and the policy inputs of the reward; each
            `(num_envs, *shape)`, on the device of the models.
        latent: The latent vector; None without an encoder, or before it is warmed up.
        version: The model version that encoded it.
        finite: Environments whose observation is finite, `(num_envs,)`. In the others, `fields` have 0 for numbers
            that are not.
        mask: The part `action_mask` of the observation, `(num_envs, choices of all branches)`; None without one.
    """

    fields: dict[str, Tensor]
    latent: Tensor | None
    version: int
    finite: NDArray[np.bool_]
    mask: Array | None = None


@dataclass(slots=True)
class PendingStep:
    """A step whose next observation has not come yet.

    Attributes:
        agent_input: Input of the decision.
        action: a_t, canonical, `(num_envs, branches)`.
        ended: Whether o_t was the last of its episode, `(num_envs,)`.
        transition: The fields of the transition so far.
    """

    agent_input: AgentInput
    action: Tensor
    ended: NDArray[np.bool_]
    transition: dict[str, Array]


class LearningAgent(Agent[Observation, Array]):
    """Base class of agents that compute a reward for each transition and collect transitions for training.

    The transition of time t is complete, and given to the collectors, when o_{t+1} has come. Each buffer gets exactly
    the fields that it declares, of these:

    - `observation.<name>`: o_t, unchanged
    - `latent`: its latent vector; a buffer with this field gets nothing until the encoder is warmed up
    - `action`: a_t, canonical
    - `reward`: the agent's reward of the transition, with `streams` together with that of the environment, and
      `environment_reward`: that of the environment
    - `terminated`, `truncated`: whether o_{t+1} is the last of its episode, and why; a change of the reward's goal at
      o_{t+1} counts as a termination
    - `ended`: o_t itself was the last of its episode, so the transition is not valid (its reward is 0)
    - `model_version`: the model version that chose a_t
    - fields of the agent: `log_prob`, `branch_log_prob` and `value` of a policy
    - fields of the reward: its `policy_inputs` and `fields`; a buffer with one of the latter gets nothing while there
      is no reward

    Observations that are not finite are stored unchanged, and the transitions into and out of them have the reward NaN,
    so that training stops at them or skips the batch, as `launcher.on_nonfinite` says. Acting models get 0 instead, and
    memory that is kept from turn to turn is cleared. They and rewards that are not finite are counted.

    Args:
        reward: The reward; None for that of the environment.
        encoder: Name of the encoder; None for no latent vectors.
        streams: How the reward is combined with that of the environment; None for the reward alone.
    """

    def __init__(
        self, reward: Reward | None = None, encoder: str | None = None, streams: RewardStreams | None = None
    ) -> None:
        super().__init__()
        if streams is not None and (reward is None or isinstance(reward, Extrinsic)):
            raise ValueError(
                "reward_streams combines a reward of the agent's own with that of the environment, and this agent has "
                "none of its own: choose another reward (reward=rnd), or leave reward_streams out"
            )
        self.reward = reward or Extrinsic()
        self.streams = streams
        self._encoder_name = encoder
        self._collects_latents = False
        self._encoder_is_frozen = True
        self._pending: PendingStep | None = None
        self._device: torch.device | None = None
        self._recent_reward = RunningMean()
        self._total_reward = RunningMean()
        self._nonfinite = {"observations": 0, "rewards": 0}
        self._ranges = SeenRanges()

    def attach(self, models: Mapping[str, InferencePort], collectors: Mapping[str, CollectorPort]) -> None:
        """See `Agent.attach`.

        Raises KeyError for a missing model of the agent or its reward, ValueError for a reward that needs latent
        vectors without an encoder.
        """
        super().attach(models, collectors)
        self.reward.attach(models)
        if self.reward.needs_latents and self._encoder_name is None:
            raise ValueError(
                f"the reward {type(self.reward).__name__} needs latent vectors: give the agent an encoder (encoder=...)"
            )
        self._collects_latents = any("latent" in collector.fields for collector in collectors.values())
        if self._encoder_name is not None:
            self.model(self._encoder_name)

    def check_environment(self, environment: Environment) -> None:
        """See `Agent.check_environment`: streams need an environment with rewards, and separate ones its episodes."""
        if self.streams is None:
            return
        if not environment.has_rewards:
            raise ValueError(
                f"reward_streams adds the reward of the environment, and {type(environment).__name__} pays none: leave "
                "reward_streams out, or choose another environment"
            )
        if self.streams.separate and not environment.has_episodes:
            raise ValueError(
                f"two reward streams differ in that only the extrinsic return ends with the episode, and "
                f"{type(environment).__name__} has no episodes: choose reward_streams=single"
            )

    def attach_oracle(self, ground_truth: GroundTruth) -> None:
        """See `Agent.attach_oracle`: only a reward that is an oracle gets the ground truth."""
        self.reward.attach_oracle(ground_truth)

    @abstractmethod
    def act(self, agent_input: AgentInput) -> tuple[Tensor, dict[str, Array]]:
        """Return the actions, `(num_envs, branches)`, and further fields of the transition, each `(num_envs, ...)`."""

    @torch.no_grad()
    def step(self, observation: Observation) -> Array:
        """See `Agent.step`."""
        previous = self._pending
        agent_input, previous_latent = self._encode(observation, previous)
        if previous is None:
            self.signals["reward"] = np.zeros(len(observation.reward), dtype=np.float32)
            self.signals["rewarded"] = np.zeros(len(observation.reward), dtype=np.bool_)
        else:
            reward = self._compute_reward(observation, previous, previous_latent, agent_input)
            self._collect(observation, previous, reward)
        agent_input.fields.update(self.reward.policy_inputs(len(observation.reward), self._models_device()))
        action, extras = self.act(agent_input)
        canonical: Array = action.cpu().numpy()
        transition = self._begin_transition(observation, agent_input, canonical, extras)
        self._pending = PendingStep(agent_input, action, observation.ended, transition)
        return canonical

    def report(self) -> dict[str, float]:
        """Mean reward and the metrics of the reward's parts, since the last call."""
        reward = self._recent_reward.take()
        metrics = {} if reward is None else {"reward": reward}
        return metrics | self.reward.report() | ({} if self.streams is None else self.streams.report())

    def summary(self) -> dict[str, float]:
        """Mean reward of the whole run, and how many observations and rewards were not finite, if any."""
        mean = self._total_reward.value
        metrics = {} if mean is None else {"reward_mean": mean}
        return metrics | {f"nonfinite_{name}": float(count) for name, count in self._nonfinite.items() if count}

    def state(self) -> State:
        """The pending step."""
        pending = self._pending
        if pending is None:
            return {}
        return {
            "nonfinite": dict(self._nonfinite),
            "finite": pending.agent_input.finite,
            "transition": dict(pending.transition),
            "fields": {name: value.cpu() for name, value in pending.agent_input.fields.items()},
            "has_latent": pending.agent_input.latent is not None,
            "version": pending.agent_input.version,
            "action": pending.action.cpu(),
            "ended": pending.ended,
        }

    def load_state(self, state: State) -> None:
        """Restore the pending step."""
        device = self._models_device()
        fields = {name: value.to(device) for name, value in state["fields"].items()}
        latent = fields["latent"] if state["has_latent"] else None
        agent_input = AgentInput(fields, latent, int(state["version"]), np.array(state["finite"], dtype=np.bool_))
        self._nonfinite = {name: int(count) for name, count in state["nonfinite"].items()}
        self._pending = PendingStep(agent_input, state["action"].to(device), state["ended"], dict(state["transition"]))

    def _encode(self, observation: Observation, previous: PendingStep | None) -> tuple[AgentInput, Tensor | None]:
        """Return the agent's input, and the latent vector of the previous step in the same latent space."""
        device = self._models_device()
        values, finite = self._replace_nonfinite(observation)
        fields = {f"observation.{name}": torch.from_numpy(value).to(device) for name, value in values.items()}
        if self._encoder_name is None:
            return AgentInput(fields, None, self._version(), finite, values.get(ACTION_MASK)), None
        from pamiq_exp.models import Encoder  # with all models; agents without an encoder need none

        port = self.model(self._encoder_name)
        encoder = port.module
        if not isinstance(encoder, Encoder):
            raise TypeError(
                f"the model '{self._encoder_name}' is a {type(encoder).__name__} at inference; "
                "derive an encoder from pamiq_exp.models.Encoder"
            )
        previous_latent = None if previous is None else previous.agent_input.latent
        if (
            previous is None
            or previous_latent is None
            or encoder.frozen
            or previous.agent_input.version == port.version
        ):
            latent = encoder.encode(fields)
        else:
            both = {name: torch.stack([previous.agent_input.fields[name], value]) for name, value in fields.items()}
            previous_latent, latent = encoder.encode(both).unbind()
        self._encoder_is_frozen = encoder.frozen
        fields["latent"] = latent
        known = latent if encoder.warmed_up else None
        return AgentInput(fields, known, port.version, finite, values.get(ACTION_MASK)), previous_latent

    def _replace_nonfinite(self, observation: Observation) -> tuple[dict[str, Array], NDArray[np.bool_]]:
        """Return the observation with 0 for numbers that are not finite, and where all were, `(num_envs,)`."""
        values = dict(observation.values)
        finite = np.ones(len(observation.reward), dtype=np.bool_)
        for name, value in values.items():
            if value.dtype.kind != "f" or np.isfinite(value).all():
                continue
            nonfinite = np.logical_not(np.isfinite(value).reshape(len(finite), -1).all(axis=1))
            finite &= ~nonfinite
            values[name] = np.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0)
            self._count_nonfinite("observations", nonfinite, f"has a number that is not finite in '{name}'")
        return values, finite

    def _count_nonfinite(self, kind: str, envs: NDArray[np.bool_], message: str) -> None:
        if not self._nonfinite[kind]:
            logger.warning(
                "environment %d %s; the summary counts such %s (nonfinite_%s)", envs.argmax(), message, kind, kind
            )
        self._nonfinite[kind] += int(envs.sum())

    def _compute_reward(
        self, observation: Observation, previous: PendingStep, previous_latent: Tensor | None, agent_input: AgentInput
    ) -> NDArray[np.float32]:
        known = previous_latent is not None and agent_input.latent is not None
        both_finite = agent_input.finite & previous.agent_input.finite
        valid = ~previous.ended & both_finite
        own = self.reward(
            Transition(
                observation=agent_input.fields,
                latent=previous_latent if known else None,
                action=previous.action,
                next_latent=agent_input.latent if known else None,
                environment_reward=observation.reward,
                valid=valid,
                previous_observation=previous.agent_input.fields,
                encoder_changed=not self._encoder_is_frozen and agent_input.version != previous.agent_input.version,
            )
        )
        streams = self.streams
        reward = own if streams is None else streams.combine(observation.reward, own, valid)
        finite = np.isfinite(reward)
        rewarded = finite & (self.reward.rewarded if streams is None else valid)
        self._recent_reward.add(reward[rewarded])
        self._total_reward.add(reward[rewarded])
        if not finite.all():
            self._count_nonfinite("rewards", ~finite, f"has the {self.reward.name} reward {reward[~finite][0]}")
        self.signals["rewarded"] = rewarded
        self.signals["reward"] = np.where(finite, reward, np.float32(0))
        if streams is not None and streams.separate:
            reward = streams.stack(observation.reward, own, valid)
        unknown = ~(both_finite | previous.ended)
        if unknown.any():
            reward = reward.copy()
            reward[unknown] = np.nan
        return reward

    def _collect(self, observation: Observation, pending: PendingStep, reward: NDArray[np.float32]) -> None:
        """Complete the transition of the previous step, and give its fields to the collectors."""
        cuts = self.reward.cuts()
        if cuts is not None and self.streams is not None and self.streams.separate:
            raise ValueError(
                f"the reward {type(self.reward).__name__} ends its return where its goal changes, so it has no return "
                "across episodes for a stream of its own: choose reward_streams=single"
            )
        transition = pending.transition | {
            "reward": reward,
            "environment_reward": observation.reward,
            "terminated": observation.terminated if cuts is None else observation.terminated | cuts,
            "truncated": observation.truncated,
        }
        transition |= self.reward.fields()
        for collector in self._collectors.values():
            if any(field.startswith("observation.") for field in collector.fields):
                self._ranges.update(transition, collector.fields)
                break
        unknown = set(self.reward.recorded_fields) - transition.keys()
        if pending.agent_input.latent is None:
            unknown.add("latent")
        for name, collector in self._collectors.items():
            if unknown and not unknown.isdisjoint(collector.fields):
                continue
            try:
                collector.collect({field: transition[field] for field in collector.fields})
            except KeyError as error:
                raise KeyError(
                    f"the buffer '{name}' has the field {error}, which {type(self).__name__} does not collect; "
                    f"it collects: {', '.join(sorted(transition))}"
                ) from None

    def _begin_transition(
        self, observation: Observation, agent_input: AgentInput, action: Array, extras: Mapping[str, Array]
    ) -> dict[str, Array]:
        transition: dict[str, Array] = {f"observation.{name}": value for name, value in observation.values.items()}
        transition["action"] = action
        transition["ended"] = observation.ended
        transition["model_version"] = np.full(len(action), agent_input.version, dtype=np.int64)
        if self._collects_latents and "latent" in agent_input.fields:
            transition["latent"] = agent_input.fields["latent"].cpu().numpy()
        for name in agent_input.fields.keys() - transition.keys() - {"latent"}:
            transition[name] = agent_input.fields[name].cpu().numpy()
        transition.update(extras)
        return transition

    def _version(self) -> int:
        port = next(iter(self._models.values()), None)
        return 0 if port is None else port.version

    def _models_device(self) -> torch.device:
        if self._device is None:
            modules = (port.module for port in self._models.values())
            networks = (each for each in modules if isinstance(each, nn.Module))
            tensors = (tensor for each in networks for tensor in each.state_dict().values())
            first = next(tensors, None)
            self._device = torch.device("cpu") if first is None else first.device
        return self._device
