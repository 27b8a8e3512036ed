"""PPO in one file over EnvPool, in the manner of CleanRL: `python envpool_ppo.py SEED STEPS`."""

from __future__ import annotations

import time

import envpool
import numpy as np
import ppo_settings as ppo
import torch
from torch import Tensor, nn
from torch.distributions import Categorical


def network(inputs: int, outputs: int, gain: float) -> nn.Sequential:
    """Hidden layers with tanh and a linear one, with orthogonal weights."""
    layers: list[nn.Module] = []
    for size in ppo.HIDDEN:
        layers += [_orthogonal(nn.Linear(inputs, size), 2**0.5), nn.Tanh()]
        inputs = size
    return nn.Sequential(*layers, _orthogonal(nn.Linear(inputs, outputs), gain))


def _orthogonal(layer: nn.Linear, gain: float) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def advantages(rewards: Tensor, values: Tensor, ends: Tensor) -> Tensor:
    """Generalized advantages `(turns, envs)`; `values` has one turn more."""
    result = torch.zeros_like(rewards)
    following = torch.zeros(rewards.shape[1])
    for turn in reversed(range(len(rewards))):
        goes_on = 1.0 - ends[turn]
        error = rewards[turn] + ppo.GAMMA * goes_on * values[turn + 1] - values[turn]
        following = error + ppo.GAMMA * ppo.LAMBDA * goes_on * following
        result[turn] = following
    return result


def main() -> None:
    given = ppo.arguments()
    torch.manual_seed(given.seed)
    torch.set_num_threads(1)
    environments = envpool.make(ppo.TASK, env_type="gymnasium", num_envs=ppo.NUM_ENVS, seed=given.seed)
    policy, critic = network(4, 2, 0.01), network(4, 1, 1.0)
    parameters = [*policy.parameters(), *critic.parameters()]
    optimizer = torch.optim.Adam(parameters, ppo.RATE, eps=1e-5)
    observation = torch.from_numpy(environments.reset()[0])
    rollouts = given.steps // (ppo.NUM_ENVS * ppo.ROLLOUT)
    returns, running = [], np.zeros(ppo.NUM_ENVS)
    resets = np.zeros(ppo.NUM_ENVS, bool)  # EnvPool's step after an end only resets
    observations = torch.zeros(ppo.ROLLOUT, ppo.NUM_ENVS, 4)
    actions = torch.zeros(ppo.ROLLOUT, ppo.NUM_ENVS, dtype=torch.long)
    log_probs, rewards, ends, weights = (torch.zeros(ppo.ROLLOUT, ppo.NUM_ENVS) for _ in range(4))
    values = torch.zeros(ppo.ROLLOUT + 1, ppo.NUM_ENVS)
    begin = time.perf_counter()
    for rollout in range(rollouts):
        optimizer.param_groups[0]["lr"] = ppo.RATE * (1 - rollout / rollouts)
        for turn in range(ppo.ROLLOUT):
            with torch.no_grad():
                distribution = Categorical(logits=policy(observation))
                action = distribution.sample()
                log_probs[turn] = distribution.log_prob(action)
                values[turn] = critic(observation)[:, 0]
            observations[turn], actions[turn] = observation, action
            weights[turn] = torch.from_numpy(~resets)
            after, reward, terminated, truncated, _ = environments.step(action.numpy())
            done = terminated | truncated
            running += reward * ~resets
            returns += running[done].tolist()
            running[done] = 0.0
            rewards[turn], ends[turn] = torch.from_numpy(reward), torch.from_numpy(done)
            resets, observation = done, torch.from_numpy(after)
        with torch.no_grad():
            values[ppo.ROLLOUT] = critic(observation)[:, 0]
        advantage = advantages(rewards, values, ends)
        rows = {
            "observation": observations, "action": actions, "log_prob": log_probs, "advantage": advantage,
            "return": advantage + values[:-1], "weight": weights,
        }  # fmt: skip
        train({name: value.flatten(0, 1) for name, value in rows.items()}, policy, critic, parameters, optimizer)
    ppo.report(rollouts * ppo.NUM_ENVS * ppo.ROLLOUT, time.perf_counter() - begin, returns)


def train(
    rows: dict[str, Tensor],
    policy: nn.Module,
    critic: nn.Module,
    parameters: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Pass over a rollout."""
    for _ in range(ppo.EPOCHS):
        for part in torch.randperm(len(rows["weight"])).chunk(ppo.MINIBATCHES):
            batch = {name: value[part] for name, value in rows.items()}
            weight = batch["weight"] / batch["weight"].sum()
            advantage = batch["advantage"]
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            distribution = Categorical(logits=policy(batch["observation"]))
            ratio = (distribution.log_prob(batch["action"]) - batch["log_prob"]).exp()
            gain = torch.minimum(ratio * advantage, ratio.clamp(1 - ppo.CLIP, 1 + ppo.CLIP) * advantage)
            error = 0.5 * (critic(batch["observation"])[:, 0] - batch["return"]).square()
            loss = (weight * (ppo.VALUE_COEFFICIENT * error - gain)).sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, ppo.LARGEST_NORM)
            optimizer.step()


if __name__ == "__main__":
    main()
