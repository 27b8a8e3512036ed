"""The other processes of this machine that train a run's models together with this one: `launcher.devices`."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from pickle import dumps
from tempfile import TemporaryDirectory

import torch
from lightning import LightningModule
from torch import distributed

from pamiq_exp.lightning_loop.follower import Follower
from pamiq_exp.lightning_loop.training_group import Leader, Order
from pamiq_exp.publishable import Model
from pamiq_exp.remote_errors import portable_error, received_error
from pamiq_exp.runtime.child_processes import cause_of_exit, follow_first_process, signals_held_back
from pamiq_exp.runtime.config import LaunchConfig
from pamiq_exp.runtime.device import device_of_rank, make_fabric
from pamiq_exp.runtime.request_server import RemoteError

_PATIENCE = 5.0
"""Seconds that a process may take to end, or to say why it has ended."""

_LIMIT = timedelta(minutes=30)
"""How long a process waits for the others in the middle of a batch."""


class TrainingProcesses:
    """Processes that follow this one in training.

    They are spawned: a GPU in use does not survive a fork.

    Args:
        models: All models of the run, before any trainer is attached to them.
        config: Settings of the run.
        device: Where this process trains.

    Attributes:
        group: The group as this process sees it. What it asks for before `start` is done then.

    Raises:
        ValueError: A model that cannot be sent to another process, or is not trained by Lightning.
    """

    def __init__(self, models: Mapping[str, Model], config: LaunchConfig, device: torch.device) -> None:
        self._sent = pickled(models, config.devices)
        modules = {name: model for name, model in models.items() if isinstance(model, LightningModule)}
        self.group = Leader(modules, config.devices, device, self._send, self._cause)
        self._config = config
        self._device = device
        self._folder = TemporaryDirectory(prefix="pamiq_exp_")
        self._waiting: list[tuple[int, object]] = []
        self._processes: list[BaseProcess] = []
        self._pipes: list[Connection] = []

    def start(self) -> None:
        """Start the processes. Raises what one of them raises, or RemoteError if one ends."""
        context = multiprocessing.get_context("spawn")
        count = self._config.devices
        for rank in range(1, count):
            ours, theirs = context.Pipe()
            arguments = (rank, self._config, theirs)
            process = context.Process(target=run_follower, args=arguments, name=f"training-{rank}", daemon=True)
            with signals_held_back():
                process.start()
            theirs.close()
            self._processes.append(process)
            self._pipes.append(ours)
        meeting = Path(self._folder.name, "meeting")
        for rank in range(1, count):
            self._send(rank, meeting)
            self._send(rank, self._sent)
        self._sent = b""  # as large as the models
        for rank in range(1, count):
            self._wait_for(rank)
        _join_group(self._device, meeting, 0, count)
        for rank, order in self._waiting:
            self._send(rank, order)

    def close(self) -> None:
        """End the processes, also those that hang."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(_PATIENCE if distributed.is_initialized() else 0.0)
            if process.is_alive():
                process.kill()
                process.join()
        if self._processes and distributed.is_initialized():
            distributed.destroy_process_group()
        self._processes, self._pipes = [], []
        self._folder.cleanup()

    def _send(self, rank: int, message: object) -> None:
        if not self._pipes:
            self._waiting.append((rank, message))
            return
        pipe = self._pipes[rank - 1]
        try:
            if isinstance(message, bytes):  # pickled before
                pipe.send_bytes(message)
            else:
                pipe.send(message)
        except OSError as error:
            raise self._cause(error) from None

    def _wait_for(self, rank: int) -> None:
        """Wait until a process is ready. Raises what it raised instead."""
        try:
            failed = self._pipes[rank - 1].recv()
        except EOFError as error:
            raise self._cause(error) from None
        if failed is not None:
            raise _noted(failed, rank)

    def _cause(self, error: Exception) -> BaseException:
        """Return what one of the processes has raised, or how it has ended; the error if all of them live."""
        for pipe in wait(self._pipes, _PATIENCE):
            assert isinstance(pipe, Connection)
            rank = self._pipes.index(pipe) + 1
            with suppress(EOFError, OSError):
                return _noted(pipe.recv(), rank)
            process = self._processes[rank - 1]
            process.join(_PATIENCE)
            return RemoteError(cause_of_exit(f"the training process {rank} of launcher.devices", process.exitcode))
        return error


def run_follower(rank: int, config: LaunchConfig, pipe: Connection) -> None:
    """Body of a process that follows.

    Args:
        rank: Its number.
        config: Settings of the run.
        pipe: Brings where to meet and the models, then orders; takes an error.
    """
    follow_first_process()
    try:
        _follow(rank, config, pipe)
    except BaseException as error:
        with suppress(OSError):
            pipe.send(portable_error(error, RemoteError))


def _follow(rank: int, config: LaunchConfig, pipe: Connection) -> None:
    meeting = pipe.recv()
    torch.set_num_threads(config.threads.training)
    fabric = make_fabric(device_of_rank(config.device, rank), config.precision)
    models: dict[str, LightningModule] = pipe.recv()
    for model in models.values():
        model.to(fabric.device)
    pipe.send(None)
    _join_group(fabric.device, meeting, rank, config.devices)
    follower = Follower(models, fabric, rank, config.devices)
    while (order := _next_order(pipe)) is not None:
        follower.obey(order)


def _next_order(pipe: Connection) -> Order | None:
    """Wait for an order; None once the first process has ended, or ends the run."""
    try:
        order: Order = pipe.recv()
    except (EOFError, OSError):
        return None
    return order


def _join_group(device: torch.device, meeting: Path, rank: int, count: int) -> None:
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, init_method=meeting.as_uri(), rank=rank, world_size=count, timeout=_LIMIT)


def _noted(failed: tuple[BaseException, str], rank: int) -> BaseException:
    error = received_error(*failed)
    error.add_note(f"(in the training process {rank} of launcher.devices)")
    return error


def pickled(models: Mapping[str, Model], count: int) -> bytes:
    """Return models in the form in which they are sent to other processes.

    Raises:
        ValueError: One of them cannot be sent, or is no module of Lightning.
    """
    for name, model in models.items():
        if not isinstance(model, LightningModule):
            raise ValueError(
                f"launcher.devices={count} trains modules of Lightning, and the model {name!r} is a "
                f"{type(model).__name__}: devices=1"
            )
    try:
        return dumps(dict(models))
    except Exception as error:
        if len(models) > 1:
            for name, model in models.items():
                pickled({name: model}, count)
        raise ValueError(
            f"the model {', '.join(map(repr, models))} cannot be sent to the other processes of "
            f"launcher.devices={count} ({type(error).__name__}: {error}): define its class and functions at the top of "
            "a module, and open files and locks in its methods; or devices=1"
        ) from error
