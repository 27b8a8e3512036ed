"""PPO of stable-baselines3: `python sb3_ppo.py SEED STEPS`."""

from __future__ import annotations

import time

import ppo_settings as ppo
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env


class Returns(BaseCallback):  # type: ignore[misc]
    """Gathers the returns of all episodes."""

    def __init__(self) -> None:
        super().__init__()
        self.returns: list[float] = []

    def _on_step(self) -> bool:
        self.returns += [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        return True


def main() -> None:
    given = ppo.arguments()
    torch.set_num_threads(1)
    model = PPO(
        "MlpPolicy",
        make_vec_env(ppo.TASK, ppo.NUM_ENVS, seed=given.seed),
        seed=given.seed,
        device="cpu",
        n_steps=ppo.ROLLOUT,
        batch_size=ppo.NUM_ENVS * ppo.ROLLOUT // ppo.MINIBATCHES,
        n_epochs=ppo.EPOCHS,
        gamma=ppo.GAMMA,
        gae_lambda=ppo.LAMBDA,
        clip_range=ppo.CLIP,
        ent_coef=0.0,
        vf_coef=ppo.VALUE_COEFFICIENT,
        max_grad_norm=ppo.LARGEST_NORM,
        learning_rate=lambda left: ppo.RATE * left,
        policy_kwargs={"net_arch": list(ppo.HIDDEN), "activation_fn": torch.nn.Tanh},
    )
    watch = Returns()
    begin = time.perf_counter()
    model.learn(given.steps, callback=watch)
    ppo.report(model.num_timesteps, time.perf_counter() - begin, watch.returns)


if __name__ == "__main__":
    main()
