"""APPO of Sample Factory: `python sample_factory_ppo.py SEED STEPS`.

Its processes share the cores that there are.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import ppo_settings as ppo
from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
from sample_factory.envs.env_utils import register_env
from sample_factory.train import run_rl

WARM_UP = 0.2
"""Share of the steps that passes before the time is taken: its processes start meanwhile."""


class Noted(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Writes time, steps and return of each episode to a file of its own."""

    def __init__(self, environment: gymnasium.Env[Any, Any], folder: str) -> None:
        super().__init__(environment)
        self._path = Path(folder, f"{os.getpid()}-{id(self)}.jsonl")
        self._steps, self._return = 0, 0.0

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        self._steps += 1
        self._return += float(result[1])
        if result[2] or result[3]:
            with self._path.open("a") as file:
                file.write(json.dumps([time.time(), self._steps, self._return]) + "\n")
            self._steps, self._return = 0, 0.0
        return result


def _make(folder: str, *_: Any, **__: Any) -> Noted:
    return Noted(gymnasium.make(ppo.TASK), folder)


def main() -> None:
    given = ppo.arguments()
    with tempfile.TemporaryDirectory() as folder:
        register_env("task", partial(_make, folder))
        settings = {
            "algo": "APPO",
            "env": "task",
            "experiment": "task",
            "train_dir": folder,
            "seed": given.seed,
            "device": "cpu",
            "train_for_env_steps": given.steps,
            "num_workers": 1,
            "num_envs_per_worker": ppo.NUM_ENVS,
            "worker_num_splits": 2,
            "rollout": ppo.ROLLOUT,
            "batch_size": ppo.NUM_ENVS * ppo.ROLLOUT // ppo.MINIBATCHES,
            "num_batches_per_epoch": ppo.MINIBATCHES,
            "num_epochs": ppo.EPOCHS,
            "gamma": ppo.GAMMA,
            "gae_lambda": ppo.LAMBDA,
            "ppo_clip_ratio": ppo.CLIP,
            "value_loss_coeff": ppo.VALUE_COEFFICIENT,
            "exploration_loss_coeff": 0.0,
            "max_grad_norm": ppo.LARGEST_NORM,
            "learning_rate": ppo.RATE,
            "lr_schedule": "constant",
            "use_rnn": False,
            "nonlinearity": "tanh",
            "actor_critic_share_weights": False,
            "normalize_input": False,
            "save_every_sec": 10_000,
            "stats_avg": ppo.EPISODES,
        }
        words = [f"--{name}={value}" for name, value in settings.items()]
        words += ["--encoder_mlp_layers", *map(str, ppo.HIDDEN)]
        parser, _ = parse_sf_args(words)
        output = sys.stdout
        sys.stdout = sys.stderr
        run_rl(parse_full_cfg(parser, words))
        sys.stdout = output
        episodes = sorted(
            json.loads(line) for each in Path(folder).glob("*.jsonl") for line in each.read_text().splitlines()
        )
    steps = 0
    times = []
    for moment, length, _ in episodes:
        steps += length
        times.append((moment, steps))
    begin = next(each for each in times if each[1] >= WARM_UP * steps)
    last = [each[2] for each in episodes[-ppo.EPISODES :]]
    speed = (times[-1][1] - begin[1]) / (times[-1][0] - begin[0])
    print(json.dumps({"steps_per_second": speed, "return": sum(last) / len(last)}))


if __name__ == "__main__":
    main()
