"""Hierarchical curiosity on several time scales (P-AMI<Q> 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pamiq_exp.component import State
from pamiq_exp.models.dynamics.latent_model import NetworkModel
from pamiq_exp.models.nn.action_distributions import ActionEncoding
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.models.nn.sequences import masked_mean, valid_transitions
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition
from pamiq_exp.spaces import ActionSpec


class Hierarchical(Reward):
    """r_l = rho c_l e_l + (1 - rho) r_{l+1}, from r = c e of the top layer down to the lowest, which is the reward.

    e_l is the error of layer l of a hierarchy of forward models at the end of one of its steps, every ratio^l turns;
    in other turns it is 0. The errors of each layer are scaled by their own normalizer. One policy acts on the sum.

    Source: the hierarchical reward of P-AMI<Q> (2024), there with a policy for each layer.

    Args:
        num_envs: Number of reward streams.
        layers: Number of layers: `${models.hierarchy.network.layers}`.
        normalizer: How the blended reward is scaled.
        layer_normalizers: How the errors of each layer are scaled; None leaves them unscaled.
        scheme: The c_l; see `level_coefficients`.
        own_share: rho.
        model: Name of the `TimeHierarchyModel`.
    """

    name = "hierarchical"
    needs_latents = True

    def __init__(
        self,
        num_envs: int,
        layers: int,
        normalizer: Normalizer | None = None,
        layer_normalizers: Sequence[Normalizer] | None = None,
        scheme: LevelScheme = "lerp_min_max",
        own_share: float = 0.5,
        model: str = "hierarchy",
    ) -> None:
        super().__init__(normalizer, parts=[f"layer_{layer}" for layer in range(layers)])
        if layer_normalizers is not None and len(layer_normalizers) != layers:
            raise ValueError(f"{layers} layers need {layers} normalizers, not {len(layer_normalizers)}")
        self.layer_normalizers = None if layer_normalizers is None else list(layer_normalizers)
        shares = own_share * (1 - own_share) ** np.arange(layers)
        shares[-1] = (1 - own_share) ** (layers - 1)
        self.weights: NDArray[np.float32] = (shares * level_coefficients(layers, scheme)).astype(np.float32)
        self._model = NeededModel(model, TimeHierarchy, self)
        self._num_envs = num_envs
        self._observations: list[torch.Tensor | None] = [None] * layers
        """Observation of each layer at the start of its current step, `(num_envs, size)`."""
        self._actions: list[torch.Tensor | None] = [None] * layers
        """The sum of the actions of the layer below since then."""
        self._unbroken = np.zeros((layers, num_envs), dtype=np.bool_)
        """Whether no episode ended within that step, `(layers, num_envs)`."""
        self._turn = 0

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._model.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class. Raises ValueError if the model has another number of layers."""
        if transition.latent is None or transition.next_latent is None:
            return None
        network = self._model.module
        if len(network.layers) != len(self.weights):
            raise ValueError(f"the model has {len(network.layers)} layers, the reward {len(self.weights)}")
        if transition.encoder_changed:
            self._unbroken[:] = False
        reward = np.zeros(self._num_envs, dtype=np.float32)
        observation, action, valid = transition.latent, network.action(transition.action), transition.valid
        target: torch.Tensor | None = transition.next_latent
        for layer in range(len(self.weights)):
            assert target is not None
            output = network.step(layer, observation, action)
            error: NDArray[np.float32] = (target - output.prediction).square().mean(-1).float().cpu().numpy()
            reward += self.weights[layer] * self._scaled(layer, error, valid)
            if layer + 1 == len(self.weights):
                break
            step = self._pass_up(layer + 1, output.summary, action, valid, network.ratio)
            if step is None:
                break
            observation, action, target, valid = step
        self._turn += 1
        return reward

    def state(self) -> State:
        """The current step of each layer."""
        known = [layer for layer, observation in enumerate(self._observations) if observation is not None]
        return {
            "layers": known,
            "observations": [self._observations[layer] for layer in known],
            "actions": [self._actions[layer] for layer in known],
            "unbroken": self._unbroken,
            "turn": self._turn,
        }

    def load_state(self, state: State) -> None:
        """Restore them."""
        for layer, observation, action in zip(state["layers"], state["observations"], state["actions"], strict=True):
            self._observations[layer], self._actions[layer] = observation, action
        self._unbroken = np.array(state["unbroken"], dtype=np.bool_)
        self._turn = int(state["turn"])

    def _scaled(self, layer: int, error: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        self.note(f"layer_{layer}", error, valid)
        error = np.where(valid, error, np.float32(0))
        if self.layer_normalizers is not None:
            error = self.layer_normalizers[layer](error, valid)
        return np.where(valid, error, np.float32(0))

    def _pass_up(
        self, layer: int, summary: torch.Tensor, action: torch.Tensor, valid: NDArray[np.bool_], ratio: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, NDArray[np.bool_]] | None:
        """Pass the summary of the layer below up; return the step that it completes, if any: o, a, o', validity."""
        begins = self._turn // ratio ** (layer - 1) % ratio == 0
        completed = None
        before, done = self._observations[layer], self._actions[layer]
        if begins:
            if before is not None and done is not None:
                completed = before, done / ratio, summary, self._unbroken[layer] & valid
            self._observations[layer], self._actions[layer] = summary, torch.zeros_like(action)
            self._unbroken[layer] = True
        done = self._actions[layer]
        self._actions[layer] = action.clone() if done is None else done + action
        self._unbroken[layer] &= valid
        return completed


class LayerOutput(NamedTuple):
    """Output of one step of a layer.

    Attributes:
        prediction: Of the layer's next observation, `(batch, size)`.
        summary: The observation of the layer above, `(batch, width)`, normalized.
    """

    prediction: Tensor
    summary: Tensor


class _Layer(nn.Module):
    def __init__(self, size: int, action_width: int, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(size + action_width, width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width)
        )
        self.predictor = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, size))

    def forward(self, observation: Tensor, action: Tensor) -> LayerOutput:
        joined = torch.cat([observation, action], -1)
        summary = self.encoder(joined.to(next(self.parameters()).dtype))
        return LayerOutput(self.predictor(summary), summary)


class TimeHierarchy(nn.Module):
    """Layers of forward models. Layer l takes a step every ratio^l turns.

    The observation of a layer is the summary of the layer below, and its action the mean of the actions within its
    step; the lowest layer observes latent vectors.

    Args:
        features: Size of a latent vector.
        action: The action space.
        layers: Number of layers.
        ratio: Steps of a layer in one step of the layer above.
        width: Size of a summary.
    """

    def __init__(self, features: int, action: ActionSpec, layers: int = 3, ratio: int = 2, width: int = 64) -> None:
        super().__init__()
        if layers < 1 or ratio < 1:
            raise ValueError(f"layers and ratio must be at least 1, not {layers} and {ratio}")
        self.ratio = int(ratio)
        self.action = ActionEncoding(action)
        sizes = [features, *(width for _ in range(layers - 1))]
        self.layers = nn.ModuleList(_Layer(size, self.action.width, width) for size in sizes)

    def step(self, layer: int, observation: Tensor, action: Tensor) -> LayerOutput:
        """One step of one layer: its observation, `(batch, size)`, and its encoded action, `(batch, action.width)`."""
        output: LayerOutput = self.layers[layer](observation, action)
        return output


class TimeHierarchyModel(NetworkModel[TimeHierarchy]):
    """Trains every layer on its own observations, without gradients into the layer below.

    Sequences should hold several steps of the top layer: at least 2 ratio^(layers - 1) + layers turns.

    Source: the hierarchical dynamics of P-AMI<Q> (2024).

    Args:
        network: The layers.
        encoder, learning_rate, weight_decay: See `LatentModel`.
    """

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Sum of the mean squared errors of all layers, on sequences `(batch, length, ...)`."""
        losses = self.losses(batch)
        self.log_dict({f"loss_layer_{layer}": loss for layer, loss in enumerate(losses)})
        loss = torch.stack(losses).sum()
        self.log("loss", loss)
        return loss

    def losses(self, batch: Batch) -> list[Tensor]:
        """The loss of each layer. Raises ValueError for sequences in which the top one does not take a step."""
        ratio = self.network.ratio
        observation = self.latents(batch)
        action = self.network.action(batch["action"])[:, :-1]
        valid = valid_transitions(batch["ended"])
        losses = []
        for layer in range(len(self.network.layers)):
            steps = observation.shape[1] - 1
            if steps < 1:
                min_length = 2 * ratio ** (len(self.network.layers) - 1) + len(self.network.layers)
                raise ValueError(
                    f"sequences of {len(batch['ended'][0])} turns are shorter than a step of layer {layer}: set "
                    f"sequence_length of the trainer to at least {min_length}"
                )
            output = self.network.step(layer, observation[:, :-1], action[:, :steps])
            errors = (to_float32(observation[:, 1:]) - to_float32(output.prediction)).square().mean(-1)
            losses.append(masked_mean(errors, valid[:, :steps]))
            chunks = steps // ratio
            observation = output.summary[:, ::ratio].detach()
            action = action[:, : chunks * ratio].reshape(len(action), chunks, ratio, action.shape[-1]).mean(2)
            valid = valid[:, : chunks * ratio].reshape(len(valid), chunks, ratio).all(2)
            observation = observation[:, : chunks + 1]
        return losses


LevelScheme: TypeAlias = Literal["maximize", "minimize", "maximize_top", "lerp_min_max", "lerp_max_min", "top_only"]


def level_coefficients(levels: int, scheme: LevelScheme) -> NDArray[np.float32]:
    """Return one coefficient for each level, from the lowest to the highest.

    Args:
        levels: Number of levels.
        scheme: `maximize` all +1, `minimize` all -1, `maximize_top` -1 but +1 at the top, `lerp_min_max` evenly from -1
            to +1, `lerp_max_min` the other way round, `top_only` 0 but +1 at the top.

    Raises:
        ValueError: For fewer than 1 level or an unknown scheme.
    """
    if levels < 1 or scheme not in get_args(LevelScheme):
        raise ValueError(
            f"{levels} levels with the scheme {scheme!r}: expected at least 1 level and one of "
            f"{', '.join(get_args(LevelScheme))}"
        )
    top = np.zeros(levels)
    top[-1] = 1
    even = np.linspace(-1, 1, levels) if levels > 1 else top
    known = {
        "maximize": np.ones(levels),
        "minimize": -np.ones(levels),
        "maximize_top": 2 * top - 1,
        "lerp_min_max": even,
        "lerp_max_min": -even if levels > 1 else top,
        "top_only": top,
    }
    return known[scheme].astype(np.float32)
