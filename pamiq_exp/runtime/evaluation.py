"""Evaluation of what a checkpoint holds: its agent acts, and nothing is learned, collected or published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch

from pamiq_exp.component import State, set_up, tear_down
from pamiq_exp.interaction import (
    EndlessEpisodeError,
    Environment,
    EpisodePlayer,
    Interaction,
    PlayedEpisodes,
    PlayedSteps,
    StepObserver,
    play_steps,
)
from pamiq_exp.media import Media
from pamiq_exp.publishable import Model, Publishable
from pamiq_exp.runtime.config import LaunchConfig
from pamiq_exp.runtime.device import make_fabric, require_device
from pamiq_exp.runtime.publication import Publisher
from pamiq_exp.runtime.run_state import load_models
from pamiq_exp.runtime.scheduling import torch_threads
from pamiq_exp.seeding import derive_seed, seed_global_generators

__all__ = [
    "GROUPS",
    "EvaluationError",
    "Played",
    "PlayedCheckpoint",
    "PlayedEpisodes",
    "PlayedSteps",
    "Watcher",
    "can_be_evaluated",
    "play_checkpoint",
]

GROUPS = ("models", "publication", "runtime")
"""What an evaluation reads of a checkpoint."""

Watcher: TypeAlias = StepObserver
"""Watches the turns of an evaluation, such as a recorder of films."""


Played: TypeAlias = PlayedEpisodes | PlayedSteps


def can_be_evaluated(environment: Environment) -> bool:
    """Whether another such environment can be had that goes on at the speed of its agent, or episodes end it."""
    return environment.has_episodes or not (environment.live or environment.free_running)


def _play(interaction: Interaction, episodes: int, steps: int) -> Played:
    """Play so many episodes, or take so many steps where there are none."""
    if interaction.environment.has_episodes:
        return EpisodePlayer(interaction).play(episodes)
    return play_steps(interaction, steps)


class EvaluationError(Exception):
    """A checkpoint cannot be evaluated; the message says why."""


@dataclass(frozen=True)
class PlayedCheckpoint:
    """What `play_checkpoint` returns.

    Attributes:
        played: The episodes, or the steps.
        environment_step: When the checkpoint was saved.
        model_version: The publication that it holds.
        media: What observers of the interaction recorded.
    """

    played: Played
    environment_step: int
    model_version: int
    media: list[Media]


def play_checkpoint(
    interaction: Interaction,
    models: Mapping[str, Model],
    config: LaunchConfig,
    checkpoint: Mapping[str, State],
    *,
    episodes: int,
    steps: int,
    greedy: bool = True,
    seed: int = 0,
    watcher: Watcher | None = None,
) -> PlayedCheckpoint:
    """Let an agent play with the models of a checkpoint, as fast as it can: whole episodes, or steps without any.

    Environment and agent begin anew: of the checkpoint only the models are used. All parts are torn down afterwards.

    Args:
        interaction: The agent in its environment.
        models: The models of the run, with any parameters.
        config: Device, precision and threads.
        checkpoint: What `read_checkpoint` returns of it, with at least the groups in `GROUPS`.
        episodes: How many are counted, where the environment has episodes.
        steps: How many environment steps are taken where it has none.
        greedy: See `Agent.greedy`.
        seed: Of the global generators, which models of the user's own may draw from.
        watcher: Watches the turns; its media are in the result.

    Raises:
        EvaluationError: The checkpoint holds other models, or episodes do not end.
    """
    if watcher is not None:
        interaction.observers["watcher"] = watcher
    interaction.agent.greedy = greedy
    try:
        require_device(config.device, config.precision)
        if models:
            device = make_fabric(config.device, config.precision).device
        for model in models.values():
            if not isinstance(model, Publishable):
                model.configure_model()
                model.to(device)
        if differences := load_models(models, checkpoint["models"]):
            raise EvaluationError("the checkpoint does not fit the config of its run:\n  " + "\n  ".join(differences))
        publisher = Publisher(models)
        publisher.restore(checkpoint["publication"]["version"])
        interaction.agent.attach(publisher.inference_models(), {})
        seed_global_generators(derive_seed(seed, "evaluation"))
        set_up(interaction)
        with torch.no_grad(), torch_threads(config.threads.inference):
            played = _play(interaction, episodes, steps)
    except EndlessEpisodeError as error:
        raise EvaluationError(str(error)) from error
    finally:
        tear_down(interaction)
    media = [each for observer in interaction.observers.values() for each in observer.media()]
    return PlayedCheckpoint(played, checkpoint["runtime"]["steps"], publisher.version, media)
