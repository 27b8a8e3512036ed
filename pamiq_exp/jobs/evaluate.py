"""Evaluation of a run: its agent plays episodes of its own with the models of a checkpoint, or steps without episodes.

The config is composed again from what the run has kept, validated like any other, and built without buffers, trainers,
metrics and trackers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pamiq_exp.config import (
    Composed,
    ConfigError,
    ErrorDetail,
    Experiment,
    Source,
    Validated,
    build_experiment,
    plain_file,
)
from pamiq_exp.config.interaction_wrappers import WRAPPERS
from pamiq_exp.config.tree_paths import leaves, select
from pamiq_exp.files import read_json
from pamiq_exp.jobs.job import require_same_spaces
from pamiq_exp.jobs.preflight import refuse
from pamiq_exp.jobs.request import Request
from pamiq_exp.jobs.resume import KeptConfig, find_checkpoint, refuse_folder
from pamiq_exp.run_folder import file_names

if TYPE_CHECKING:
    from pamiq_exp.runtime.evaluation import PlayedCheckpoint, Watcher

CHECKPOINT, SEEDS, EPISODES_FLAG, STEPS_FLAG = "--checkpoint", "--seeds", "--episodes", "--steps"
EPISODES, STEPS = 20, 10_000
"""For each seed, unless other numbers are given."""
NEWEST, BEST = "newest", "best"
APART = 1_000_000
"""Between the seed of a run and the one of its evaluation, unless others are given."""

SEEDS_WITHOUT_EPISODES = 5
"""Where there are no episodes, all environments share a world and a seed gives one value: an interval needs several."""

MEASURES = ("pamiq_exp.metrics.Coverage", "pamiq_exp.metrics.RandomWalk")
"""Metrics of the run that also measure an evaluation without episodes."""

RENDERING = ("++environment.kwargs.render_mode=rgb_array",)
"""What lets an environment of Gymnasium draw itself for a film."""


@dataclass(frozen=True)
class EvaluatedRun:
    """What is evaluated.

    Attributes:
        compose: Returns the config of the run, with changes; raises ConfigError for what cannot be composed.
        checkpoint: The folder of the checkpoint.
        spaces: What the environment showed and accepted in the run; None if that is not known.
    """

    compose: Callable[[Sequence[str]], Composed]
    checkpoint: Path
    spaces: object = None


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found.

    Attributes:
        experiment_name: Of the run.
        run_seed: Its seed.
        checkpoint: Name of the checkpoint.
        greedy: Whether the most likely actions were taken.
        played: What was played, by seed.
    """

    experiment_name: str
    run_seed: int
    checkpoint: str
    greedy: bool
    played: Mapping[int, PlayedCheckpoint]


def read_evaluated_run(folder: Path, checkpoint: str, source: Source) -> EvaluatedRun:
    """Return what a run folder holds.

    Args:
        folder: The run folder.
        checkpoint: `newest`, `best`, an environment step or the name of a checkpoint.
        source: Where the configs of changes come from.

    Raises:
        ConfigError: The folder leads elsewhere, holds no config, or has no such checkpoint.
    """
    refuse_folder(folder)
    kept = KeptConfig.read(folder)
    spaces = plain_file(folder / file_names.CONFIG).get("spaces")
    return EvaluatedRun(
        lambda changes: kept.compose(changes, source if changes else Source()),
        choose_checkpoint(folder, checkpoint),
        spaces,
    )


def evaluate_run(
    run: EvaluatedRun,
    request: Request,
    *,
    episodes: int | None = None,
    steps: int | None = None,
    seeds: Sequence[int] = (),
    greedy: bool | None = None,
    film: Watcher | None = None,
) -> Evaluated:
    """Evaluate a run.

    Args:
        run: What is evaluated.
        request: What was typed: changes of the config, but not of the environment, and packages that may be named.
        episodes: How many for each seed; None: `EPISODES` where there are any.
        steps: Environment steps for each seed; None: `STEPS` where there are no episodes.
        seeds: Root seeds, other than that of the run; by default one that is made from it, or several without episodes.
        greedy: See `Agent.greedy`; None: only in episodes. Where nothing ends, the most likely actions can go round in
            a circle.
        film: Watches the turns of the first seed; its media are in the result.

    Raises:
        ConfigError: The run cannot be evaluated like this.
        CheckpointError: The checkpoint is damaged.
        EvaluationError: The checkpoint does not fit, or episodes do not end.
    """
    from pamiq_exp.runtime.checkpoints import read_checkpoint
    from pamiq_exp.runtime.evaluation import GROUPS, play_checkpoint

    before, changes = run.compose(()), request.overrides
    if changes:
        _refuse_other_environment(before, run.compose(changes))
    run_seed = before.tree.get("seed")
    if not isinstance(run_seed, int):
        raise ConfigError(ErrorDetail("seed", f"is {run_seed!r} in the run, no whole number"))
    if run_seed in seeds:
        message = f"{run_seed} is the seed of the run, whose world it has learned from"
        raise ConfigError(ErrorDetail(SEEDS, message, f"give others, such as {SEEDS} {run_seed + APART}"))
    rendering = RENDERING if film is not None and _can_render(before.tree) else ()
    state = read_checkpoint(run.checkpoint, GROUPS)
    played: dict[int, PlayedCheckpoint] = {}
    left = [*(seeds or (run_seed + APART,))]
    while left:
        seed = left.pop(0)
        [config] = refuse([run.compose([*changes, *rendering, f"seed={seed}"])], request.allow, dry_run=False)
        experiment = _build(config, run.spaces, asks_episodes=episodes is not None, asks_steps=steps is not None)
        has_episodes = experiment.interaction.environment.has_episodes
        if not played and not seeds and not has_episodes:
            left += range(seed + 1, seed + SEEDS_WITHOUT_EPISODES)
        greedy = has_episodes if greedy is None else greedy
        played[seed] = play_checkpoint(
            experiment.interaction, experiment.models, experiment.launch_config, state,
            episodes=episodes or EPISODES, steps=steps or STEPS, greedy=greedy, seed=seed,
            watcher=None if played else film,
        )  # fmt: skip
    assert greedy is not None
    return Evaluated(str(before.tree.get("experiment_name")), run_seed, run.checkpoint.name, greedy, played)


def choose_checkpoint(folder: Path, chosen: str) -> Path:
    """Return the checkpoint of a run that is `newest`, `best`, of a step or of a name. Raises ConfigError."""
    if chosen == BEST:
        return find_checkpoint(folder, _best_checkpoint(folder), CHECKPOINT)[0]
    if chosen == NEWEST:
        return find_checkpoint(folder, None, CHECKPOINT)[0]
    name = f"{file_names.CHECKPOINT_PREFIX}{int(chosen):09d}" if chosen.isdecimal() and len(chosen) < 16 else chosen
    return find_checkpoint(folder, name, CHECKPOINT)[0]


def _best_checkpoint(folder: Path) -> str:
    path = folder / file_names.CHECKPOINTS / file_names.BEST_CHECKPOINT
    try:
        best = read_json(path)
    except FileNotFoundError:
        hint = "a run keeps it with launcher.checkpoint.keep_best=return_mean; or take --checkpoint newest"
        raise ConfigError(ErrorDetail(CHECKPOINT, "this run kept no best checkpoint", hint)) from None
    except OSError as error:
        raise ConfigError(ErrorDetail(CHECKPOINT, str(error), "take --checkpoint newest")) from error
    name = best.get("checkpoint") if isinstance(best, dict) else None
    if not isinstance(name, str):
        raise ConfigError(ErrorDetail(CHECKPOINT, f"{path} names no checkpoint", "take --checkpoint newest"))
    return name


def _build(config: Validated, spaces: object, *, asks_episodes: bool, asks_steps: bool) -> Experiment:
    """Build the parts of a run that act. Raises ConfigError for an environment that differs or does not allow it."""
    from pamiq_exp.component import tear_down
    from pamiq_exp.runtime.evaluation import can_be_evaluated

    experiment = build_experiment(config, groups=["models", "metrics"], measures=MEASURES)
    environment, observers = experiment.interaction.environment, experiment.interaction.observers
    try:
        require_same_spaces(spaces, experiment)
        if environment.has_episodes:
            observers.clear()
            if asks_steps:
                raise ConfigError(ErrorDetail(STEPS_FLAG, "its environment has episodes", f"{EPISODES_FLAG} N"))
        elif asks_episodes:
            raise ConfigError(ErrorDetail(EPISODES_FLAG, "its environment has no episodes", f"{STEPS_FLAG} N"))
        elif not can_be_evaluated(environment):
            message = "has no episodes and goes on by the wall clock: there is no other such world, and no hurry helps"
            raise ConfigError(ErrorDetail("environment", message, "look at what the run itself has measured"))
    except ConfigError:
        tear_down(environment)
        raise
    return experiment


def _refuse_other_environment(before: Composed, after: Composed) -> None:
    """Refuse an environment, or a wrapper, that differs from that of the run. Raises ConfigError."""
    for key in ("environment", *(f"interaction.{name}" for name in WRAPPERS)):
        old, new = (dict(leaves(_node(config.resolved.tree, key), key)) for config in (before, after))
        for name in dict.fromkeys([*old, *new]):
            if old.get(name) != new.get(name):
                message = f"is {new.get(name)}, and {old.get(name)} in the run: an evaluation plays the run's own"
                raise ConfigError(ErrorDetail(name, message, "leave it out, or start another run with it"))


def _can_render(tree: Mapping[str, Any]) -> bool:
    environment = tree.get("environment")
    target = environment.get("_target_") if isinstance(environment, Mapping) else None
    return target in ("pamiq_exp.environments.gymnasium_environment", "pamiq_exp.environments.GymnasiumEnvironment")


def _node(tree: Mapping[str, Any], key: str) -> object:
    try:
        return select(tree, key)
    except KeyError:
        return None
