"""A learner and actors on a Ray cluster of this machine: `python -m tests.benchmarks.bench_cluster`.

The values come from the real launcher, but for publications, which take the way of the learner's and the actors'
processes without what they do besides. Ray is needed: `pip install 'pamiq_exp[ray]'`.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pamiq_exp.ray_cluster import connected
from pamiq_exp.run_folder import list_checkpoints
from pamiq_exp.runtime import LaunchConfig, Publisher, RunHandle, Summary
from pamiq_exp.runtime.checkpoints import read_checkpoint
from pamiq_exp.runtime.cluster.driver import RayLink
from pamiq_exp.runtime.cluster.learner_site import LearnerSite
from tests.benchmarks.bench_data import Layers
from tests.benchmarks.table import Row, markdown, median_seconds
from tests.runtime.cluster_parts import SmallBlueprint, launch_on_cluster


class PublishingSite(LearnerSite):
    """Publishes a model of 8.4 M parameters."""

    def prepare(self) -> None:
        torch.set_num_threads(1)
        self.model = Layers(16, 724)
        self.publisher = Publisher({"model": self.model})
        self.publisher.send_by(self._publish)
        self.targets = [torch.zeros_like(weight) for weight in self.model.parameters()]

    def publish(self) -> tuple[float, float]:
        """Return the seconds of a raw copy, and when the publication began."""
        sources = list(self.model.parameters())

        def raw() -> None:
            with torch.no_grad():
                torch._foreach_copy_(self.targets, sources)

        floor = median_seconds(raw, repeats=5)
        begin = time.perf_counter()
        self.publisher.publish(["model"])
        return floor, begin


class ReceivingSite:
    """Takes publications as an actor does."""

    def receive(self, learner: Any, count: int) -> list[float]:
        """Return when each of so many publications could be used."""
        torch.set_num_threads(1)
        publisher, link = Publisher({"model": Layers(16, 724)}), RayLink(learner, 0, 0)
        publisher.receive_elsewhere()
        moments: list[float] = []
        while len(moments) < count:
            newest = link.newest(publisher.version if moments else -1, 1.0)
            if newest is not None:
                publisher.receive(newest.parameters, newest.version, newest.training_step)
                moments.append(time.perf_counter())
        return moments


def publication_row(count: int) -> Row:
    """What one publication takes, until an actor of the same machine has it."""
    with connected("local", cpus=2) as ray:
        learner = ray.remote(PublishingSite).options(max_concurrency=8).remote(os.getcwd())
        ray.get(learner.prepare.remote())
        moments = ray.remote(ReceivingSite).remote().receive.remote(learner, count + 1)
        time.sleep(10.0)  # until the first one has been taken
        begun = []
        for _ in range(count):
            begun.append(ray.get(learner.publish.remote()))
            time.sleep(0.2)
        seen = ray.get(moments)[1:]
    ratios = [(moment - begin) / floor for moment, (floor, begin) in zip(seen, begun, strict=True)]
    milliseconds = 1e3 * statistics.median(moment - begin for moment, (_, begin) in zip(seen, begun, strict=True))
    detail = f"{milliseconds:.2f} ms, raw copy {1e3 * statistics.median(floor for floor, _ in begun):.2f} ms"
    what = "a publication's latency from the learner to an actor of the same machine, 8.4 M parameters / raw copy"
    return Row(what, statistics.median(ratios), "<= 4", detail=detail)


def wait(name: str, step: int) -> None:
    """A step of an environment that only waits."""
    time.sleep(0.005)


def rest(batch: int) -> None:
    """Before a batch of a trainer that leaves the cores to the actors."""
    time.sleep(0.1)


def steps_per_second(actors: int, seconds: float) -> float:
    """Environment steps a second, while all actors take turns."""
    rates: list[float] = []

    def measure(handle: RunHandle) -> None:
        seen: set[object] = set()
        while len(seen - {None}) < actors:  # until each actor has recorded something
            seen.add(handle.last_records().get("interaction", {}).get("actor"))
            time.sleep(0.001)
        time.sleep(2.0)
        steps, begin = float(handle.status()["steps"] or 0), time.perf_counter()
        time.sleep(seconds)
        rates.append((float(handle.status()["steps"] or 0) - steps) / (time.perf_counter() - begin))
        handle.stop()

    config = LaunchConfig(learner="ray", cluster="local", actors=actors, record_every_steps=100)
    blueprint = SmallBlueprint(
        config, hook=wait, interval=None, asks_model=False, batch_hook=lambda batch: time.sleep(0.1)
    )
    run(blueprint, measure)
    return rates[0]


def run(blueprint: SmallBlueprint, act: Any, folder: Path | None = None) -> Summary:
    """Launch, with `act` on a thread beside."""

    @contextmanager
    def watch(handle: RunHandle) -> Iterator[None]:
        thread = threading.Thread(target=act, args=(handle,))
        thread.start()
        yield
        thread.join()

    with tempfile.TemporaryDirectory() as name:
        return launch_on_cluster(blueprint, folder or Path(name) / "run", watch=watch)


def actors_row(actors: int, seconds: float) -> Row:
    """How many more steps many actors take."""
    one, many = steps_per_second(1, seconds), steps_per_second(actors, seconds)
    what = f"environments that wait 5 ms a step: steps a second of {actors} actors / of one"
    return Row(what, many / one, ">= 14", detail=f"{one:.0f} and {many:.0f} steps a second")


def killing_row(seconds: float) -> Row:
    """What is lost where an actor is killed every ten seconds: turns of the actor that is never killed."""
    with tempfile.TemporaryDirectory() as name:
        orders = Path(name)

        def obey(actor: str, step: int) -> None:
            order = orders / ".".join(actor.split(".")[:2])
            if step % 10 == 0 and order.exists():
                order.unlink()
                os.kill(os.getpid(), signal.SIGKILL)

        def kill(handle: RunHandle) -> None:
            begin = time.monotonic()
            while time.monotonic() - begin < seconds:
                time.sleep(10.0)
                (orders / f"actors.{1 + len(killed) % 3}").touch()
                killed.append(1)
            time.sleep(15.0)
            handle.stop()

        killed: list[int] = []
        config = LaunchConfig(learner="ray", cluster="local", actors=4, record_every_steps=1000)
        summary = run(SmallBlueprint(config, hook=obey, interval=0.01), kill, orders / "run")
        groups = read_checkpoint(list_checkpoints(orders / "run" / "checkpoints")[-1])
        left = len([path for path in orders.iterdir() if path.name.startswith("actors.")])
        added = [groups["buffers"][f"buffers.experience.users.{index}"]["count_added"] for index in range(4)]
        taken = groups["interaction"]["environment.actors.0"]["runtime"]["steps"]
    lost = taken - added[0]
    detail = (
        f"{len(killed) - left} killed, restarts {summary['restarts']}, state {summary['state']}, dropped "
        f"{summary['dropped']}, {sum(added)} of {summary['steps']} steps reached training, {taken} of the spared actor"
    )
    return Row(
        f"turns lost of an actor beside those killed every 10 s for {seconds:.0f} s", lost, "<= 0", detail=detail
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one measurement of many actors")
    parser.add_argument("--actors", type=int, default=16)
    parser.add_argument("--killing", type=float, default=120.0, help="seconds for which actors are killed")
    parser.add_argument("--only", choices=["publication", "actors", "killing"])
    options = parser.parse_args()
    rows = {
        "publication": lambda: publication_row(20),
        "actors": lambda: actors_row(options.actors, options.seconds),
        "killing": lambda: killing_row(options.killing),
    }
    print(markdown([make() for name, make in rows.items() if options.only in (None, name)]))


if __name__ == "__main__":
    main()
