"""Taking a run again by its trace: the same parts, one thread, the recorded observations and the recorded schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from pamiq_exp.buffers import ScheduledUser
from pamiq_exp.component import components, tear_down
from pamiq_exp.interaction import Environment, Observation
from pamiq_exp.publishable import Model
from pamiq_exp.runtime.checkpoints import read_checkpoint
from pamiq_exp.runtime.config import LaunchConfig
from pamiq_exp.runtime.control import RunControl
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.learner import set_up_part
from pamiq_exp.runtime.parts import Parts
from pamiq_exp.runtime.records import Means
from pamiq_exp.runtime.run import Run
from pamiq_exp.runtime.scheduling import torch_threads
from pamiq_exp.runtime.trace.blocks import TraceError
from pamiq_exp.runtime.trace.compared_records import ComparedRecords, Comparison, Record
from pamiq_exp.runtime.trace.digests import (
    digest_of_agent,
    digest_of_generators,
    digest_of_models,
    digest_of_state,
    digest_of_training,
)
from pamiq_exp.runtime.trace.generators import restore_generators
from pamiq_exp.runtime.trace.reading import RecordedTrace, RecordedTurn
from pamiq_exp.runtime.trace.training import NoTrace
from pamiq_exp.runtime.trace.truth import ReplayedTruth
from pamiq_exp.seeding import derive_seed, seed_global_generators
from pamiq_exp.spaces import action_space_of, observation_space_of

_MOST_NUMBERS = 1 << 26
"""In one part of an observation."""


@dataclass(frozen=True)
class Difference:
    """Something that came out differently.

    Attributes:
        turn: The turn, counted from 0, that it belongs to, or that saw it first.
        what: What differs, in words.
    """

    turn: int
    what: str


@dataclass
class Replayed:
    """What a replay came to.

    Attributes:
        turns, rounds, publications: How many were taken or made again.
        ended: Whether the trace holds the end of the run, and the replay came to it.
        difference: The first thing that came out differently.
        failure: What the run failed with, and the replay as well.
    """

    turns: int = 0
    rounds: int = 0
    publications: int = 0
    ended: bool = False
    difference: Difference | None = None
    failure: BaseException | None = None


class _TurnsLostError(TraceError):
    """What happened where training was reaches further than the turns that were kept: the run was killed."""


class ReplayedEnvironment(Environment):
    """Shows again what a run saw, and compares what is done with what was done.

    Args:
        spaces: Description of the spaces, as `describe_spaces` returns it.

    Attributes:
        turn: The turn that is taken now.
        other_action: The action of this turn, if it is not the recorded one.
    """

    def __init__(self, spaces: Mapping[str, Any]) -> None:
        try:
            if any(math.prod(part["shape"]) > _MOST_NUMBERS for part in spaces["observation"].values()):
                raise ValueError(f"an observation of more than {_MOST_NUMBERS} numbers")
            self.observation_space = observation_space_of(spaces["observation"])
            self.action_space = action_space_of(spaces["action"])
            self.num_envs = int(spaces["num_envs"])
        except Exception as error:  # whatever numpy and Gymnasium raise for what may stand there
            raise TraceError(f"the trace describes no spaces: {type(error).__name__}: {error}") from error
        self.turn: RecordedTurn | None = None
        self.other_action: NDArray[Any] | None = None

    def begin(self, turn: RecordedTurn) -> None:
        """Show this turn from now on."""
        self.turn, self.other_action = turn, None

    def observe(self) -> Observation:
        """See `Environment`. Raises TraceError for an observation that does not fit the spaces."""
        observation = self._now.observation
        for name, space in self.observation_space.spaces.items():
            value = observation.values.get(name)
            if value is None or value.shape != (self.num_envs, *(space.shape or ())):
                raise TraceError(f"the trace is damaged: an observation lacks '{name}' of {space}")
        flags = (observation.terminated, observation.truncated)
        if observation.reward.shape != (self.num_envs,) or any(flag.shape != (self.num_envs,) for flag in flags):
            raise TraceError("the trace is damaged: an observation has other environments than declared")
        return observation

    def affect(self, action: NDArray[Any]) -> None:
        """See `Environment`: nothing happens but a comparison to the bit."""
        recorded = self._now.action
        if recorded is not None and (action.shape != recorded.shape or action.tobytes() != recorded.tobytes()):
            self.other_action = action

    def ground_truth(self) -> Mapping[str, NDArray[Any]]:
        """See `Environment`. Raises TraceError for what the run did not read at this turn."""
        if self.turn is None:
            return {}
        if self._now.truth is None:
            raise TraceError("something asks for the ground truth that did not ask for it in the run")
        return ReplayedTruth(self._now.truth)

    def report(self) -> dict[str, float]:
        """See `Environment`."""
        return dict(self._now.report)

    @property
    def _now(self) -> RecordedTurn:
        if self.turn is None:
            raise RuntimeError("a replayed environment shows turns only while they are taken again")
        return self.turn


class Replay(NoTrace):
    """Takes a run again by its trace.

    Turns are taken as they were, and what happened where training was is caught up with whenever a turn used a
    publication that has not been made again yet. So no order between threads needs to be recorded: a turn says which
    publication it used, a fetch which turns it moved.

    Use it as a context: the parts are set up at its beginning and torn down at its end.

    Args:
        trace: What was recorded.
        parts: The parts of the run, built anew.
        config: The launcher's settings of the run.
        records: The records of the run that belong to this trace, to be compared.

    Attributes:
        engine: The live objects: `interaction`, `models`, `users`, `trainers`.
        result: What has been found so far.
    """

    def __init__(
        self, trace: RecordedTrace, parts: Parts, config: LaunchConfig, records: Iterable[Record] = ()
    ) -> None:
        environment = parts.interaction.environment
        if not isinstance(environment, ReplayedEnvironment):
            raise TypeError(f"a replay needs a ReplayedEnvironment, not {type(environment).__name__}")
        self.result = Replayed()
        self._environment = environment
        self._trace = trace
        self._threads = config.threads
        seed_global_generators(derive_seed(int(trace.header["seed"]), "training"))
        # Turns, rounds and publications are driven from here; this mode leaves out metrics of the wall clock.
        quiet = replace(config, mode="lockstep", learner="thread", trace=False)
        self._run = Run(
            parts.interaction, parts.models, parts.buffers, parts.trainers, quiet, None, {}, RunControl(), ScheduledUser
        )
        self.engine: Engine = self._run.engine
        self.engine.trace = self
        self._comparison = Comparison(records, self._differs)
        self.engine.records = ComparedRecords(self._comparison, self.engine, trace.steps)
        self._turns, self._events = trace.turns(), trace.events()
        self._taken = 0
        """The turn that is taken now, or that was taken last."""
        self._round: Iterator[Mapping[str, float]] | None = None
        self._name = ""
        self._means = Means()
        self._finished: dict[str, dict[str, float]] = {}
        self._batches = 0
        self._expected = ("", "")

    def __enter__(self) -> Replay:
        checkpoint = None
        if self._trace.checkpoint is not None:
            groups = read_checkpoint(self._trace.checkpoint)
            kept = {name: each for name, each in groups["interaction"].items() if not _is_environments(name)}
            checkpoint = {**groups, "interaction": kept}
        parts = list(components({"interaction": self.engine.interaction}))
        with torch_threads(self._threads.training):
            differences = self._run.learner.start(checkpoint)
            for address, part in parts:
                set_up_part(part, address)
            if checkpoint is not None:
                self._run.load(checkpoint, differences, partial=False)
        return self

    def __exit__(self, *error: object) -> None:
        self._run.learner.close()
        tear_down(self.engine.interaction)

    @property
    def next_turn(self) -> int:
        """The turn that is taken next, counted from 0 as in the whole run."""
        return self.engine.statistics.turns

    def run(self, until: int | None = None, stop_at_difference: bool = True) -> Replayed:
        """Take turns until the end of the trace, a turn, or a difference.

        Args:
            until: The turn before which to stop.
            stop_at_difference: Whether the first thing that comes out differently is the end.

        Raises:
            TraceError: The trace is damaged, or does not fit the parts.
            Exception: What a part raises that it did not raise in the run.
        """
        while until is None or self.next_turn < until:
            turn = next(self._turns, None)
            if turn is None:
                self._end()
                break
            if not self._take(turn) or (stop_at_difference and self.result.difference is not None):
                break
        return self.result

    def published(
        self, version: int, steps: int, models: Mapping[str, Model], metrics: Mapping[str, Mapping[str, float]]
    ) -> None:
        """Compare a publication with the recorded one."""
        what = f"publication {version} after environment step {steps}"
        if digest_of_state(metrics) != self._expected[1]:
            self._differs(f"the metrics of {', '.join(metrics)} in {what}")
        if digest_of_models(models) != self._expected[0]:
            self._differs(f"the parameters of {', '.join(models)} in {what}")
        self.result.publications += 1

    def _take(self, turn: RecordedTurn) -> bool:
        """Take one turn; return whether the run went on after it, as far as what made it was kept."""
        engine, environment = self.engine, self._environment
        self._taken = self.next_turn
        while engine.publisher.version < turn.version:
            if not self._advance():
                return False
        environment.begin(turn)
        try:
            with torch_threads(self._threads.inference):
                engine.turn()
        except TraceError:
            raise
        except Exception as error:
            if turn.action is not None:
                raise
            self.result.failure = error  # as in the run
            return False
        finally:
            environment.turn = None
        self.result.turns += 1
        if environment.other_action is not None:
            assert turn.action is not None
            self._differs(f"the action is {environment.other_action.tolist()}, and was {turn.action.tolist()}")
        return True

    def _differs(self, what: str) -> None:
        if self.result.difference is None:
            self.result.difference = Difference(self._taken, what)

    def _end(self) -> None:
        """Do again what happened where training was after the last turn, as far as the turns for it were kept."""
        try:
            while self._advance():
                pass
        except _TurnsLostError:
            return
        if self.result.ended:
            self._comparison.finish()
        elif self._round is not None:
            try:
                self._train(math.inf)
            except Exception as error:  # which may be what ended the run
                self.result.failure = error

    def _advance(self) -> bool:
        """Do again what happened next where training was; return whether there was anything."""
        event = next(self._events, None)
        if event is None:
            return False
        with torch_threads(self._threads.training):
            if event[0] == "fetch":
                self._fetch(*event[1:])
            elif event[0] == "round":
                self._begin_round(*event[1:])
            elif event[0] == "publish":
                self._publish(*event[1:])
            else:
                self._compare_end(*event[1:])
        return True

    def _fetch(self, batch: int, moved: Mapping[str, list[list[int]]]) -> None:
        if self._round is not None:
            self._train(batch)
        for name, chunks in moved.items():
            user = self.engine.users.get(name)
            if not isinstance(user, ScheduledUser):
                raise TraceError(f"the trace names the buffer '{name}', which the config does not have")
            if any(first + count > user.collector.turn for first, count in chunks):
                raise _TurnsLostError(f"the trace moves turns of '{name}' that have not been collected")
            user.collector.schedule = [(first, count) for first, count in chunks]
        try:
            self.engine.fetch_data()
        except LookupError as error:
            raise TraceError(f"the trace does not fit what is collected: {error}") from error
        for trainer in self.engine.trainers.values():
            trainer.ready()  # as the loop did: a rollout buffer forgets what can become no rollout any more

    def _begin_round(self, name: str, generators: str, state: Mapping[str, Any] | None) -> None:
        self._finish_round()
        if name not in self.engine.trainers:
            raise TraceError(f"the trace names the trainer '{name}', which the config does not have")
        if state is not None:
            restore_generators(state)
        elif digest_of_generators() != generators:
            self._differs(f"the state of the global generators before a round of trainers.{name}")
        self._round, self._name, self._means, self._batches = self.engine.round(name), name, Means(), 0
        self.result.rounds += 1

    def _publish(self, version: int, steps: int, names: list[str], models: str, metrics: str) -> None:
        self._finish_round()
        rounds = {name: self._finished.pop(name) for name in names if name in self._finished}
        if list(rounds) != names or version != self.engine.publisher.version + 1:
            raise TraceError(f"the trace is damaged: publication {version} does not follow from what was trained")
        self._expected = models, metrics
        self.engine.publish(rounds, steps)

    def _compare_end(self, batches: int | None, digests: Mapping[str, str]) -> None:
        if batches is not None and self._round is not None:
            self._train(batches)
        reached = {**digest_of_training(self.engine), "agent": digest_of_agent(self.engine)}
        for name, digest in reached.items():
            if digests.get(name) != digest:
                self._differs(f"the state of the {name} at the end of the run")
        self.result.ended = True

    def _finish_round(self) -> None:
        if self._round is not None:
            self._train(math.inf)
            self._finished[self._name] = self._means.result()
            self._round = None

    def _train(self, batches: float) -> None:
        """Go on with the round until it has so many batches, or is over."""
        assert self._round is not None
        while self._batches < batches:
            metrics = next(self._round, None)
            if metrics is None:
                return
            self._means.add(metrics)
            self._batches += 1


def _is_environments(address: str) -> bool:
    """Whether saved state is that of the environment, which is not built for a replay."""
    return address == "environment" or address.startswith("environment.")
