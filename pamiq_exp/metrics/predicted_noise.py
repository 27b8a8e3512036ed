"""How much of the noise in the next view an agent's forward model predicts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pamiq_exp.interaction import Array, Turn
from pamiq_exp.metrics.model_error import find_dynamics
from pamiq_exp.metrics.pose_sweep import EncoderLike, PoseSweep, numbers

PLACED = "placed_observation"


class PredictedNoise(PoseSweep):
    """Share of the noise in the next view that the forward model predicts, at fixed poses.

    From each pose one random action leads to a next view with the latent vector z. Other environments show the same
    place at the same time with their own noise: vectors z'. For the model's prediction p, means over poses, other
    environments and features give

        predicted_noise = mean((p - z')^2 - (p - z)^2) / mean((z - z')^2)

    It is 1 for p = z. Without noise that the model can predict, z and z' are drawn from the same distribution,
    independently of p, so its expectation is 0 whatever else p gets wrong: the step, the walls, the scale. Values above
    0 therefore show that the model has learned how the noise continues. A model that takes noise for constant
    gets less than 0 where it changes in a fixed order: -1 for two pictures that alternate.

    Reports `predicted_noise`, `noise_error` (mean of (p - z)^2) and `noise_error_elsewhere` (mean of (p - z')^2).
    Nothing in a world without noise, or with one environment.

    Args:
        poses: What `record_at_poses` returns, with `others`.
        encoder, every_steps, poses_per_turn: See `PoseSweep`.
        dynamics: Name of the agent's forward model.
    """

    title = "predicted noise"

    def __init__(
        self,
        poses: Mapping[str, Array],
        encoder: str = "encoder",
        dynamics: str = "dynamics",
        every_steps: int = 10_000,
        poses_per_turn: int = 16,
    ) -> None:
        super().__init__(poses, encoder, every_steps, poses_per_turn)
        self._dynamics_name = dynamics
        placed = [views for name, views in self._poses.items() if name.startswith(f"{PLACED}.")]
        has_noise = any((views[:, 1:] != views[:, :1]).any() for views in placed)
        self._disabled = self._disabled or not has_noise

    def encode(self, encoder: EncoderLike, first: int, last: int) -> dict[str, Tensor]:
        placed = self.fields(PLACED, first, last, encoder)
        each = encoder.encode({name: views.flatten(0, 1) for name, views in placed.items()})
        return {
            "view": encoder.encode(self.fields("observation", first, last, encoder)),
            "placed": each.reshape(last - first, -1, each.shape[-1]),
        }

    def measure(self, turn: Turn, encoded: Mapping[str, Tensor], first: int, last: int) -> dict[str, Array]:
        model, view, placed = find_dynamics(turn, self._dynamics_name), encoded["view"], encoded["placed"]
        if model is None:
            return {}
        action = torch.from_numpy(self._poses["action"][first:last]).to(view.device)
        predicted = model(view, action, model.initial_state(len(view), view.device))[0]
        errors = numbers((predicted[:, None] - placed).square().mean(-1))
        apart = numbers((placed[:, :1] - placed[:, 1:]).square().mean(-1))
        return {"own": errors[:, 0], "elsewhere": errors[:, 1:].mean(axis=1), "apart": apart.mean(axis=1)}

    def finish(self, columns: Mapping[str, Array]) -> dict[str, float]:
        if not columns:
            return {}
        own, elsewhere, apart = (float(columns[name].mean()) for name in ("own", "elsewhere", "apart"))
        metrics = {"noise_error": own, "noise_error_elsewhere": elsewhere}
        return metrics | ({"predicted_noise": (elsewhere - own) / apart} if apart else {})
