"""Search for settings with Optuna. All its state lies in the study and in the sweep's folder."""

from __future__ import annotations

import json
import logging
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from hydra_plugins.pamiq_exp_sweeps.search_sweeper import SearchConf
from pamiq_exp.files import write_atomically
from pamiq_exp.run_folder.file_names import PRUNE, SUMMARY
from pamiq_exp.run_folder.reader import read_mapping
from pamiq_exp.sweeps.folder import is_locked, job_state, locked
from pamiq_exp.sweeps.pruning import RUNGS, Pruning

RESULT = "search.json"
RETRY = "retry_of"
"""What a trial says that tries another one again, whose jobs had failed."""

OPTUNA_VERSION = "optuna_version"
"""The attribute of a study that names the Optuna which began it."""

_LOOK_SECONDS = 0.5
_log = logging.getLogger(__name__)
Space = dict[str, BaseDistribution]


@dataclass(frozen=True)
class Asked:
    """A trial that this process works on.

    Attributes:
        trial: Optuna's trial.
        words: Its settings as overrides.
        jobs: Numbers of its jobs, one a seed.
    """

    trial: Trial
    words: tuple[str, ...]
    jobs: tuple[int, ...]


def search(
    settings: Mapping[str, Any],
    arguments: Sequence[str],
    config: DictConfig,
    context: HydraContext,
    launcher: Launcher,
) -> None:
    """Try settings until the study has as many trials as were wanted.

    Raises:
        HydraException: A setting of the search is not available.
    """
    conf = SearchConf(**settings)
    overrides = OverridesParser.create(context.config_loader).parse_overrides(list(arguments))
    fixed = [each.input_line or "" for each in overrides if not each.is_sweep_override()]
    space = {each.get_key_element(): distribution(each) for each in overrides if each.is_sweep_override()}
    if not space:
        raise HydraException("there is nothing to search: give a range, such as 'rate=tag(log,interval(1e-5,1e-2))'")
    folder = Path(str(config.hydra.sweep.dir))
    searcher = Searcher(conf, space, fixed, folder)
    while searcher.run_batch(launcher):
        pass


class Searcher:
    """One process that works on a study; several may work on the same one.

    Args:
        conf: The settings of the search.
        space: What can be varied, by config key.
        fixed: Overrides that all trials have.
        folder: The sweep's folder.
    """

    def __init__(self, conf: SearchConf, space: Space, fixed: Sequence[str], folder: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.conf = conf
        self.space = space
        self.fixed = list(fixed)
        self.folder = folder
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        with locked(folder / "trials" / "lock", wait=True):
            storage = optuna.storages.RDBStorage(
                conf.storage or f"sqlite:///{folder.absolute() / 'study.sqlite3'}",
                engine_kwargs={} if conf.storage else {"connect_args": {"timeout": 60.0}},
            )
            self.study = optuna.create_study(
                study_name=conf.study, storage=storage, direction=_direction(conf.direction), load_if_exists=True,
                pruner=_pruner(conf.pruner),
            )  # fmt: skip
            trials = self.study.get_trials(deepcopy=False)
            self.study.sampler = _sampler(conf, tried=len(trials))
            self._note_version()
            self._retry(trials)

    def _note_version(self) -> None:
        """Keep with the study which Optuna began it: another one may propose other trials."""
        begun_with = self.study.user_attrs.get(OPTUNA_VERSION)
        if begun_with is None:
            self.study.set_user_attr(OPTUNA_VERSION, optuna.__version__)
        elif begun_with != optuna.__version__:
            message = "this study was begun with Optuna %s; Optuna %s may propose other trials from the same seed"
            _log.warning(message, begun_with, optuna.__version__)

    def run_batch(self, launcher: Launcher) -> bool:
        """Ask for trials, run their jobs, tell what came of them; return whether there was anything to do."""
        with ExitStack() as held:
            batch = self._ask(held)
            if not batch:
                return False
            jobs = [self._job(asked, index) for asked in batch for index in range(len(asked.jobs))]
            metric = self.conf.prune_by if self.conf.pruner != "none" else None
            with Pruning([(asked.trial, asked.jobs) for asked in batch], self.folder, metric):
                launcher.launch(jobs, initial_job_idx=batch[0].jobs[0])
                while any(is_locked(self.folder / str(number)) for asked in batch for number in asked.jobs):
                    time.sleep(_LOOK_SECONDS)  # a job that outlived the process that had begun it
            for asked in batch:
                self._report(asked)
            self._write_result()
        return True

    def _retry(self, trials: Sequence[FrozenTrial]) -> None:
        """Queue the trials anew whose jobs did not end by themselves: in the same folders, from their checkpoints."""
        newest = {_first(each): each for each in trials}
        for number, trial in newest.items():
            folders = [self.folder / str(job) for job in self._jobs_of(trial)]
            if trial.state == TrialState.FAIL and any(_ended_badly(folder) for folder in folders):
                self.study.enqueue_trial(trials[number].params, user_attrs={RETRY: number})

    def _ask(self, held: ExitStack) -> list[Asked]:
        """Take over trials whose process is gone, then begin new ones, as many as are run at once."""
        batch: list[Asked] = []
        with locked(self.folder / "trials" / "lock", wait=True):
            trials = self.study.get_trials(deepcopy=False)
            for frozen in [each for each in trials if each.state == TrialState.RUNNING]:
                if len(batch) < self.conf.at_once and self._hold(frozen.number, held):
                    batch += self._adopt(frozen)
            queued = sum(each.state == TrialState.WAITING for each in trials)
            tried = sum(RETRY not in each.user_attrs and not _came_to_nothing(each) for each in trials)
            wanted = min(self.conf.at_once - len(batch), queued + self.conf.trials - tried)
            for _ in range(wanted):  # those that are queued come first
                trial = self.study.ask(fixed_distributions=self.space)
                self._hold(trial.number, held)
                batch.append(self._asked(trial))
        return batch

    def _hold(self, number: int, held: ExitStack) -> bool:
        """Say that this process works on a trial, unless another does."""
        return held.enter_context(locked(self.folder / "trials" / f"{number}.lock")) is not None

    def _adopt(self, frozen: FrozenTrial) -> list[Asked]:
        now = self.study.get_trials(deepcopy=False)[frozen.number]
        if now.state != TrialState.RUNNING:
            return []  # its process has just reported it
        if set(self.space) <= set(frozen.params):
            return [self._asked(Trial(self.study, frozen._trial_id))]
        self.study.tell(frozen.number, state=TrialState.FAIL)
        return []

    def _asked(self, trial: Trial) -> Asked:
        words = tuple(f"{key}={_word(trial.params[key])}" for key in self.space)
        return Asked(trial, words, tuple(self._jobs_of(trial)))

    def _job(self, asked: Asked, index: int) -> list[str]:
        seed = [f"seed={self.conf.seeds[index]}"] if self.conf.seeds else []
        # Trials of several processes are not numbered in a row, so the launcher's own count will not do.
        return [*self.fixed, *asked.words, *seed, f"hydra.sweep.subdir={asked.jobs[index]}"]

    def _report(self, asked: Asked) -> None:
        folders = [self.folder / str(number) for number in asked.jobs]
        values = [final_figure(folder, str(self.conf.metric)) for folder in folders]
        if any((folder / PRUNE).exists() for folder in folders):
            self.study.tell(asked.trial, state=TrialState.PRUNED)
            return
        errors = [why for folder, value in zip(folders, values, strict=True) if (why := _error(folder, value))]
        if errors:
            asked.trial.set_user_attr("reason", "; ".join(errors))
            self.study.tell(asked.trial, state=TrialState.FAIL)
        else:
            self.study.tell(asked.trial, math.fsum(values) / len(values))

    def _write_result(self) -> None:
        trials = self.study.get_trials(deepcopy=False)
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        best = self.study.best_trial if complete else None
        result = {
            "study": self.conf.study,
            "metric": self.conf.metric,
            "direction": self.conf.direction,
            "seeds": list(self.conf.seeds),
            "best": None if best is None else {"trial": best.number, "value": best.value, "settings": best.params},
            "trials": [
                {
                    "trial": trial.number,
                    "state": trial.state.name.lower(),
                    "value": trial.value,
                    "settings": trial.params,
                    "jobs": list(self._jobs_of(trial)),
                    "reason": trial.user_attrs.get("reason", ""),
                    "retry_of": trial.user_attrs.get(RETRY),
                }
                for trial in trials
            ],
        }
        write_atomically(self.folder / RESULT, json.dumps(result, indent=2) + "\n")

    def _jobs_of(self, trial: Trial | FrozenTrial) -> range:
        count = max(1, len(self.conf.seeds))
        return range(_first(trial) * count, (_first(trial) + 1) * count)


def distribution(override: Override) -> BaseDistribution:
    """Return what an override of Hydra's grammar lets Optuna choose from.

    `interval(a,b)` is a number, `int(interval(a,b))` a whole one, and so is `range(a,b,step)`; `tag(log, ...)` makes an
    interval logarithmic; everything else is a choice.
    """
    value = override.value()
    if isinstance(value, IntervalSweep):
        ends: list[object] = [value.start, value.end]
        low, high = (float(end or 0.0) for end in (value.start, value.end))
        log = "log" in value.tags
        whole = all(isinstance(end, int) for end in ends)  # int(interval(1,8)): without the cast they are floats
        return IntDistribution(int(low), int(high), log=log) if whole else FloatDistribution(low, high, log=log)
    if isinstance(value, RangeSweep):
        numbers: list[float] = list(value.range())
        values = [each for each in numbers if isinstance(each, int)]
        if len(values) == len(numbers) > 1:
            return IntDistribution(min(values), max(values), step=abs(values[1] - values[0]))
    return CategoricalDistribution(list(dict.fromkeys(override.sweep_string_iterator())))


def final_figure(folder: Path, metric: str) -> float:
    """Return a final metric of the run in `folder`; NaN if it has none."""
    value = read_mapping(folder, SUMMARY, []).get(metric)
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        return math.nan


def _first(trial: Trial | FrozenTrial) -> int:
    """The number of the trial that this one tries again; its own if it is none of these."""
    return int(trial.user_attrs.get(RETRY, trial.number))


def _came_to_nothing(trial: FrozenTrial) -> bool:
    """Whether the process of a trial was gone before the trial had settings."""
    return trial.state == TrialState.FAIL and not trial.params


def _ended_badly(folder: Path) -> bool:
    state, _ = job_state(folder)
    return state in ("failed", "lost", "stopped")


def _error(folder: Path, value: float) -> str:
    state, reason = job_state(folder)
    if state != "finished":
        return f"job {folder.name} {state}: {reason}"
    return "" if math.isfinite(value) else f"job {folder.name} has no finite value"


def _word(value: object) -> str:
    """Return a value as an override has it: what was chosen is in Hydra's grammar already."""
    return value if isinstance(value, str) else repr(value)


def _direction(name: str) -> StudyDirection:
    if name not in ("maximize", "minimize"):
        raise HydraException(f"hydra.sweeper.direction must be maximize or minimize, not '{name}'")
    return StudyDirection[name.upper()]


def _sampler(conf: SearchConf, tried: int) -> optuna.samplers.BaseSampler:
    seed = conf.sampler_seed + tried  # a search that goes on must not draw the same numbers again
    if conf.sampler == "tpe":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # Optuna 4 still calls it that
            # All settings that versions of Optuna choose differently.
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=10, n_ei_candidates=24, multivariate=True, group=False, constant_liar=True
            )
    if conf.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    raise HydraException(f"hydra.sweeper.sampler must be tpe or random, not '{conf.sampler}'")


def _pruner(name: str) -> optuna.pruners.BasePruner:
    if name == "none":
        return optuna.pruners.NopPruner()
    if name == "median":
        return optuna.pruners.MedianPruner(
            n_startup_trials=4, n_warmup_steps=RUNGS // 5, interval_steps=1, n_min_trials=1
        )
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=RUNGS, reduction_factor=3, bootstrap_count=0)
    raise HydraException(f"hydra.sweeper.pruner must be none, median or hyperband, not '{name}'")
