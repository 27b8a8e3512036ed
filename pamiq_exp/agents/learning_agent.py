"""What all agents of this room share: perceiving, judging what happened, and recording it."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pamiq_exp.agents.seen_ranges import SeenRanges
from pamiq_exp.component import State
from pamiq_exp.interaction import Agent, Array, CollectorPort, InferencePort, Observation
from pamiq_exp.models import Encoder
from pamiq_exp.rewards import Extrinsic, GroundTruth, Reward, RunningMean, Transition

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AgentInput:
    """What an agent knows of one moment.

    Attributes:
        fields: The `observation.*` fields, with an encoder `latent`, and what the reward tells the policy; each
            `(num_envs, *shape)`, on the device of the models.
        latent: The latent vector, if it means something yet.
        version: The publication it was seen with.
        sound: Environments whose observation was finite, `(num_envs,)`. In the others models see 0 for what is not.
    """

    fields: dict[str, Tensor]
    latent: Tensor | None
    version: int
    sound: NDArray[np.bool_]


@dataclass(slots=True)
class _Moment:
    """A moment whose outcome is not known yet: its percept, what was done, and the record so far."""

    agent_input: AgentInput
    action: Tensor
    ended: NDArray[np.bool_]
    record: dict[str, Array]


class LearningAgent(Agent[Observation, Array]):
    """Base class of agents that are rewarded for what they see and keep a record of it.

    The record of time t holds o_t, a_t and what the policy said of them, and the outcome of the transition
    t -> t+1: it is complete, and handed to the collectors, when o_{t+1} has come. Each buffer gets exactly
    the fields that it declares, of these:

    - `observation.<name>`: o_t as the environment showed it
    - `latent`: its latent vector; a buffer with this field gets nothing until the encoder is ready
    - `action`: a_t, canonical
    - `reward`: of the transition, as the agent's reward sees it, and `environment_reward`: as the world does
    - `terminated`, `truncated`: whether o_{t+1} is the last of its episode, and why; a reward that wants
      something else from o_{t+1} on counts as a termination
    - `ended`: o_t itself was the last of its episode, so the transition means nothing (its reward is 0)
    - `model_version`: the publication that chose a_t
    - what the agent adds: `log_prob`, `branch_log_prob` and `value` of a policy
    - what the reward adds: its `policy_inputs` and `fields`; a buffer with one of the latter gets nothing
      while the reward has nothing to say

    Observations that are not finite are recorded as they came, and the transitions into and out of them have the reward
    NaN, so that training stops at them or skips the batch, as `launcher.on_nonfinite` says. Models that act see 0 in
    their place, and what is remembered from turn to turn starts over. They and rewards that are not finite are counted.

    Args:
        reward: What the agent wants; None for the environment's own reward.
        encoder: Name of the model that encodes observations; None for no latents.
    """

    def __init__(self, reward: Reward | None = None, encoder: str | None = None) -> None:
        super().__init__()
        self.reward = reward or Extrinsic()
        self._encoder_name = encoder
        self._latent_is_recorded = False
        self._settled = True
        self._pending: _Moment | None = None
        self._device: torch.device | None = None
        self._recent_reward = RunningMean()
        self._total_reward = RunningMean()
        self._nonfinite = {"observations": 0, "rewards": 0}
        self._ranges = SeenRanges()

    def attach(self, models: Mapping[str, InferencePort], collectors: Mapping[str, CollectorPort]) -> None:
        """See `Agent.attach`.

        Raises KeyError for a model that the agent or its reward needs and that is not there, ValueError for a
        reward that needs latents where there is no encoder.
        """
        super().attach(models, collectors)
        self.reward.attach(models)
        if self.reward.needs_latents and self._encoder_name is None:
            raise ValueError(
                f"the reward {type(self.reward).__name__} compares latents: name the agent's encoder (encoder=...)"
            )
        self._latent_is_recorded = any("latent" in collector.fields for collector in collectors.values())
        if self._encoder_name is not None:
            self.model(self._encoder_name)

    def attach_oracle(self, ground_truth: GroundTruth) -> None:
        """See `Agent.attach_oracle`: the truth is for a reward that is an oracle, and for nothing else."""
        self.reward.attach_oracle(ground_truth)

    @abstractmethod
    def act(self, agent_input: AgentInput) -> tuple[Tensor, dict[str, Array]]:
        """Return the actions, `(num_envs, branches)`, and further fields of the record, each `(num_envs, ...)`."""

    @torch.no_grad()
    def step(self, observation: Observation) -> Array:
        """See `Agent.step`."""
        previous = self._pending
        agent_input, previous_latent = self._perceive(observation, previous)
        if previous is None:
            self.signals["reward"] = np.zeros(len(observation.reward), dtype=np.float32)
            self.signals["rewarded"] = np.zeros(len(observation.reward), dtype=np.bool_)
        else:
            reward = self._judge(observation, previous, previous_latent, agent_input)
            self._commit(observation, previous, reward)
        told = self.reward.policy_inputs(len(observation.reward), self._models_device())
        agent_input.fields.update(told)
        action, extras = self.act(agent_input)
        canonical: Array = action.cpu().numpy()
        self._pending = _Moment(
            agent_input, action, observation.ended, self._record(observation, agent_input, canonical, extras)
        )
        return canonical

    def report(self) -> dict[str, float]:
        """Mean reward and the figures of the reward's parts, since the last call."""
        reward = self._recent_reward.take()
        figures = {} if reward is None else {"reward": reward}
        return figures | self.reward.report()

    def summary(self) -> dict[str, float]:
        """Mean reward of the whole run, and how many observations and rewards were not finite, if any."""
        mean = self._total_reward.value
        figures = {} if mean is None else {"reward_mean": mean}
        return figures | {f"nonfinite_{name}": float(count) for name, count in self._nonfinite.items() if count}

    def state(self) -> State:
        """The moment whose outcome is not known yet."""
        pending = self._pending
        if pending is None:
            return {}
        return {
            "nonfinite": dict(self._nonfinite),
            "sound": pending.agent_input.sound,
            "record": dict(pending.record),
            "fields": {name: value.cpu() for name, value in pending.agent_input.fields.items()},
            "has_latent": pending.agent_input.latent is not None,
            "version": pending.agent_input.version,
            "action": pending.action.cpu(),
            "ended": pending.ended,
        }

    def load_state(self, state: State) -> None:
        """Restore the moment whose outcome is not known yet."""
        device = self._models_device()
        fields = {name: value.to(device) for name, value in state["fields"].items()}
        latent = fields["latent"] if state["has_latent"] else None
        agent_input = AgentInput(fields, latent, int(state["version"]), np.array(state["sound"], dtype=np.bool_))
        self._nonfinite = {name: int(count) for name, count in state["nonfinite"].items()}
        self._pending = _Moment(agent_input, state["action"].to(device), state["ended"], dict(state["record"]))

    def _perceive(self, observation: Observation, previous: _Moment | None) -> tuple[AgentInput, Tensor | None]:
        """Return what is seen now, and the latent of the previous moment in the same latent space."""
        device = self._models_device()
        values, sound = self._finite(observation)
        fields = {f"observation.{name}": torch.from_numpy(value).to(device) for name, value in values.items()}
        if self._encoder_name is None:
            return AgentInput(fields, None, self._version(), sound), None
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
            or encoder.settled
            or previous.agent_input.version == port.version
        ):
            latent = encoder.encode(fields)
        else:
            both = {name: torch.stack([previous.agent_input.fields[name], value]) for name, value in fields.items()}
            previous_latent, latent = encoder.encode(both).unbind()
        self._settled = encoder.settled
        fields["latent"] = latent
        return AgentInput(fields, latent if encoder.ready else None, port.version, sound), previous_latent

    def _finite(self, observation: Observation) -> tuple[dict[str, Array], NDArray[np.bool_]]:
        """Return the observation with 0 for what is not finite, and the environments in which everything was,
        `(num_envs,)`."""
        values = dict(observation.values)
        sound = np.ones(len(observation.reward), dtype=np.bool_)
        for name, value in values.items():
            if value.dtype.kind != "f" or np.isfinite(value).all():
                continue
            broken = np.logical_not(np.isfinite(value).reshape(len(sound), -1).all(axis=1))
            sound &= ~broken
            values[name] = np.nan_to_num(value, nan=0.0, posinf=0.0, neginf=0.0)
            self._count_nonfinite("observations", broken, f"showed a number that is not finite in '{name}'")
        return values, sound

    def _count_nonfinite(self, what: str, num_envs: NDArray[np.bool_], message: str) -> None:
        if not self._nonfinite[what]:
            logger.warning(
                "environment %d %s; the summary counts such %s (nonfinite_%s)", num_envs.argmax(), message, what, what
            )
        self._nonfinite[what] += int(num_envs.sum())

    def _judge(
        self, observation: Observation, previous: _Moment, previous_latent: Tensor | None, agent_input: AgentInput
    ) -> NDArray[np.float32]:
        known = previous_latent is not None and agent_input.latent is not None
        sound = agent_input.sound & previous.agent_input.sound
        valid = ~previous.ended & sound
        reward = self.reward(
            Transition(
                observation=agent_input.fields,
                latent=previous_latent if known else None,
                action=previous.action,
                next_latent=agent_input.latent if known else None,
                environment_reward=observation.reward,
                valid=valid,
                previous_observation=previous.agent_input.fields,
                latents_moved=not self._settled and agent_input.version != previous.agent_input.version,
            )
        )
        self._recent_reward.add(reward[valid])
        self._total_reward.add(reward[valid])
        finite = np.isfinite(reward)
        if not finite.all():
            self._count_nonfinite("rewards", ~finite, f"has the {self.reward.name} reward {reward[~finite][0]}")
        self.signals["rewarded"] = valid & finite & (known or not self.reward.needs_latents)
        self.signals["reward"] = np.where(finite, reward, np.float32(0))
        return reward if sound.all() else np.where(sound | previous.ended, reward, np.float32(np.nan))

    def _commit(self, observation: Observation, moment: _Moment, reward: NDArray[np.float32]) -> None:
        cuts = self.reward.cuts()
        record = moment.record | {
            "reward": reward,
            "environment_reward": observation.reward,
            "terminated": observation.terminated if cuts is None else observation.terminated | cuts,
            "truncated": observation.truncated,
        }
        record |= self.reward.fields()
        for collector in self._collectors.values():
            if any(field.startswith("observation.") for field in collector.fields):
                self._ranges.watch(record, collector.fields)
                break
        unknown = set(self.reward.recorded_fields) - record.keys()
        if moment.agent_input.latent is None:
            unknown.add("latent")
        for name, collector in self._collectors.items():
            if unknown and not unknown.isdisjoint(collector.fields):
                continue
            try:
                collector.collect({field: record[field] for field in collector.fields})
            except KeyError as error:
                raise KeyError(
                    f"the buffer '{name}' has the field {error}, which {type(self).__name__} does not record; "
                    f"it records: {', '.join(sorted(record))}"
                ) from None

    def _record(
        self, observation: Observation, agent_input: AgentInput, action: Array, extras: Mapping[str, Array]
    ) -> dict[str, Array]:
        record: dict[str, Array] = {f"observation.{name}": value for name, value in observation.values.items()}
        record["action"] = action
        record["ended"] = observation.ended
        record["model_version"] = np.full(len(action), agent_input.version, dtype=np.int64)
        if self._latent_is_recorded and "latent" in agent_input.fields:
            record["latent"] = agent_input.fields["latent"].cpu().numpy()
        for name in agent_input.fields.keys() - record.keys() - {"latent"}:
            record[name] = agent_input.fields[name].cpu().numpy()
        record.update(extras)
        return record

    def _version(self) -> int:
        port = next(iter(self._models.values()), None)
        return 0 if port is None else port.version

    def _models_device(self) -> torch.device:
        if self._device is None:
            tensors = (tensor for port in self._models.values() for tensor in port.module.state_dict().values())
            first = next(tensors, None)
            self._device = torch.device("cpu") if first is None else first.device
        return self._device
