"""Curiosity on several time scales at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.models.hierarchy import TimeHierarchy
from pamiq_exp.rewards.levels import LevelScheme, level_coefficients
from pamiq_exp.rewards.normaliser import Normaliser
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition


class Hierarchical(Reward):
    """r_l = rho c_l e_l + (1 - rho) r_{l+1}, from the top layer's r = c e down to the lowest, which is the reward.

    e_l is the error of layer l of a hierarchy of forward models when one of its steps is over, every ratio^l turns;
    it counts in that turn alone, so that an error is paid once. Each layer's errors are scaled by a normaliser of
    their own before they are blended. One policy acts on the sum.

    Source: the hierarchical reward of P-AMI<Q> (2024), there with a policy for each layer.

    Args:
        lanes: Number of reward streams.
        layers: Number of layers: `${models.hierarchy.network.layers}`.
        normaliser: How the blended reward is scaled.
        layer_normalisers: How the errors of each layer are scaled; None leaves them.
        scheme: The c_l; see `level_coefficients`.
        own_share: rho.
        model: Name of the `TimeHierarchyModel`.
    """

    name = "hierarchical"
    needs_latents = True

    def __init__(
        self,
        lanes: int,
        layers: int,
        normaliser: Normaliser | None = None,
        layer_normalisers: Sequence[Normaliser] | None = None,
        scheme: LevelScheme = "lerp_min_max",
        own_share: float = 0.5,
        model: str = "hierarchy",
    ) -> None:
        super().__init__(normaliser, parts=[f"layer_{layer}" for layer in range(layers)])
        if layer_normalisers is not None and len(layer_normalisers) != layers:
            raise ValueError(f"{layers} layers need {layers} normalisers, not {len(layer_normalisers)}")
        self.layer_normalisers = None if layer_normalisers is None else list(layer_normalisers)
        shares = own_share * (1 - own_share) ** np.arange(layers)
        shares[-1] = (1 - own_share) ** (layers - 1)
        self.weights: NDArray[np.float32] = (shares * level_coefficients(layers, scheme)).astype(np.float32)
        self._model = NeededModel(model, TimeHierarchy, self)
        self._lanes = lanes
        self._observations: list[torch.Tensor | None] = [None] * layers
        """What each layer observed when its present step began, `(lanes, size)`."""
        self._actions: list[torch.Tensor | None] = [None] * layers
        """The sum of the actions of the layer below since then."""
        self._sound = np.zeros((layers, lanes), dtype=np.bool_)
        """Whether that step has gone on without the end of an episode."""
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
        if transition.latents_moved:
            self._sound[:] = False
        reward = np.zeros(self._lanes, dtype=np.float32)
        observation, action, valid = transition.latent, network.action(transition.action), transition.valid
        target: torch.Tensor | None = transition.next_latent
        for layer in range(len(self.weights)):
            assert target is not None
            stretch = network.step(layer, observation, action)
            error: NDArray[np.float32] = (target - stretch.prediction).square().mean(-1).float().cpu().numpy()
            reward += self.weights[layer] * self._scaled(layer, error, valid)
            if layer + 1 == len(self.weights):
                break
            step = self._climb(layer + 1, stretch.summary, action, valid, network.ratio)
            if step is None:
                break
            observation, action, target, valid = step
        self._turn += 1
        return reward

    def state(self) -> State:
        """The steps that the layers are in."""
        known = [layer for layer, observation in enumerate(self._observations) if observation is not None]
        return {
            "layers": known,
            "observations": [self._observations[layer] for layer in known],
            "actions": [self._actions[layer] for layer in known],
            "sound": self._sound,
            "turn": self._turn,
        }

    def load_state(self, state: State) -> None:
        """Restore the steps."""
        for layer, observation, action in zip(state["layers"], state["observations"], state["actions"], strict=True):
            self._observations[layer], self._actions[layer] = observation, action
        self._sound = np.array(state["sound"], dtype=np.bool_)
        self._turn = int(state["turn"])

    def _scaled(self, layer: int, error: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        self.note(f"layer_{layer}", error, valid)
        error = np.where(valid, error, np.float32(0))
        if self.layer_normalisers is not None:
            error = self.layer_normalisers[layer](error, valid)
        return np.where(valid, error, np.float32(0))

    def _climb(
        self, layer: int, summary: torch.Tensor, action: torch.Tensor, valid: NDArray[np.bool_], ratio: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, NDArray[np.bool_]] | None:
        """Show a layer what the one below made of its step; return the step that this ends: o, a, o', validity."""
        begins = self._turn // ratio ** (layer - 1) % ratio == 0
        ended = None
        before, done = self._observations[layer], self._actions[layer]
        if begins:
            if before is not None and done is not None:
                ended = before, done / ratio, summary, self._sound[layer] & valid
            self._observations[layer], self._actions[layer] = summary, torch.zeros_like(action)
            self._sound[layer] = True
        done = self._actions[layer]
        self._actions[layer] = action.clone() if done is None else done + action
        self._sound[layer] &= valid
        return ended
