"""Connections to Ray: a cluster that runs already, or one on this machine that ends with the connection."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pamiq_exp.current_folder import SAFE_PATH, elsewhere, workers_forget_it

AUTO, LOCAL = "auto", "local"
"""What may stand where a cluster is named, besides an address."""

_MOST_HERE = max(64, 4 * (os.cpu_count() or 1))
"""Processes of a run on this machine alone."""

_VARIABLE = "RAY_ADDRESS"
_REACH_SECONDS = 5.0


class ClusterError(ValueError):
    """A cluster cannot be used; the message says why and what to do."""


def address_of(cluster: str) -> str | None:
    """Return the address of the cluster that is meant; None for one on this machine that is still to be started."""
    if cluster == AUTO:
        cluster = os.environ.get(_VARIABLE) or LOCAL
    return None if cluster == LOCAL else cluster


@contextmanager
def connected(cluster: str, cpus: int) -> Iterator[Any]:
    """Connect to Ray and return the module; what was started for it has ended afterwards.

    Args:
        cluster: `auto`, `local`, or the address of a running cluster.
        cpus: Processes that will be asked for, if Ray is started here.

    Raises:
        ClusterError: The cluster cannot be reached, or fits neither this Python nor this Ray.
    """
    address = address_of(cluster)
    if address is not None:
        _require_reachable(address)
    elif cpus > _MOST_HERE:
        raise ClusterError(
            f"launcher.actors: {cpus} processes are too many for this machine, at most {_MOST_HERE} are started: set "
            "fewer, or name a cluster (launcher.cluster=ADDRESS)"
        )
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # else whatever asks Ray after the end starts it again
    import ray

    try:
        _connect(ray, address, cpus)
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str | None, cpus: int) -> None:
    try:
        if address is None:
            connect(ray, address="local", num_cpus=cpus, include_dashboard=False)
        else:
            # The workers' own environment is that of the machine on which their node was started.
            connect(ray, address=address, runtime_env={"env_vars": {SAFE_PATH: "1"}})
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())
        where = "Ray could not be started on this machine" if address is None else f"the Ray cluster {address} refuses"
        hint = "its nodes need the same Python and the same Ray as this machine" if "ersion" in text else _HINT
        if address is not None and "ersion" not in text and "RAY_AUTH_MODE" not in os.environ:
            hint += ". One that was started with token authentication needs RAY_AUTH_MODE=token and its token here"
        raise ClusterError(f"launcher.cluster: {where}: {text}; {hint}") from error


_HINT = "launcher.cluster=ADDRESS names a running cluster (ray start --head prints it), local starts one here"


def connect(ray: Any, **settings: Any) -> None:
    """Call `ray.init` without what it does to signals, to the terminal and to the path of its workers."""
    before = signal.getsignal(signal.SIGTERM)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else Ray asks who runs this machine, and reports its use
    with elsewhere(os.curdir), workers_forget_it():  # workers look for modules where Ray was started
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **settings)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray's own handler kills the jobs before they have saved


def _require_reachable(address: str) -> None:
    """Raise ClusterError if nothing listens there: Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise ClusterError(
            f"launcher.cluster: {address!r} is no address of a cluster: give auto, local, or the host and port that "
            "ray start --head prints, such as head:6379"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"launcher.cluster: nothing answers at {address} ({error}): start Ray there (ray start --head), or choose "
            "another cluster"
        ) from error


def stand_in(folder: str) -> None:
    """Stand in the folder of the run's first process, if it is here: relative paths in configs are below it."""
    if Path(folder).is_dir():
        os.chdir(folder)
