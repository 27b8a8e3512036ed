"""DreamerV3 (Hafner et al. 2023): world model, policy and critic, all learned from replayed sequences."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.models.nn.field_decoder import FieldDecoder
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.layers import ActivationName, FieldsNetwork, mlp
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.models.nn.sequences import episode_starts, masked_mean, valid_transitions
from pamiq_exp.models.policies.networks import PolicyStep, RecurrentPolicy
from pamiq_exp.models.policies.ppo import weighted_mean
from pamiq_exp.models.world_models.behavior import (
    BehaviorSettings,
    ImaginationPolicy,
    ReturnRange,
    TwoHotNetwork,
    behavior_losses,
    training_generator,
    update_slow,
)
from pamiq_exp.models.world_models.imagination import Imagined, lambda_returns
from pamiq_exp.models.world_models.rssm import Observed, Rssm, balanced_kl
from pamiq_exp.spaces import ActionSpec, flatten_specs


class DreamerNetwork(RecurrentPolicy):
    """What DreamerV3 acts with: encoder, RSSM, policy and critic.

    Its memory in each environment is the state of the RSSM and the encoded last action. Inputs that are no images are
    normalized by their running mean and variance.

    Args:
        inputs: The input fields, named as in buffers: `{"observation": ${spaces.observation}}`, or
            `{"latent": {"shape": [128]}}` to model the latent vectors of an encoder such as I-JEPA.
        action: The action space.
        memory: Size of the deterministic memory.
        variables: Categorical variables.
        classes: Of each variable.
        hidden: Widths of the linear layers of encoder, heads, policy and critic; the first one also of the RSSM.
        channels: Widths of the convolutional layers, if an input is an image.
        uniform: Weight of the uniform distribution that is mixed into categorical variables and discrete actions.
        activation: Of all layers.
    """

    def __init__(
        self,
        inputs: Mapping[str, object],
        action: ActionSpec,
        memory: int = 512,
        variables: int = 32,
        classes: int = 32,
        hidden: Sequence[int] = (512,),
        channels: Sequence[int] = (16, 32, 64),
        uniform: float = 0.01,
        activation: ActivationName = "silu",
    ) -> None:
        super().__init__()
        self.fields = flatten_specs(inputs)
        self.hidden = tuple(hidden)
        self.channels = tuple(channels)
        self.activation: ActivationName = activation
        self.encoder = FieldsNetwork(self.fields, channels, hidden, activation, normalize=True)
        self.rssm = Rssm(self.encoder.width, action, memory, variables, classes, hidden[0], uniform)
        self.behavior = ImaginationPolicy(self.rssm.width, action, hidden, activation, uniform, layer_norm=True)

    def initial_state(self, num_envs: int, device: torch.device | str | None = None) -> Tensor:
        """See `RecurrentPolicy.initial_state`: zeros."""
        return torch.zeros(num_envs, 1, self.rssm.width + self.rssm.action.width, device=device)

    def step(self, fields: Batch, state: Tensor, generator: torch.Generator) -> PolicyStep:
        """See `RecurrentPolicy.step`."""
        before, action = state[:, 0, : self.rssm.width], state[:, 0, self.rssm.width :]
        memory = self.rssm.advance(before, action)
        now = self.rssm.sample(memory, self.rssm.posterior(memory, self.encoder(fields)), generator)
        distribution, value = self.behavior({"latent": now})
        return PolicyStep(distribution, value, torch.cat([now, torch.zeros_like(action)], -1).unsqueeze(1))

    def remember(self, state: Tensor, action: Tensor) -> Tensor:
        """See `RecurrentPolicy.remember`."""
        return torch.cat([state[..., : self.rssm.width], self.rssm.action(action).unsqueeze(1)], -1)


class Dreamer(LightningModule):
    """DreamerV3: an RSSM learns to predict what is observed, and policy and critic learn in its imagination.

    The loss of the world model is, for each step of a sequence, in nats,

        L = L_pred + beta_dyn max(free, KL(sg(q) | p)) + beta_rep max(free, KL(q | sg(p)))

    L_pred is the squared error of the decoded fields (as the encoder reads them), the cross-entropy of the two-hot
    reward and that of the continue flag. Policy and critic learn from trajectories imagined from each step. An
    imagined step is weighted by the product of gamma times the predicted continuation up to it. The critic also learns
    the lambda-returns of the replayed rewards, where each value is the imagined return from that step; this part
    trains the world model as well.

    Sequences have the fields of the network and `action`, `reward`, `terminated`, `ended`. The reward and the
    continuation that belong to the state at t are those of the transition from t - 1 to t.

    Source: Hafner et al. 2023, Mastering diverse domains through world models, equations 3 to 7; the critic's part on
    replayed rewards from the version of 2025. Differences are listed in docs/reference/fidelity.md.

    Args:
        network: The part that acts.
        horizon: Imagined steps.
        imagine_last: How many steps of each sequence, its last ones, policy and critic learn from; None: all. Their
            states rest on the steps before.
        gamma: Discount factor.
        return_lambda: See `lambda_returns`.
        entropy_coefficient: Weight of the entropy bonus.
        slow_weight: Weight of the critic's loss toward its moving average.
        replay_value_weight: Weight of the critic's loss on replayed rewards.
        critic_ema_decay: slow = ema_decay * slow + (1 - ema_decay) * critic after each batch.
        range_ema_decay: Of the range of returns; see `ReturnRange`.
        beta_dynamics: Weight of the divergence that trains the prior.
        beta_representation: Weight of the divergence that trains the posterior.
        free_nats: Divergences below are not reduced further.
        learning_rate: Of Adam, for the world model.
        behavior_learning_rate: Of Adam, for policy and critic.

    Raises:
        ValueError: For a horizon below 1, or fewer than 2 steps to imagine from.
    """

    def __init__(
        self,
        network: DreamerNetwork,
        horizon: int = 15,
        imagine_last: int | None = None,
        gamma: float = 1 - 1 / 333,
        return_lambda: float = 0.95,
        entropy_coefficient: float = 3e-4,
        slow_weight: float = 1.0,
        replay_value_weight: float = 0.3,
        critic_ema_decay: float = 0.98,
        range_ema_decay: float = 0.99,
        beta_dynamics: float = 1.0,
        beta_representation: float = 0.1,
        free_nats: float = 1.0,
        learning_rate: float = 1e-4,
        behavior_learning_rate: float = 3e-5,
    ) -> None:
        super().__init__()
        if horizon < 1:
            raise ValueError(f"the horizon must be at least 1 step, not {horizon}")
        if imagine_last is not None and imagine_last < 2:
            raise ValueError(f"imagine_last must be at least 2 steps, or null for all, not {imagine_last}")
        self.network = network
        width = network.rssm.width
        self.decoder = FieldDecoder(
            width, network.fields, network.channels, network.hidden, network.activation, layer_norm=True
        )
        head = network.hidden[:1]
        self.reward = TwoHotNetwork(width, head, network.activation, layer_norm=True)
        self.continuation = nn.Sequential(*mlp(width, head, network.activation, layer_norm=True), nn.Linear(head[0], 1))
        self.slow_critic = copy.deepcopy(network.behavior.critic).requires_grad_(False)
        self.range = ReturnRange(range_ema_decay)
        self.horizon = int(horizon)
        self.imagine_last = imagine_last
        self.settings = BehaviorSettings(
            float(gamma), float(return_lambda), float(entropy_coefficient), float(slow_weight)
        )
        self.replay_value_weight = float(replay_value_weight)
        self.critic_ema_decay = float(critic_ema_decay)
        self.beta_dynamics = float(beta_dynamics)
        self.beta_representation = float(beta_representation)
        self.free_nats = float(free_nats)
        self.learning_rate = float(learning_rate)
        self.behavior_learning_rate = float(behavior_learning_rate)

    def inference_module(self) -> DreamerNetwork:
        """Acting needs neither decoder nor reward head."""
        return self.network

    def observe(self, batch: Batch) -> Observed:
        """Return the states along replayed sequences; see `Rssm.observe`.

        Raises:
            ValueError: For single transitions instead of sequences.
        """
        ended = batch["ended"]
        if ended.ndim != 2 or ended.shape[1] < 2:
            raise ValueError("a world model learns from sequences, (batch, time): set sequence_length of its trainer")
        embedded = self.network.encoder(batch)
        generator = training_generator(embedded.device)
        return self.network.rssm.observe(embedded, batch["action"], episode_starts(ended), generator)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Losses of world model, policy and critic on replayed sequences, each field `(batch, time, *shape)`."""
        encoder = self.network.encoder
        encoder.count_inputs(batch)
        encoder.refresh_inputs()
        observed = self.observe(batch)
        model_loss, metrics = self._model_loss(observed, batch)
        first = 0 if self.imagine_last is None else max(0, observed.state.shape[1] - self.imagine_last)
        state, continues = observed.state[:, first:], _continues(batch)[:, first:]
        imagined, weight = self._imagine(state.detach().flatten(0, 1), continues.flatten())
        losses = behavior_losses(self.network.behavior, self.slow_critic, self.range, imagined, weight, self.settings)
        last = {name: batch[name][:, first:] for name in ("reward", "terminated", "ended")}
        replayed = self._replay_value_loss(state, last, losses.start_return)
        loss = model_loss + losses.total + self.replay_value_weight * replayed
        metrics |= {"loss": loss, **losses.metrics(), "replay_value_loss": replayed, "return_range": self.range.width}
        self.log_dict({**metrics, "imagined_reward": weighted_mean(imagined.reward, weight)})
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The loss of the world model on held-out sequences."""
        return self._model_loss(self.observe(batch), batch)[0]

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_index: int) -> None:
        """Update the slow critic."""
        update_slow(self.slow_critic, self.network.behavior.critic, self.critic_ema_decay)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam; policy and critic have a learning rate of their own."""
        behavior = list(self.network.behavior.parameters())
        known = {id(parameter) for parameter in (*behavior, *self.slow_critic.parameters())}
        model = [parameter for parameter in self.parameters() if id(parameter) not in known]
        groups: list[dict[str, Any]] = [{"params": model}, {"params": behavior, "lr": self.behavior_learning_rate}]
        return torch.optim.Adam(groups, lr=self.learning_rate)

    def _model_loss(self, observed: Observed, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        state = observed.state
        reward, known = _arriving_rewards(batch)
        logit = to_float32(self.continuation(state).squeeze(-1))
        parts = {
            "reconstruction_loss": self.decoder.loss(state.flatten(0, 1), self.network.encoder.scaled(batch)).mean(),
            "reward_loss": masked_mean(self.reward.loss(state, reward), known),
            "continuation_loss": masked_mean(
                nn.functional.binary_cross_entropy_with_logits(logit, _continues(batch), reduction="none"), known
            ),
        }
        dynamics, representation = (divergence.mean() for divergence in balanced_kl(observed, self.free_nats))
        loss = sum(parts.values(), start=state.new_zeros(()))
        loss = loss + self.beta_dynamics * dynamics + self.beta_representation * representation
        return loss, parts | {"model_loss": loss, "divergence": dynamics}

    def _replay_value_loss(self, state: Tensor, batch: Batch, start_return: Tensor) -> Tensor:
        """The critic's loss on the lambda-returns of replayed rewards, from states `(batch, time, width)`."""
        within = valid_transitions(batch["ended"])
        critic = self.network.behavior.critic
        with torch.no_grad():
            returns = replayed_returns(
                batch, start_return.view(within.shape[0], -1), self.settings.gamma, self.settings.return_lambda
            )
            slow_value = self.slow_critic(state[:, :-1])
        loss = critic.loss(state[:, :-1], returns)
        loss = loss + self.settings.slow_weight * critic.loss(state[:, :-1], slow_value)
        return masked_mean(loss, within)

    def _imagine(self, start: Tensor, continues: Tensor) -> tuple[Imagined, Tensor]:
        """Imagine from states `(N, width)`; return it with the weight of each step, `(H, N)`."""
        rssm = self.network.rssm
        generator = training_generator(start.device)
        states, actions = rssm.imagine(start, self.network.behavior.act, self.horizon, generator)
        with torch.no_grad():
            reward = self.reward(states[1:])
            continuation = to_float32(self.continuation(states[1:]).squeeze(-1)).sigmoid()
        discounts = self.settings.gamma * torch.cat([continues[None], continuation[:-1]])
        return Imagined(states, actions, reward, continuation), discounts.cumprod(0) / self.settings.gamma


def replayed_returns(batch: Batch, value: Tensor, gamma: float, return_lambda: float) -> Tensor:
    """Lambda-returns of replayed sequences: `(batch, time - 1)`, without a meaning at the last step of an episode.

    Args:
        batch: `reward`, `terminated`, `ended`, each `(batch, time)`.
        value: Of each step, `(batch, time)`. It ends the return of an episode that was cut, and of the sequence.
        gamma: Discount factor.
        return_lambda: See `lambda_returns`.

    Source: Hafner et al. 2025, Mastering diverse control tasks through world models, section "Critic learning".
    """
    reward, _ = _arriving_rewards(batch)
    goes_on = to_float32(~batch["ended"][:, 1:])
    each = lambda_returns(reward[:, 1:].T, _continues(batch)[:, 1:].T, value.T, gamma, return_lambda * goes_on.T)
    return each.T


def _arriving_rewards(batch: Batch) -> tuple[Tensor, Tensor]:
    """The reward that came with each observation, and whether it is known, both `(batch, time)`.

    It is 0 at the first observation of an episode, and unknown at the first of a sequence.
    """
    reward = nn.functional.pad(to_float32(batch["reward"][:, :-1]), (1, 0))
    reward = reward.masked_fill(episode_starts(batch["ended"]), 0.0)
    known = torch.ones_like(reward)
    known[:, 0] = 0
    return reward, known


def _continues(batch: Batch) -> Tensor:
    """1, or 0 where the observation is the last of a terminated episode, `(batch, time)`.

    For the first of a sequence it is not known how its episode ended: 0 wherever it did.
    """
    over = nn.functional.pad(batch["terminated"][:, :-1], (1, 0), value=True) & batch["ended"]
    return to_float32(~over)
