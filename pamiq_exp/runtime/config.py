"""The settings of a launch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from math import inf
from typing import Literal, get_args

from pamiq_exp.extras import install_hint
from pamiq_exp.nonfinite import OnNonfinite

Mode = Literal["realtime", "lockstep", "pipelined", "sequential"]
Inference = Literal["eager", "traced", "compiled"]
LearnerPlace = Literal["thread", "process", "ray"]
Overrun = Literal["catch_up", "skip"]


@dataclass(frozen=True)
class CheckpointConfig:
    """When to save. What is due first counts; neither means only at the end.

    Attributes:
        every_seconds: Wall seconds between saves (not for lockstep runs that must repeat bit for bit in
            their list of checkpoints; the run itself is the same either way).
        every_steps: Environment steps between saves.
        keep: Number of newest checkpoints that stay on disk.
        keep_best: A metric of the interaction, such as `return_mean`: the checkpoint with its highest value so far
            stays on disk as well. None keeps none.
        at_end: Save when the run finishes or is stopped, so that it can be resumed.
    """

    every_seconds: float | None = None
    every_steps: int | None = None
    keep: int = 2
    keep_best: str | None = None
    at_end: bool = True

    def __post_init__(self) -> None:
        _refuse(
            _positive("checkpoint.every_seconds", self.every_seconds),
            _positive("checkpoint.every_steps", self.every_steps),
            _positive("checkpoint.keep", self.keep),
            "checkpoint.keep_best needs saves on the way: set checkpoint.every_steps or checkpoint.every_seconds"
            if self.keep_best is not None and self.every_steps is None and self.every_seconds is None
            else None,
        )


@dataclass(frozen=True)
class ThreadConfig:
    """Threads that torch may use inside one operation, on the inference and on the training thread."""

    inference: int = 1
    training: int = 1

    def __post_init__(self) -> None:
        _refuse(_positive("threads.inference", self.inference), _positive("threads.training", self.training))


@dataclass(frozen=True)
class LaunchConfig:
    """How a run goes.

    Attributes:
        mode: `realtime`: learning has its own thread and turns never wait for it. `lockstep`: one thread
            and a virtual clock; after each turn the trainers that are ready run to their end. Same config,
            same seed, same bits. `pipelined`: as lockstep, but training overlaps the next `overlap_turns`
            turns on a thread of its own and is published exactly then: faster, and still the same bits. `sequential`:
            one thread and the wall clock, for comparison: learning delays the next turn while the environment goes on.
        learner: Where models are trained in realtime: on a `thread` beside the agent, in a `process` of their own,
            whose Python code cannot hold up the agent's (Linux, CPU), or by `ray` in a process on a cluster.
        actors: Processes that take turns, each with environments of its own (learner=ray).
        cluster: Where they are: `local` starts Ray on this machine, an address such as `head:6379` names a running
            cluster, `auto` takes the one that RAY_ADDRESS names, else this machine (learner=ray).
        inference: How the agent's copies of the models compute: `eager`, `traced` or `compiled`. Both of the latter are
            quicker for small networks, and what they cannot do stays eager, with a warning. Results differ by rounding.
        max_steps: Environment steps (all environments together) after which the run is finished.
        max_seconds: Wall seconds after which the run is finished, pauses excluded, resumed parts included.
        time_scale: Run seconds in a wall second (realtime, sequential): 10 lets a 10 Hz world turn 100 times a second.
        checkpoint: When to save.
        device: `cpu`, `cuda`, `cuda:1`, `mps` or `auto`.
        devices: How many of them train together, each a share of every batch, in processes of their own: from `device`
            on, or this many processes on the CPU.
        inference_device: Device of the agent's copies of the models; None for the one on which they are trained.
        precision: As Lightning Fabric names it: `32-true`, `bf16-mixed`, ...
        switch_interval: Seconds after which Python lets another thread go on (`sys.setswitchinterval`),
            set for the run and restored afterwards. None leaves Python's own 0.005, which makes the world
            wait up to that long, once for each operation of a step, while training holds the interpreter.
        training_nice: Niceness added to the training thread on Linux (realtime, pipelined): the more, the less of
            a crowded machine it gets. It does not make the world faster (docs/notes/performance.md): a training thread
            that waits for a core may hold the interpreter lock meanwhile.
        threads: Torch threads of each thread.
        separate_streams: On a GPU give each thread a CUDA stream of its own, the agent's with the higher
            priority (realtime).
        overrun: After a turn that took longer than its interval: `catch_up` takes the late turns at once (at most
            ten intervals, then it skips), `skip` waits for the next regular moment. Both are counted.
        overlap_turns: Turns from the start of a training round to its publication (pipelined).
        record_every_steps: Environment steps between two records of the interaction.
        on_nonfinite: On NaN or infinity in a loss, gradient or action: `stop` the run or `skip` the batch.
        watchdog_seconds: When a thread gives no heartbeat for this long, the terminal shows which and where, and
            the stacks of all threads are logged. None switches it off.
        trace: Record what a replay to the same bits needs, in `trace/` of the run folder (realtime, sequential).
        max_parameters: Models that have more parameters together are refused; those of a config before they are
            allocated. None switches it off.
    """

    mode: Mode = "realtime"
    learner: LearnerPlace = "thread"
    actors: int = 1
    cluster: str = "auto"
    inference: Inference = "eager"
    max_steps: int | None = None
    max_seconds: float | None = None
    time_scale: float = 1.0
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    device: str = "cpu"
    devices: int = 1
    inference_device: str | None = None
    precision: str = "32-true"
    switch_interval: float | None = 0.00001
    training_nice: int = 0
    threads: ThreadConfig = field(default_factory=ThreadConfig)
    separate_streams: bool = True
    overrun: Overrun = "catch_up"
    overlap_turns: int = 8
    record_every_steps: int = 100
    on_nonfinite: OnNonfinite = "stop"
    watchdog_seconds: float | None = 60.0
    trace: bool = False
    max_parameters: int | None = 1_000_000_000

    def __post_init__(self) -> None:
        _refuse(
            _choice("mode", self.mode, get_args(Mode)),
            _choice("learner", self.learner, get_args(LearnerPlace)),
            _choice("inference", self.inference, get_args(Inference)),
            self._unsuitable_for_process(),
            self._unsuitable_for_ray(),
            self._unsuitable_for_devices(),
            _choice("overrun", self.overrun, get_args(Overrun)),
            _choice("on_nonfinite", self.on_nonfinite, get_args(OnNonfinite)),
            *(_positive(name, getattr(self, name)) for name in _POSITIVE),
            None
            if 0 <= self.training_nice <= 19
            else f"training_nice must lie between 0 and 19, not {self.training_nice}",
        )

    def _unsuitable_for_process(self) -> str | None:
        if self.learner != "process":
            return None
        if self.mode != "realtime":
            return f"learner=process trains beside the agent, and launcher.mode is {self.mode}: learner=thread"
        if self.threads.training > 1:
            # OpenMP's threads do not survive the fork, and the first operation would wait for them without end.
            return f"learner=process trains with one torch thread, not {self.threads.training}: threads.training=1"
        return None

    def _unsuitable_for_ray(self) -> str | None:
        if self.learner != "ray":
            return None if self.actors == 1 else f"actors={self.actors} needs launcher.learner=ray, not {self.learner}"
        if self.mode != "realtime":
            return f"learner=ray trains beside the actors, and launcher.mode is {self.mode}: launcher=realtime"
        if self.trace:
            return "trace: a run with learner=ray cannot be replayed: trace=false, or learner=thread"
        if self.inference_device not in (None, "cpu"):
            return f"inference_device={self.inference_device}: with learner=ray, actors act on the CPU"
        if find_spec("ray") is None:
            return f"learner=ray needs Ray: {install_hint('ray')}"
        return None

    def _unsuitable_for_devices(self) -> str | None:
        if self.devices == 1:
            return None
        if self.learner != "thread":
            return f"devices={self.devices} needs launcher.learner=thread, not {self.learner}"
        if self.device.partition(":")[0] not in ("cpu", "cuda"):
            return f"devices={self.devices} needs launcher.device=cpu or cuda, not {self.device}"
        if self.precision == "16-mixed":
            return f"devices={self.devices} needs another launcher.precision than 16-mixed: bf16-mixed, or 32-true"
        if self.trace:
            return f"trace: training on devices={self.devices} cannot be replayed: trace=false, or devices=1"
        return None

    def without_effect(self) -> Iterator[tuple[str, str]]:
        """Yield the settings that were changed and do nothing in this mode, each with the modes in which it does."""
        defaults = {each.name: each.default for each in fields(self)}
        for name, modes in ONLY_IN.items():
            if self.mode not in modes and getattr(self, name) != defaults[name]:
                yield name, " or ".join(modes)


ONLY_IN: Mapping[str, tuple[Mode, ...]] = {
    "time_scale": ("realtime", "sequential"),
    "overrun": ("realtime", "sequential"),
    "overlap_turns": ("pipelined",),
    "training_nice": ("realtime", "pipelined"),
    "separate_streams": ("realtime",),
    "trace": ("realtime", "sequential"),
}
"""Settings that do nothing in some modes, as there is no deadline or no second thread that they could be about."""

WALL_CLOCK: tuple[Mode, ...] = ("realtime", "sequential")
"""Modes in which turns follow the wall clock, and what is measured depends on it."""

_POSITIVE = (
    "devices",
    "actors",
    "max_steps",
    "max_seconds",
    "time_scale",
    "switch_interval",
    "overlap_turns",
    "record_every_steps",
    "watchdog_seconds",
    "max_parameters",
)


def _refuse(*complaints: str | None) -> None:
    """Raise ValueError with all that there is to complain about, one thing a line."""
    found = [f"launcher.{complaint}" for complaint in complaints if complaint is not None]
    if found:
        raise ValueError("\n".join(found))


def _positive(name: str, value: float | None) -> str | None:
    return None if value is None or 0 < value < inf else f"{name} must be positive, not {value!r}"


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str | None:
    return None if value in choices else f"{name} must be one of {', '.join(choices)}, not {value!r}"
