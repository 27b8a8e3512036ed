"""`python -m pamiq_exp evaluate RUN`: let the agent of a run play without learning, and keep what that brings."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import pamiq_exp
from pamiq_exp.analysis.statistics import CONFIDENCE, Estimate, estimate, mean
from pamiq_exp.cli._arguments import command_parser, existing_run, whole_number
from pamiq_exp.cli._exported_file import is_shared_folder, models_of, read_exported_file
from pamiq_exp.config import ConfigError, ErrorDetail
from pamiq_exp.files import write_atomically
from pamiq_exp.formatting import printable
from pamiq_exp.jobs.evaluate import (
    BEST,
    CHECKPOINT,
    EPISODES,
    EPISODES_FLAG,
    NEWEST,
    SEEDS,
    STEPS,
    STEPS_FLAG,
    Evaluated,
    EvaluatedRun,
    evaluate_run,
    read_evaluated_run,
)
from pamiq_exp.jobs.request import Request, print_error, read_request
from pamiq_exp.run_folder import file_names

if TYPE_CHECKING:
    from pamiq_exp.recording import VideoRecorder
    from pamiq_exp.runtime.evaluation import PlayedEpisodes, PlayedSteps

FILM_TURNS = 500
"""Turns in a film at most."""


def main(words: Sequence[str]) -> int:
    """Evaluate a run. Returns 0, or 2 for one that cannot be evaluated as asked."""
    arguments, others = _parser().parse_known_args(words)
    folder: Path = arguments.run
    from pamiq_exp.runtime import CheckpointError
    from pamiq_exp.runtime.evaluation import EvaluationError

    film = _film() if arguments.video else None
    try:
        request = read_request(others)
        run = _shared_run(folder, arguments) if is_shared_folder(folder) else _own_run(folder, arguments, request)
        evaluated = evaluate_run(
            run, request, episodes=arguments.episodes, steps=arguments.steps, seeds=arguments.seeds,
            greedy=arguments.greedy, film=film,
        )  # fmt: skip
        report = _report(evaluated) | {"videos": _write_films(evaluated, folder)}
        write_atomically(folder / file_names.EVALUATION, json.dumps(report, indent=2, allow_nan=False) + "\n")
    except (ConfigError, CheckpointError, EvaluationError, OSError) as error:
        print_error(error, heading="this run cannot be evaluated")
        return 2
    _print(report, folder)
    return 0


def _own_run(folder: Path, arguments: argparse.Namespace, request: Request) -> EvaluatedRun:
    if arguments.number is not None:
        raise ConfigError(ErrorDetail("--run", "chooses a run of a folder of `export --hub`; this is a single run"))
    return read_evaluated_run(folder, arguments.checkpoint, request.source)


def _shared_run(folder: Path, arguments: argparse.Namespace) -> EvaluatedRun:
    """Return a run of a folder that `export --hub` wrote."""
    if arguments.checkpoint != NEWEST:
        raise ConfigError(ErrorDetail(CHECKPOINT, "a folder of `export --hub` holds one checkpoint of each run"))
    number = arguments.number or 0
    return EvaluatedRun(
        lambda changes: read_exported_file(folder, changes, number=number).runs[0].composed,
        models_of(folder, number),
    )


def _report(evaluated: Evaluated) -> dict[str, Any]:
    """Return what `evaluation.json` holds."""
    from pamiq_exp.runtime.evaluation import PlayedEpisodes, PlayedSteps

    newest = next(iter(evaluated.played.values()))
    all_played = [each.played for each in evaluated.played.values()]
    episodes = [each for each in all_played if isinstance(each, PlayedEpisodes)]
    steps = [each for each in all_played if isinstance(each, PlayedSteps)]
    return {
        "schema": 1,
        "experiment_name": evaluated.experiment_name,
        "checkpoint": evaluated.checkpoint,
        "environment_step": newest.environment_step,
        "model_version": newest.model_version,
        "actions": "greedy" if evaluated.greedy else "sampled",
        "run_seed": evaluated.run_seed,
        "seeds": list(evaluated.played),
        "confidence": CONFIDENCE,
        **(_of_episodes(episodes) if episodes else _of_steps(steps)),
        "pamiq_exp": pamiq_exp.__version__,
        "evaluated": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _of_episodes(played: Sequence[PlayedEpisodes]) -> dict[str, Any]:
    returns = np.concatenate([each.returns for each in played])
    found = estimate([each.returns for each in played], mean)
    return {
        "episodes": len(returns),
        "return_mean": found.value,
        "return_interval": _interval(found),
        "return_std": float(returns.std()),
        "return_min": float(returns.min()),
        "return_max": float(returns.max()),
        "episode_length_mean": float(np.concatenate([each.lengths for each in played]).mean()),
        "returns": [each.returns.tolist() for each in played],
        "lengths": [each.lengths.tolist() for each in played],
    }


def _of_steps(played: Sequence[PlayedSteps]) -> dict[str, Any]:
    """Return each metric, its mean over the seeds and the interval of that."""
    by_seed = [{"reward": each.reward} | dict(each.metrics) for each in played]
    names = [name for name in by_seed[0] if all(name in each for each in by_seed)]
    found = {name: estimate([np.array([each[name] for each in by_seed])], mean) for name in names}
    return {
        "steps": played[0].steps,
        "metrics": {
            name: {"mean": each.value, "interval": _interval(each), "values": [seed[name] for seed in by_seed]}
            for name, each in found.items()
        },
    }


def _interval(found: Estimate) -> list[float] | None:
    """Return the ends of an interval; None where a seed has a single episode, or there is a single seed."""
    return [found.low, found.high] if found.has_interval else None


def _film() -> VideoRecorder:
    from pamiq_exp.recording import VideoRecorder

    return VideoRecorder(every_steps=sys.maxsize, length=FILM_TURNS, frames_per_second=30.0, name="evaluation")


def _write_films(evaluated: Evaluated, folder: Path) -> list[str]:
    """Write the films that were recorded; return where they lie in the run folder."""
    from pamiq_exp.tracking.media_files import write_media

    return [
        write_media(item, folder / file_names.MEDIA, played.environment_step).relative_to(folder).as_posix()
        for played in evaluated.played.values()
        for item in played.media
    ]


def _print(report: dict[str, Any], folder: Path) -> None:
    which = f"{report['experiment_name']}, {report['checkpoint']}, {report['actions']} actions: "
    lines = [
        which + (_said_of_episodes(report) if "episodes" in report else _said_of_steps(report)),
        *(str(folder / video) for video in report["videos"]),
        str(folder / file_names.EVALUATION),
    ]
    print("\n".join(map(printable, lines)))


def _said_of_episodes(report: dict[str, Any]) -> str:
    interval = report["return_interval"]
    said = f"return {_number(report['return_mean'], interval)}, mean of {report['episodes']} episodes"
    return said + (f" with its {report['confidence']:.0%} interval" if interval is not None else "")


def _said_of_steps(report: dict[str, Any]) -> str:
    """Say what was measured, the own coverage beside that of random walks."""
    seeds, metrics = len(report["seeds"]), report["metrics"]
    with_interval = f", mean over seeds with its {report['confidence']:.0%} interval" if seeds > 1 else ""
    said = f"{report['steps']:,} steps for each of {seeds} {'seed' if seeds == 1 else 'seeds'}{with_interval}"
    width = max(map(len, metrics))
    return "\n".join(
        [said, *(f"  {name:{width}}  {_number(each['mean'], each['interval'])}" for name, each in metrics.items())]
    )


def _number(value: float, interval: Sequence[float] | None) -> str:
    return f"{value:.6g}" + (f" [{interval[0]:.6g}, {interval[1]:.6g}]" if interval is not None else "")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "evaluate",
        "Let the agent of a run play without learning, in environments with other seeds, and write the returns of "
        f"its episodes, or where there are none its coverage and reward, to RUN/{file_names.EVALUATION}.",
        usage="RUN [options] [launcher.device=cpu] [--allow PACKAGE]",
    )
    add = parser.add_argument
    add("run", type=existing_run, metavar="RUN",
        help="a run folder, such as outputs/NAME/DATE, or a folder of `export --hub`")  # fmt: skip
    add("--run", type=whole_number(0), dest="number", metavar="N", help="of a folder of `export --hub`: which run (0)")
    add(CHECKPOINT, default=NEWEST, metavar="WHICH",
        help=f"{NEWEST} (the default), {BEST} (see launcher.checkpoint.keep_best), or an environment step")  # fmt: skip
    add(EPISODES_FLAG, type=whole_number(1), metavar="N", help=f"episodes for each seed ({EPISODES})")
    add(STEPS_FLAG, type=whole_number(1), metavar="N",
        help=f"without episodes: environment steps for each seed ({STEPS:,})")  # fmt: skip
    add(SEEDS, type=int, nargs="+", default=[], metavar="SEED", help="root seeds, other than that of the run")
    add("--sampled", dest="greedy", action="store_false", default=None,
        help="draw actions from the policy, as in the run (the default without episodes)")  # fmt: skip
    add("--greedy", dest="greedy", action="store_true", default=None,
        help="take the most likely actions (the default in episodes)")  # fmt: skip
    add("--video", action="store_true", help=f"film the first {FILM_TURNS} turns of one environment")
    return parser
